//! What ZooKeeper's `wchp`, `wchc` and `wchs` show: the paths with watches on data, persistent
//! ones included, and the sessions whose they are.
//!
//! 1. The watch table is walked in runs. The lock, for which apply waits, is held for one run at
//!    a time, and between two runs whoever waits for it gets it.
//! 2. What a run found is used after the lock was released.
//! 3. So the table may change between runs: a report holds each watch that stood all the while,
//!    and of those that came or went meanwhile some. A path that moved to another place is still
//!    one path.

use std::sync::Arc;

use innkeeper_tree::SessionId;
use parking_lot::MutexGuard;
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::Fanout;

/// A watched path and its sessions.
type Found = (Arc<str>, SmallVec<[SessionId; 2]>);

impl Fanout {
    /// The watched paths and the sessions whose they are, both in order.
    pub fn watch_report(&self) -> Vec<(Arc<str>, Vec<SessionId>)> {
        let mut report = Vec::new();
        self.walk_watches(|(path, sessions)| report.push((path, sessions.into_vec())));
        in_order(&mut report);
        report
    }

    /// How many sessions watch, how many paths are watched, and how many pairs of them there
    /// are.
    pub fn watch_numbers(&self) -> (usize, usize, usize) {
        let mut watching = FxHashSet::default();
        let (mut paths, mut total) = (0, 0);
        self.walk_watches(|(_, sessions)| {
            paths += 1;
            total += sessions.len();
            watching.extend(sessions);
        });
        (watching.len(), paths, total)
    }

    /// Shows every watched path while the lock is not held.
    fn walk_watches(&self, mut each: impl FnMut(Found)) {
        let mut run: Vec<Found> = Vec::new();
        let mut next = Some(0);
        while let Some(from) = next {
            let inner = self.inner.lock();
            next = inner.watches.on_data(from, |path, listeners| {
                let seats = listeners
                    .iter()
                    .map(|watcher| &inner.seats[*watcher as usize]);
                let sessions = seats.flatten().map(|served| served.session).collect();
                run.push((path.clone(), sessions));
            });
            // Without fairness this thread would have the lock again before apply has woken up.
            MutexGuard::unlock_fair(inner);
            run.drain(..).for_each(&mut each);
        }
    }
}

/// Sorts, and makes one of what was found twice.
fn in_order(report: &mut Vec<(Arc<str>, Vec<SessionId>)>) {
    report.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    report.dedup_by(|again, first| {
        let is_same = again.0 == first.0;
        if is_same {
            first.1.append(&mut again.1);
        }
        is_same
    });
    for (_, sessions) in report {
        sessions.sort_unstable();
        sessions.dedup();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::delivery::fanout::SeatGuard;
    use crate::delivery::watches::{Kind, RUN_PATHS};
    use crate::expiry::Expiry;

    /// A fan-out, and that many sessions: the later the seat, the smaller the session's number.
    fn fanout(sessions: u64) -> (Arc<Fanout>, Vec<(SessionId, SeatGuard)>) {
        let expiry = Arc::new(Expiry::new(10));
        let fanout = Arc::new(Fanout::new(Arc::default(), expiry, Arc::default()));
        let seats = (1..=sessions).rev().map(|number| {
            let session = SessionId(number);
            let seat = fanout.attach(session, 1, Arc::default(), || Some(1));
            (session, seat.unwrap())
        });
        let seats = seats.collect();
        (fanout, seats)
    }

    #[test]
    fn a_report_over_many_runs_is_what_one_look_would_show() {
        let (fanout, seats) = fanout(50);
        let mut expected: BTreeMap<String, BTreeSet<SessionId>> = BTreeMap::new();
        {
            let watches = &mut fanout.inner.lock().watches;
            for number in 0..3 * RUN_PATHS + 7 {
                let path = format!("/{number}");
                // Every seventh path has all, which makes runs end early; others have few.
                let count = if number % 7 == 0 {
                    seats.len()
                } else {
                    number % 3
                };
                for (session, seat) in &seats[..count] {
                    let kind = Kind::ALL[(number / 3 + seat.watcher as usize) % 4];
                    watches.add(seat.watcher, &path, kind);
                    watches.add(seat.watcher, &path, Kind::Child);
                    if number % 5 == 0 {
                        watches.remove(seat.watcher, &path, kind);
                        watches.remove(seat.watcher, &path, Kind::Child);
                    } else if kind != Kind::Child {
                        expected.entry(path.clone()).or_default().insert(*session);
                    }
                }
            }
        }
        let report = fanout.watch_report();
        let shown = report
            .iter()
            .map(|(path, sessions)| (path.to_string(), sessions.clone()));
        let wanted = expected
            .iter()
            .map(|(path, sessions)| (path.clone(), sessions.iter().copied().collect()));
        assert!(shown.eq(wanted));
        let total = expected.values().map(BTreeSet::len).sum();
        assert_eq!(fanout.watch_numbers(), (50, expected.len(), total));
    }

    #[test]
    fn the_lock_is_free_between_the_runs_of_a_report() {
        let (fanout, seats) = fanout(1);
        let watcher = seats[0].1.watcher;
        for number in 0..2 * RUN_PATHS {
            let watches = &mut fanout.inner.lock().watches;
            watches.add(watcher, &format!("/{number}"), Kind::Data);
        }
        let mut shown = 0;
        fanout.walk_watches(|_| {
            shown += 1;
            let mut inner = fanout.inner.try_lock().expect("nobody holds the lock");
            // What goes before its run comes is not shown.
            inner.watches.drop_watcher(watcher);
        });
        assert_eq!(shown, RUN_PATHS);
        assert_eq!(fanout.watch_numbers(), (0, 0, 0));
    }

    #[test]
    fn a_path_found_twice_is_one() {
        let found = |path: &str, sessions: &[u64]| {
            let sessions = sessions.iter().map(|number| SessionId(*number));
            (Arc::from(path), sessions.collect::<Vec<_>>())
        };
        let mut report = vec![
            found("/b", &[2, 3]),
            found("/a", &[4]),
            found("/b", &[1, 2]),
        ];
        in_order(&mut report);
        assert_eq!(report, [found("/a", &[4]), found("/b", &[1, 2, 3])]);
    }
}
