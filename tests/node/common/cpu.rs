//! CPU time, for tests that print what something costs.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time of this thread so far. A simulated world runs on one thread.
pub fn of_thread() -> Duration {
    of(ClockId::ThreadCPUTime)
}

/// CPU time of all threads of this process so far.
pub fn of_process() -> Duration {
    of(ClockId::ProcessCPUTime)
}

fn of(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Prints the CPU time of one of so many things, of which all together took `took`.
pub fn print_each(what: &str, took: Duration, times: usize) {
    let each_us = took.as_secs_f64() * 1e6 / times as f64;
    println!("{what}: {each_us:.1} us of CPU time, the mean of {times}");
}
