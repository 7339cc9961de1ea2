//! The memory that all guests together may take where the settings do not say it.

use crate::settings::MIN_GUEST_MEMORY_BYTES;

/// The greatest default, in bytes.
const MOST_BYTES: u64 = 4 << 30;

/// Half of the memory that this machine has or its control group may have, in bytes, and 4 GiB at
/// most.
pub fn default_guest_memory_bytes() -> u64 {
    let machine = rustix::system::sysinfo();
    let machine = u64::from(machine.mem_unit).checked_mul(machine.totalram);
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max");
    let group = group.ok().and_then(|text| text.trim().parse().ok());
    let least = [machine, group].into_iter().flatten().min();
    least
        .map_or(MOST_BYTES, |bytes| bytes / 2)
        .clamp(MIN_GUEST_MEMORY_BYTES, MOST_BYTES)
}
