//! What the kernel says of this process and of the machine.

use innkeeper_runtime::Runtime;
use rustix::process::{Resource, getrlimit};

use super::metric::Number;
use super::row::{Read, Row};

/// What the kernel says of this process. What it does not say is -1, as in ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Process {
    pub(crate) open_files: i64,
    pub(crate) max_files: i64,
    /// Memory in use by this process, in bytes.
    pub(crate) resident_bytes: i64,
    /// Addresses that it has laid out, in bytes.
    pub(crate) virtual_bytes: i64,
    /// Memory of the machine that could be used, and all of it, in bytes.
    pub(crate) available_bytes: i64,
    pub(crate) total_bytes: i64,
    /// When the process began, in seconds since 1970.
    pub(crate) began_s: Option<f64>,
    /// CPU time that the process has used, in seconds.
    pub(crate) cpu_s: Option<f64>,
}

impl Process {
    /// As it is now.
    pub(crate) fn now() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let (status, memory) = (read("/proc/self/status"), read("/proc/meminfo"));
        let (began_s, cpu_s) = times(&read("/proc/self/stat"), &read("/proc/stat")).unzip();
        Self {
            began_s,
            cpu_s,
            open_files: open_files().unwrap_or(-1),
            max_files: max_files(),
            resident_bytes: kilobytes(&status, "VmRSS:").unwrap_or(-1),
            virtual_bytes: kilobytes(&status, "VmSize:").unwrap_or(-1),
            available_bytes: kilobytes(&memory, "MemAvailable:").unwrap_or(-1),
            total_bytes: kilobytes(&memory, "MemTotal:").unwrap_or(-1),
        }
    }
}

fn open_files() -> Option<i64> {
    let folder = "/proc/self/fd";
    // Newer kernels say the number as the folder's size; older ones are counted.
    let said = std::fs::metadata(folder).ok()?.len();
    if said > 0 {
        return i64::try_from(said).ok();
    }
    // The folder being read is one of them.
    let counted = std::fs::read_dir(folder).ok()?.count();
    i64::try_from(counted.saturating_sub(1)).ok()
}

/// How many files the process may have open; without a limit the greatest number that there is.
fn max_files() -> i64 {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

fn kilobytes(text: &str, name: &str) -> Option<i64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let number: i64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(number * 1024)
}

/// The ticks of a second in which the kernel counts time for programs; Linux promises this number.
const TICKS_PER_S: f64 = 100.0;

/// When this process began, in seconds since 1970, and the CPU time that it has used, in seconds.
fn times(stat: &str, machine: &str) -> Option<(f64, f64)> {
    // The second field is the program's name in brackets, and may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks = |nth: usize| fields.split(' ').nth(nth)?.parse::<f64>().ok();
    // The third field is the first behind the name: utime is the 14th, stime the 15th, starttime
    // the 22nd.
    let (user, system, began) = (ticks(11)?, ticks(12)?, ticks(19)?);
    let boot = machine
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    let boot_s: f64 = boot.trim().parse().ok()?;
    Some((boot_s + began / TICKS_PER_S, (user + system) / TICKS_PER_S))
}

impl<R: Runtime> Row<R> {
    /// The process, under the names that every client library of Prometheus gives it. What the
    /// kernel does not say is left out.
    pub(super) const PROCESS: &'static [Self] = &[
        Row::new(
            "process_cpu_seconds_total",
            "CPU time that the process has used, in seconds.",
            Read::SecondsIfAny(|sample| sample.process.cpu_s),
        ),
        Row::new(
            "process_start_time_seconds",
            "When the process began, in seconds since 1970.",
            Read::GaugeIfAny(|sample| sample.process.began_s.map(Number::Float)),
        ),
        Row::new(
            "process_open_fds",
            "Files and sockets that the process has open.",
            Read::GaugeIfAny(|sample| said(sample.process.open_files)),
        ),
        Row::new(
            "process_max_fds",
            "Files and sockets that the process may have open.",
            Read::GaugeIfAny(|sample| said(sample.process.max_files)),
        ),
        Row::new(
            "process_virtual_memory_bytes",
            "Virtual memory of the process, in bytes.",
            Read::GaugeIfAny(|sample| said(sample.process.virtual_bytes)),
        ),
        Row::new(
            "process_resident_memory_bytes",
            "Memory that the process uses, in bytes.",
            Read::GaugeIfAny(|sample| said(sample.process.resident_bytes)),
        ),
    ];
}

/// A number that the kernel said.
fn said(number: i64) -> Option<Number> {
    (number >= 0).then_some(Number::Int(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_any_name_is_understood() {
        let machine = "cpu  1 2 3\nbtime 1700000000\nprocesses 7\n";
        let fields = "S 1 2 3 4 -1 6 7 8 9 10 150 50 13 14 20 0 1 0 250 23 24";
        for name in ["innkeeper", "a b", "a) S 9 9 9 9 9 9 9 9 9 9 9 9"] {
            let stat = format!("42 ({name}) {fields}\n");
            assert_eq!(
                times(&stat, machine),
                Some((1_700_000_002.5, 2.0)),
                "{name}"
            );
        }
        assert_eq!(times("42 (a) S 1", machine), None);
        assert_eq!(times("", ""), None);
    }

    #[test]
    fn the_kernel_is_understood() {
        assert_eq!(kilobytes("VmRSS:\t  12 kB\n", "VmRSS:"), Some(12 * 1024));
        if cfg!(target_os = "linux") {
            let process = Process::now();
            assert!(process.open_files >= 3 && process.max_files >= process.open_files);
            assert!(process.resident_bytes > 0 && process.total_bytes > process.resident_bytes);
            assert!(process.virtual_bytes >= process.resident_bytes);
            assert!(process.began_s.is_some() && process.cpu_s.is_some());
        }
    }
}
