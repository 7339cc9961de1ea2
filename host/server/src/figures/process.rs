//! What the kernel knows of this process and machine; and the day of a time, for people.

/// What the kernel says of this process. What it does not say is -1, as in ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) open_files: i64,
    pub(crate) max_files: i64,
    /// Memory in use by this process, in bytes.
    pub(crate) resident_bytes: i64,
    /// Memory of the machine that could be used, and all of it, in bytes.
    pub(crate) available_bytes: i64,
    pub(crate) total_bytes: i64,
}

impl Process {
    /// As it is now.
    pub(crate) fn now() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let (limits, status, memory) = (
            read("/proc/self/limits"),
            read("/proc/self/status"),
            read("/proc/meminfo"),
        );
        Self {
            open_files: open_files().unwrap_or(-1),
            max_files: limit_of(&limits, "Max open files").unwrap_or(-1),
            resident_bytes: kilobytes(&status, "VmRSS:").unwrap_or(-1),
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

fn limit_of(limits: &str, name: &str) -> Option<i64> {
    let line = limits.lines().find(|line| line.starts_with(name))?;
    let soft = line[name.len()..].split_whitespace().next()?;
    if soft == "unlimited" {
        return Some(i64::MAX);
    }
    soft.parse().ok()
}

fn kilobytes(text: &str, name: &str) -> Option<i64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let number: i64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(number * 1024)
}

/// A time on the wall clock as Java prints it: `Sat Nov 21 06:11:31 UTC 2026`.
pub(crate) fn calendar(wall_ms: u64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = wall_ms / 1000;
    let days = seconds / 86_400;
    // Years are counted from March of the year 0, so that a leap day is a year's last day.
    let from_march = days + 719_468;
    let era = from_march / 146_097;
    let day_of_era = from_march % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    format!(
        "{} {} {day:02} {:02}:{:02}:{:02} UTC {year}",
        WEEKDAYS[(days % 7) as usize],
        MONTHS[month as usize],
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_named() {
        // Expected by `date -u -d @SECONDS`.
        for (seconds, said) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (951_782_400, "Tue Feb 29 00:00:00 UTC 2000"),
            (1_709_251_199, "Thu Feb 29 23:59:59 UTC 2024"),
            (1_709_251_200, "Fri Mar 01 00:00:00 UTC 2024"),
            (1_795_241_491, "Sat Nov 21 06:11:31 UTC 2026"),
            (4_102_444_799, "Thu Dec 31 23:59:59 UTC 2099"),
        ] {
            assert_eq!(calendar(seconds * 1000), said);
        }
    }

    #[test]
    fn the_kernel_is_understood() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 524288               files\n\
                      Max file locks            unlimited            unlimited            locks\n";
        assert_eq!(limit_of(limits, "Max open files"), Some(1024));
        assert_eq!(limit_of(limits, "Max file locks"), Some(i64::MAX));
        assert_eq!(limit_of(limits, "Max nothing"), None);
        assert_eq!(kilobytes("VmRSS:\t  12 kB\n", "VmRSS:"), Some(12 * 1024));
        if cfg!(target_os = "linux") {
            let process = Process::now();
            assert!(process.open_files >= 3 && process.max_files >= process.open_files);
            assert!(process.resident_bytes > 0 && process.total_bytes > process.resident_bytes);
        }
    }
}
