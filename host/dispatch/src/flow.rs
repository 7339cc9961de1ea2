//! What a stranger may have written into the node's log in a second: one binding, all of them
//! together, or all who guess passwords; the rest is counted.

use std::time::Duration;

use innkeeper_runtime::Instant;

/// The window in which lines and bytes are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// What may pass in a second, at most.
#[derive(Clone, Copy)]
pub struct Most {
    /// Lines in a second.
    pub lines: u32,
    /// Bytes of them in a second.
    pub bytes: usize,
}

/// Lines of a binding in a second that the node's whole bound is there for; those beyond may take
/// half of it, so that however many bindings flood the log, the others are still read.
const FEW_LINES: u32 = 10;

/// Lines of one kind, of one binding, of all together, or of all who guess passwords.
#[derive(Default)]
pub struct Flow {
    /// When the current second began.
    began: Option<Instant>,
    lines: u32,
    bytes: usize,
    /// Lines held back since the last that passed.
    missing: u64,
}

impl Flow {
    /// Lines that did not even come here.
    pub fn missed(&mut self, lines: u64) {
        self.missing += lines;
    }

    /// May a line of so many bytes pass? If so, it is told how many were held back before it.
    pub fn take(&mut self, now: Instant, bytes: usize, most: Most) -> Option<u64> {
        if self.began.is_none_or(|began| now >= began + WINDOW) {
            self.began = Some(now);
            (self.lines, self.bytes) = (0, 0);
        }
        if self.lines >= most.lines || self.bytes + bytes > most.bytes {
            self.missing += 1;
            return None;
        }
        self.lines += 1;
        self.bytes += bytes;
        Some(std::mem::take(&mut self.missing))
    }

    /// As [`Flow::take`], of a binding's flow, whose lines pass only if there is room in that of
    /// the whole node as well.
    pub fn take_of(
        &mut self,
        node: &mut Flow,
        now: Instant,
        bytes: usize,
        most: Most,
        node_most: Most,
    ) -> Option<u64> {
        let missing = self.take(now, bytes, most)?;
        let node_most = match self.lines {
            0..=FEW_LINES => node_most,
            _ => Most {
                lines: node_most.lines / 2,
                bytes: node_most.bytes / 2,
            },
        };
        if node.take(now, bytes, node_most).is_none() {
            self.missing += missing + 1;
            return None;
        }
        Some(missing)
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
            let most = Most {
                lines: 100,
                bytes: 1 << 20,
            };
            for line in 0..250_u32 {
                let passed = flow.take(runtime.now(), 10, most);
                assert_eq!(passed, (line < 100).then_some(0), "line {line}");
                runtime.sleep(Duration::from_millis(1)).await;
            }
            runtime.sleep(WINDOW).await;
            assert_eq!(flow.take(runtime.now(), 10, most), Some(150));
            assert_eq!(flow.take(runtime.now(), 10, most), Some(0));
        });
    }

    #[test]
    fn long_lines_use_up_their_second_sooner() {
        Sim::run(1, async |runtime| {
            let mut flow = Flow::default();
            let most = Most {
                lines: 100,
                bytes: 10_000,
            };
            let mut take = |bytes| flow.take(runtime.now(), bytes, most);
            assert_eq!(take(6_000), Some(0));
            assert_eq!(take(6_000), None);
            assert_eq!(take(4_000), Some(1));
            assert_eq!(take(1), None);
        });
    }

    #[test]
    fn a_flood_of_many_leaves_room_for_one_who_says_little() {
        Sim::run(1, async |runtime| {
            let (mut node, node_most) = (
                Flow::default(),
                Most {
                    lines: 200,
                    bytes: 1 << 20,
                },
            );
            let most = Most {
                lines: 100,
                bytes: 1 << 16,
            };
            let mut passed_of = |flow: &mut Flow, lines| {
                let now = runtime.now();
                let passed = (0..lines).filter(|_| {
                    let passed = flow.take_of(&mut node, now, 10, most, node_most);
                    passed.is_some()
                });
                passed.count()
            };
            let mut floods: Vec<Flow> = (0..5).map(|_| Flow::default()).collect();
            let passed: Vec<_> = floods
                .iter_mut()
                .map(|flow| passed_of(flow, 1_000))
                .collect();
            // The first takes half of the node's; the others have their first few.
            assert_eq!(passed, [100, 10, 10, 10, 10]);
            let mut modest = Flow::default();
            assert_eq!(passed_of(&mut modest, 3), 3);
            // All of the node's is used up in the end, whoever writes.
            let many: usize = (0..100).map(|_| passed_of(&mut Flow::default(), 5)).sum();
            assert_eq!(many + 143, 200);
            // What did not pass is told with the next that does.
            runtime.sleep(WINDOW).await;
            let told = floods[1].take_of(&mut node, runtime.now(), 10, most, node_most);
            assert_eq!(told, Some(990));
        });
    }
}
