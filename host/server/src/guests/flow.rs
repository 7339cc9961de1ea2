//! What a stranger may have written into the node's log in a second; the rest is counted.

use std::time::Duration;

use innkeeper_runtime::Instant;

/// The window in which lines and bytes are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// Lines of one kind, of one binding, or of all who guess passwords.
#[derive(Default)]
pub(crate) struct Flow {
    /// When the current second began.
    began: Option<Instant>,
    lines: u32,
    bytes: usize,
    /// Lines held back since the last that passed.
    missing: u64,
}

impl Flow {
    /// Lines that did not even come here.
    pub(super) fn missed(&mut self, lines: u64) {
        self.missing += lines;
    }

    /// May a line of so many bytes pass? If so, it is told how many were held back before it.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        bytes: usize,
        most_lines: u32,
        most_bytes: usize,
    ) -> Option<u64> {
        if self.began.is_none_or(|began| now >= began + WINDOW) {
            self.began = Some(now);
            (self.lines, self.bytes) = (0, 0);
        }
        if self.lines == most_lines || self.bytes + bytes > most_bytes {
            self.missing += 1;
            return None;
        }
        self.lines += 1;
        self.bytes += bytes;
        Some(std::mem::take(&mut self.missing))
    }
}

#[cfg(test)]
mod tests {
    use innkeeper_runtime::{Runtime, Sim};

    use super::*;

    #[test]
    fn a_second_has_a_bound_and_the_next_says_what_was_missed() {
        Sim::run(1, async |runtime| {
            let mut flow = Flow::default();
            for line in 0..250_u32 {
                let passed = flow.take(runtime.now(), 10, 100, 1 << 20);
                assert_eq!(passed, (line < 100).then_some(0), "line {line}");
                runtime.sleep(Duration::from_millis(1)).await;
            }
            runtime.sleep(WINDOW).await;
            assert_eq!(flow.take(runtime.now(), 10, 100, 1 << 20), Some(150));
            assert_eq!(flow.take(runtime.now(), 10, 100, 1 << 20), Some(0));
        });
    }

    #[test]
    fn long_lines_use_up_their_second_sooner() {
        Sim::run(1, async |runtime| {
            let mut flow = Flow::default();
            let mut take = |bytes| flow.take(runtime.now(), bytes, 100, 10_000);
            assert_eq!(take(6_000), Some(0));
            assert_eq!(take(6_000), None);
            assert_eq!(take(4_000), Some(1));
            assert_eq!(take(1), None);
        });
    }
}
