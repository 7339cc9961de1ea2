//! What a guest writes to standard output or standard error, as lines of its log.

use crate::budget::{Budget, LogLevel};
use crate::text::{GUEST_TEXT_BYTES_MAX, GuestText};

/// One stream, up to its last newline logged.
pub(super) struct Lines {
    level: LogLevel,
    /// The line that has no end yet; never longer than a message of the log may be.
    open: Vec<u8>,
}

impl Lines {
    pub(super) fn new(level: LogLevel) -> Lines {
        Lines {
            level,
            open: Vec::new(),
        }
    }

    pub(super) fn write(&mut self, budget: &mut Budget, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = GUEST_TEXT_BYTES_MAX - self.open.len();
            self.open.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.end(budget);
            }
        }
    }

    /// Logs the open line, unless it is empty.
    pub(super) fn end(&mut self, budget: &mut Budget) {
        let line = String::from_utf8_lossy(&self.open);
        let line = line.trim_end();
        if !line.is_empty() {
            let line = GuestText::from(line);
            if self.level == LogLevel::Warn {
                budget.explain(line.clone());
            }
            budget.log(self.level, line);
        }
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use innkeeper_tree::World;
    use innkeeper_tree::binding::Limits;

    use super::*;
    use crate::clock::{Clock, Deadline, Outer};

    fn logged(pieces: &[&[u8]]) -> Vec<String> {
        let limits = Limits::of(World::Recipe);
        let clock = Clock::new(|| Duration::ZERO);
        let deadline = Deadline::new(&clock, limits.time_ms, Outer::Nothing);
        let mut budget = Budget::new(&limits, deadline, limits.fuel);
        let mut lines = Lines::new(LogLevel::Warn);
        for piece in pieces {
            lines.write(&mut budget, piece);
        }
        lines.end(&mut budget);
        assert!(budget.logs.iter().all(|line| line.level == LogLevel::Warn));
        let messages = budget.logs.iter();
        messages.map(|line| line.message.to_string()).collect()
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        assert_eq!(logged(&[b"a", b"b\r\nc", b"\n\n", b"d"]), ["ab", "c", "d"]);
        assert_eq!(logged(&[b"", b"\n"]), Vec::<String>::new());
        assert_eq!(logged(&[b"\xff!\n"]), ["\u{fffd}!"]);
    }

    #[test]
    fn a_line_without_end_is_cut_and_the_next_is_whole() {
        let long = vec![b'x'; GUEST_TEXT_BYTES_MAX];
        let lines = logged(&[&long, &long, b"\nnext\n"]);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].len(), GUEST_TEXT_BYTES_MAX);
        assert_eq!(lines[1], "next");
    }
}
