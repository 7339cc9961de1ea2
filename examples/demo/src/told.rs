//! What the consumers have printed: who believes to own which partition, and since when.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use innkeeper_consumer::Assignment;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::group::TOPIC;

/// The assignments that the consumers have printed.
#[derive(Default)]
pub(super) struct Told {
    lines: Mutex<Lines>,
    changed: Notify,
}

#[derive(Default)]
struct Lines {
    /// The last assignment of each consumer that runs.
    by_member: BTreeMap<String, Assignment>,
    /// What each line changed, in the order of the lines.
    history: Vec<Line>,
}

/// A consumer's line; without partitions when the consumer has ended.
struct Line {
    at: Instant,
    member: String,
    partitions: Vec<u32>,
}

/// The longest times for which a partition was not owned by exactly one consumer, by what the
/// consumers printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Disputes {
    /// Two consumers believed to own the same partition.
    pub(super) two_owners: Duration,
    /// No consumer believed to own a partition.
    pub(super) no_owner: Duration,
}

impl Told {
    /// Notes a consumer's assignment.
    pub(super) fn tell(&self, member: &str, assignment: Assignment) {
        let mut lines = self.lines.lock();
        lines.history.push(Line {
            at: Instant::now(),
            member: member.to_owned(),
            partitions: assignment.topics.get(TOPIC).cloned().unwrap_or_default(),
        });
        lines.by_member.insert(member.to_owned(), assignment);
        drop(lines);
        self.changed.notify_waiters();
    }

    /// Notes that a consumer has ended.
    pub(super) fn forget(&self, member: &str) {
        let mut lines = self.lines.lock();
        lines.history.push(Line {
            at: Instant::now(),
            member: member.to_owned(),
            partitions: Vec::new(),
        });
        lines.by_member.remove(member);
    }

    /// Waits until all of `members` have printed an assignment of this generation.
    pub(super) async fn wait_for(
        &self,
        generation: u64,
        members: &[String],
    ) -> BTreeMap<String, Assignment> {
        loop {
            let changed = self.changed.notified();
            {
                let told = &self.lines.lock().by_member;
                let heard = |member| {
                    told.get(member)
                        .is_some_and(|it: &Assignment| it.generation >= generation)
                };
                if members.iter().all(heard) {
                    return told.clone();
                }
            }
            changed.await;
        }
    }

    /// The disputes about the partitions `0..partitions` from `since` to `until`.
    pub(super) fn disputes(&self, partitions: u32, since: Instant, until: Instant) -> Disputes {
        disputes(&self.lines.lock().history, partitions, since, until)
    }
}

fn disputes(history: &[Line], partitions: u32, since: Instant, until: Instant) -> Disputes {
    let mut worst = Disputes::default();
    for partition in 0..partitions {
        let mut owners: Vec<&str> = Vec::new();
        let mut at = since;
        for line in history.iter().take_while(|line| line.at < until) {
            if line.at > at {
                worst.note(owners.len(), line.at - at);
                at = line.at;
            }
            owners.retain(|owner| *owner != line.member);
            if line.partitions.contains(&partition) {
                owners.push(&line.member);
            }
        }
        worst.note(owners.len(), until.saturating_duration_since(at));
    }
    worst
}

impl Disputes {
    fn note(&mut self, owners: usize, lasted: Duration) {
        match owners {
            0 => self.no_owner = self.no_owner.max(lasted),
            1 => {}
            _ => self.two_owners = self.two_owners.max(lasted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_in_dispute_between_the_lines_of_its_old_and_its_new_owner() {
        let begun = Instant::now();
        let after = |ms| begun + Duration::from_millis(ms);
        let line = |ms, member: &str, partitions: &[u32]| Line {
            at: after(ms),
            member: member.to_owned(),
            partitions: partitions.to_vec(),
        };
        let history = [
            line(0, "a", &[0, 1]),
            line(1, "b", &[2]),
            // b believes to own partition 1 before a has read that it lost it.
            line(20, "b", &[1, 2]),
            line(27, "a", &[0]),
            // a has lost partition 0, and b gets it later.
            line(40, "a", &[]),
            line(52, "b", &[0, 1, 2]),
        ];
        let of = |since, until| disputes(&history, 3, after(since), after(until));
        assert_eq!(
            of(10, 100),
            Disputes {
                two_owners: Duration::from_millis(7),
                no_owner: Duration::from_millis(12),
            }
        );
        assert_eq!(of(10, 20), Disputes::default());
        assert_eq!(of(60, 100), Disputes::default());
        assert_eq!(of(45, 50).no_owner, Duration::from_millis(5));
        assert_eq!(of(22, 25).two_owners, Duration::from_millis(3));
    }
}
