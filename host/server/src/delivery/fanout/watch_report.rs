//! What ZooKeeper's `wchp`, `wchc` and `wchs` show: the paths with watches on data, persistent
//! ones included, and the sessions that watch them.
//!
//! 1. The watch table is walked in runs ([`Walk`]). The lock, for which apply waits, is held for
//!    one run at a time, and between two runs apply gets it.
//! 2. A report gives out one run after the other, without the lock. It keeps the run, and of the
//!    sessions their numbers, but no other part of the table.
//! 3. The table may change between runs: a report has each watch that was there during the whole
//!    walk, and some of those that were added or removed meanwhile. It shows no path and no session
//!    twice.
//!
//! By path, the report is in the order of the table: roughly, the path that was watched first
//! comes first. By session, it is in the order of the sessions' numbers; a table that is ordered by
//! path is walked once for each group of sessions ([`GROUP_WATCHES`]).

use std::sync::Arc;

use innkeeper_tree::SessionId;
use parking_lot::MutexGuard;
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::Fanout;

/// The watches that a report by session gathers in one walk over the table: 1 MiB of references. A
/// session that has more has a walk to itself, in which nothing is gathered.
const GROUP_WATCHES: usize = 64 * 1024;

/// Seats that are looked at while the lock is held once.
const RUN_SEATS: usize = 16 * 1024;

/// A watched path and the sessions that watch it; each session is there once, in order.
type Found = (Arc<str>, SmallVec<[SessionId; 2]>);

/// What a report on watches is made of. By path, each path is followed by its sessions; by
/// session, each session is followed by its paths.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WatchItem {
    /// A watched path.
    Path(Arc<str>),
    /// A session that watches.
    Session(SessionId),
    /// A run over the table ended, and the lock was released: a good moment to let others act.
    Pause,
}

impl Fanout {
    /// The watched paths, each with the sessions that watch it.
    pub fn watches_by_path(self: &Arc<Self>) -> impl Iterator<Item = WatchItem> + Send + use<> {
        Walk::begin(self).flat_map(|run| {
            let items = run.into_iter().flat_map(|(path, sessions)| {
                let sessions = sessions.into_iter().map(WatchItem::Session);
                std::iter::once(WatchItem::Path(path)).chain(sessions)
            });
            items.chain(Some(WatchItem::Pause))
        })
    }

    /// The sessions that watch, each with the paths that it watches.
    pub fn watches_by_session(self: &Arc<Self>) -> impl Iterator<Item = WatchItem> + Send + use<> {
        self.in_groups(GROUP_WATCHES)
    }

    /// How many sessions watch, how many paths are watched, and how many pairs of them there
    /// are.
    pub fn watch_numbers(self: &Arc<Self>) -> (usize, usize, usize) {
        let mut watching = FxHashSet::default();
        let (mut paths, mut total) = (0, 0);
        for (_, sessions) in Walk::begin(self).flatten() {
            paths += 1;
            total += sessions.len();
            watching.extend(sessions);
        }
        (watching.len(), paths, total)
    }

    fn in_groups(
        self: &Arc<Self>,
        group_watches: usize,
    ) -> impl Iterator<Item = WatchItem> + Send + use<> {
        // The lock is given back before the sessions are looked at.
        let newest_stamp = self.inner.lock().watches.last_stamp();
        let by_session = BySession {
            walk: None,
            fanout: self.clone(),
            newest_stamp,
            sessions: self.watching_sessions().into_iter().peekable(),
            group_watches,
            group: Vec::new(),
            gathered: Vec::new(),
        };
        let mut last = None;
        by_session.flat_map(move |pairs| {
            let mut items = Vec::with_capacity(pairs.len() + 2);
            for (session, path) in pairs {
                if last.replace(session) != Some(session) {
                    items.push(WatchItem::Session(session));
                }
                items.push(WatchItem::Path(path));
            }
            items.push(WatchItem::Pause);
            items
        })
    }

    /// The sessions that watch anything, in order, and how many paths each of them watches.
    fn watching_sessions(&self) -> Vec<(SessionId, usize)> {
        let mut sessions = Vec::new();
        let mut from = 0;
        loop {
            let inner = self.inner.lock();
            let end = inner.seats.len().min(from + RUN_SEATS);
            for seat in from..end {
                let paths = inner.watches.watched_by(seat as u32);
                if let (Some(served), 1..) = (&inner.seats[seat], paths) {
                    sessions.push((served.session, paths));
                }
            }
            let is_last = end == inner.seats.len();
            MutexGuard::unlock_fair(inner);
            if is_last {
                break;
            }
            from = end;
        }
        sessions.sort_unstable();
        sessions.dedup_by(|again, first| {
            let is_same = again.0 == first.0;
            if is_same {
                first.1 += again.1;
            }
            is_same
        });
        sessions
    }
}

/// A walk over the watch table, one run at a time.
///
/// Invariants:
/// - The fan-out's lock is free between two runs of a report.
///   (test: `the_lock_is_free_between_the_runs_of_a_report`)
/// - A report shows a path once, also if it is removed and added again at another place: paths that
///   came into the table after the walk began are left out.
///   (test: `a_path_that_moved_is_shown_once`)
struct Walk {
    fanout: Arc<Fanout>,
    newest_stamp: u64,
    /// Where the next run begins; `None` after the last.
    next: Option<usize>,
}

impl Walk {
    fn begin(fanout: &Arc<Fanout>) -> Self {
        let newest_stamp = fanout.inner.lock().watches.last_stamp();
        Self::with_stamp(fanout, newest_stamp)
    }

    fn with_stamp(fanout: &Arc<Fanout>, newest_stamp: u64) -> Self {
        Self {
            fanout: fanout.clone(),
            newest_stamp,
            next: Some(0),
        }
    }
}

impl Iterator for Walk {
    type Item = Vec<Found>;

    fn next(&mut self) -> Option<Vec<Found>> {
        let from = self.next?;
        let mut run: Vec<Found> = Vec::new();
        let inner = self.fanout.inner.lock();
        self.next = inner
            .watches
            .on_data(from, self.newest_stamp, |path, listeners| {
                let seats = listeners
                    .iter()
                    .map(|watcher| &inner.seats[*watcher as usize]);
                let sessions = seats.flatten().map(|served| served.session).collect();
                run.push((path.clone(), sessions));
            });
        // The mutex is not fair by itself: without this, the thread would lock it again before
        // apply has woken up.
        MutexGuard::unlock_fair(inner);
        for (_, sessions) in &mut run {
            sessions.sort_unstable();
            sessions.dedup();
        }
        Some(run)
    }
}

/// A report by session: pairs of a session and one of its paths, those of one session together. A
/// step is one run of a walk, and may bring nothing.
struct BySession {
    fanout: Arc<Fanout>,
    newest_stamp: u64,
    /// The sessions that no walk was made for yet, in order, and how many paths each watches.
    sessions: std::iter::Peekable<std::vec::IntoIter<(SessionId, usize)>>,
    group_watches: usize,
    /// The sessions that the walk is for, in order; if it is one alone, its paths are given out
    /// run by run.
    group: Vec<SessionId>,
    walk: Option<Walk>,
    /// What the walk has found of the group.
    gathered: Vec<(SessionId, Arc<str>)>,
}

impl BySession {
    /// The next sessions, at most as many as have `group_watches` together, and at least one.
    fn next_group(&mut self) -> Vec<SessionId> {
        let mut left = self.group_watches;
        let mut group = Vec::new();
        while let Some((session, paths)) = self
            .sessions
            .next_if(|(_, paths)| group.is_empty() || *paths <= left)
        {
            left = left.saturating_sub(paths);
            group.push(session);
        }
        group
    }
}

impl Iterator for BySession {
    type Item = Vec<(SessionId, Arc<str>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let run = match &mut self.walk {
            Some(walk) => walk.next(),
            None => {
                self.group = self.next_group();
                if self.group.is_empty() {
                    return None;
                }
                let walk = Walk::with_stamp(&self.fanout, self.newest_stamp);
                self.walk.insert(walk).next()
            }
        };
        let is_over = run.is_none();
        for (path, sessions) in run.into_iter().flatten() {
            let wanted = sessions.into_iter();
            let wanted = wanted.filter(|session| self.group.binary_search(session).is_ok());
            self.gathered
                .extend(wanted.map(|session| (session, path.clone())));
        }
        if is_over {
            self.walk = None;
            // A stable sort: the paths of a session stay in the order of the table.
            self.gathered.sort_by_key(|(session, _)| *session);
        } else if self.group.len() > 1 {
            return Some(Vec::new());
        }
        Some(std::mem::take(&mut self.gathered))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::delivery::fanout::SeatGuard;
    use crate::delivery::watches::{Kind, RUN_PATHS, Watches};
    use crate::expiry::Expiry;

    /// A fan-out, and that many sessions: the later the seat, the smaller the session's number.
    fn fanout(sessions: u64) -> (Arc<Fanout>, Vec<(SessionId, SeatGuard)>) {
        let expiry = Arc::new(Expiry::new(10, false));
        let fanout = Arc::new(Fanout::new(
            Arc::default(),
            expiry,
            Arc::default(),
            Arc::default(),
        ));
        let seats = (1..=sessions).rev().map(|number| {
            let session = SessionId(number);
            let seat = fanout.attach(session, 1, Arc::default(), None, || Some(1));
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
        let mut by_path: BTreeMap<String, Vec<SessionId>> = BTreeMap::new();
        let mut path = String::new();
        for item in fanout.watches_by_path() {
            match item {
                WatchItem::Path(shown) => {
                    path = shown.to_string();
                    let again = by_path.insert(path.clone(), Vec::new());
                    assert_eq!(again, None, "{path} is shown once");
                }
                WatchItem::Session(session) => by_path.get_mut(&path).unwrap().push(session),
                WatchItem::Pause => {}
            }
        }
        let wanted = expected
            .iter()
            .map(|(path, sessions)| (path.clone(), sessions.iter().copied().collect::<Vec<_>>()));
        assert!(by_path.into_iter().eq(wanted));

        let mut expected_by_session: BTreeMap<SessionId, BTreeSet<String>> = BTreeMap::new();
        for (path, sessions) in &expected {
            for session in sessions {
                let paths = expected_by_session.entry(*session).or_default();
                paths.insert(path.clone());
            }
        }
        // Each session by itself, a few together, and all together.
        for group_watches in [0, 1_000, usize::MAX] {
            let mut by_session: Vec<(SessionId, BTreeSet<String>)> = Vec::new();
            for item in fanout.in_groups(group_watches) {
                match item {
                    WatchItem::Session(session) => by_session.push((session, BTreeSet::new())),
                    WatchItem::Path(path) => {
                        let paths = &mut by_session.last_mut().unwrap().1;
                        assert!(paths.insert(path.to_string()), "{path} is shown once");
                    }
                    WatchItem::Pause => {}
                }
            }
            assert!(
                by_session.into_iter().eq(expected_by_session.clone()),
                "groups of {group_watches}"
            );
        }
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
        let mut report = fanout.watches_by_path();
        let mut shown = 0;
        for item in &mut report {
            shown += usize::from(matches!(item, WatchItem::Path(_)));
            let mut inner = fanout.inner.try_lock().expect("nobody holds the lock");
            // What goes before its run comes is not shown.
            inner.watches.drop_watcher(watcher);
        }
        assert_eq!(shown, RUN_PATHS);
        assert_eq!(fanout.watch_numbers(), (0, 0, 0));
    }

    /// Begins a report of one kind.
    type Begin = fn(&Arc<Fanout>) -> Box<dyn Iterator<Item = WatchItem>>;

    #[test]
    fn a_path_that_moved_is_shown_once() {
        let (fanout, seats) = fanout(1);
        let watcher = seats[0].1.watcher;
        let change = |change: &dyn Fn(&mut Watches)| change(&mut fanout.inner.lock().watches);
        let path = |number: usize| format!("/{number}");
        for number in 0..2 * RUN_PATHS {
            change(&|watches| assert!(watches.add(watcher, &path(number), Kind::Data)));
        }
        let reports: [Begin; 3] = [
            |fanout| Box::new(fanout.watches_by_path()),
            |fanout| Box::new(fanout.watches_by_session()),
            |fanout| Box::new(fanout.in_groups(0)),
        ];
        for begin in reports {
            let mut report = begin(&fanout);
            let mut shown: Vec<WatchItem> = report
                .by_ref()
                .take_while(|item| *item != WatchItem::Pause)
                .collect();
            // The first path takes the place of one in the second run.
            change(&|watches| {
                watches.remove(watcher, &path(0), Kind::Data);
                watches.remove(watcher, &path(RUN_PATHS + 5), Kind::Data);
                watches.add(watcher, &path(0), Kind::Data);
                watches.add(watcher, &path(RUN_PATHS + 5), Kind::Data);
            });
            shown.extend(report);
            let first = WatchItem::Path(path(0).into());
            assert_eq!(shown.iter().filter(|item| **item == first).count(), 1);
            // Back to where they were.
            change(&|watches| {
                watches.remove(watcher, &path(RUN_PATHS + 5), Kind::Data);
                watches.remove(watcher, &path(0), Kind::Data);
                watches.add(watcher, &path(RUN_PATHS + 5), Kind::Data);
                watches.add(watcher, &path(0), Kind::Data);
            });
        }
    }
}
