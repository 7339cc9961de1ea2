//! How far the other members are behind their leader, and which ones it has named as late.
//!
//! 1. The established leader [looks](Members::look) at raft's progress again and again
//!    (`tasks/watch_members.rs`). Each look leaves a mark at every member: the end of the leader's log.
//! 2. A member that has reached the mark and was heard is in step: it has all that the leader had at
//!    the look before.
//! 3. A member that is not in step within `initLimit` ticks after the leader or its contact began, or
//!    that was in step and is not for `syncLimit` ticks, is late. This is told once, and once more
//!    when the member is in step again. It has no other effect: no election is slower for it.
//!
//! Time is counted in looks. So a leader whose process was stopped does not take all others for late.

use std::collections::BTreeMap;

use innkeeper_raft::PeerProgress;
use parking_lot::Mutex;

use std::time::Duration;

/// Why a member is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// It has not caught up within `initLimit` ticks.
    Start,
    /// It lags for longer than `syncLimit` ticks.
    Behind,
}

/// What the leader knows of one other member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberLag {
    /// The member.
    pub node: u64,
    /// How many entries of the leader's log it has not acknowledged.
    pub entries: u64,
    /// The age of its last acknowledgement in milliseconds; `None` if this leader has none.
    pub heard_ms: Option<u64>,
    /// When its contact with this leader began, in milliseconds since 1970; `None` if there is none
    /// now.
    pub contact_ms: Option<u64>,
    /// It has contact, has caught up once, and is not late.
    pub synced: bool,
    /// Why it is late, if it is.
    pub late: Option<Late>,
}

/// The limits, counted in looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// `initLimit`.
    pub(crate) start: u64,
    /// `syncLimit`.
    pub(crate) behind: u64,
    /// Within this age of its last acknowledgement a member has contact.
    pub(crate) contact: Duration,
}

/// A member has become late, or is in step again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) node: u64,
    /// Why it is late; `None` if it is in step again.
    pub(crate) late: Option<Late>,
}

/// The table of the other members. It is empty on a node that does not lead.
#[derive(Debug, Default)]
pub(crate) struct Members {
    inner: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    term: u64,
    looks: u64,
    by_node: BTreeMap<u64, Watched>,
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    /// The look from which on it is to catch up.
    since: u64,
    /// The look at whose time it had everything; `None` before it has caught up.
    in_step: Option<u64>,
    /// The end of the leader's log at the look before.
    mark: u64,
    progress: PeerProgress,
    contact_ms: Option<u64>,
    late: Option<Late>,
}

impl Watched {
    fn new(since: u64) -> Self {
        Self {
            since,
            in_step: None,
            mark: u64::MAX,
            progress: PeerProgress::default(),
            contact_ms: None,
            late: None,
        }
    }

    /// Returns whether its lateness has changed.
    fn look(&mut self, look: u64, progress: PeerProgress, limits: &Limits, wall_ms: u64) -> bool {
        let has_contact = progress.heard.is_some_and(|age| age <= limits.contact);
        match (has_contact, self.contact_ms) {
            (true, None) => {
                self.contact_ms = Some(wall_ms);
                if self.in_step.is_none() {
                    self.since = look;
                }
            }
            (false, Some(_)) => self.contact_ms = None,
            _ => {}
        }
        if has_contact && progress.has >= self.mark {
            self.in_step = Some(look);
        }
        self.mark = progress.has + progress.lacks;
        self.progress = progress;
        let late = match self.in_step {
            None => (look - self.since > limits.start).then_some(Late::Start),
            Some(at) => (look - at > limits.behind).then_some(Late::Behind),
        };
        // Late for one reason is not well because the other one would count by now.
        let late = match (self.late, self.in_step) {
            (Some(before), at) if at != Some(look) => Some(before),
            _ => late,
        };
        let has_changed = late.is_some() != self.late.is_some();
        self.late = late;
        has_changed
    }

    fn lag(&self, node: u64) -> MemberLag {
        let heard_ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        MemberLag {
            node,
            entries: self.progress.lacks,
            heard_ms: self.progress.heard.map(heard_ms),
            contact_ms: self.contact_ms,
            synced: self.contact_ms.is_some() && self.in_step.is_some() && self.late.is_none(),
            late: self.late,
        }
    }
}

impl Members {
    /// The established leader of a term looks at all other members. Returns which have become late,
    /// and which are in step again.
    pub(crate) fn look(
        &self,
        term: u64,
        peers: &BTreeMap<u64, PeerProgress>,
        limits: &Limits,
        wall_ms: u64,
    ) -> Vec<News> {
        let mut table = self.inner.lock();
        if table.term != term {
            *table = Table {
                term,
                ..Table::default()
            };
        }
        table.looks += 1;
        let look = table.looks;
        table.by_node.retain(|node, _| peers.contains_key(node));
        let mut news = Vec::new();
        for (node, progress) in peers {
            let watched = table
                .by_node
                .entry(*node)
                .or_insert_with(|| Watched::new(look));
            if watched.look(look, *progress, limits, wall_ms) {
                news.push(News {
                    node: *node,
                    late: watched.late,
                });
            }
        }
        news
    }

    /// This node does not lead.
    pub(crate) fn clear(&self) {
        *self.inner.lock() = Table::default();
    }

    /// What the leader knew of each at its last look.
    pub(crate) fn lags(&self) -> Vec<MemberLag> {
        let table = self.inner.lock();
        let all = table.by_node.iter();
        all.map(|(node, watched)| watched.lag(*node)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        start: 10,
        behind: 3,
        contact: Duration::from_millis(1_000),
    };

    fn progress(has: u64, lacks: u64, heard_ms: Option<u64>) -> PeerProgress {
        PeerProgress {
            has,
            lacks,
            heard: heard_ms.map(Duration::from_millis),
        }
    }

    struct Stage(Members, u64);

    impl Stage {
        /// One look at member 2.
        fn look(&mut self, progress: PeerProgress) -> Vec<Option<Late>> {
            self.1 += 1;
            let news = self.0.look(7, &[(2, progress)].into(), &LIMITS, self.1);
            assert!(news.iter().all(|news| news.node == 2));
            news.iter().map(|news| news.late).collect()
        }

        fn lag(&self) -> MemberLag {
            self.0.lags()[0]
        }
    }

    #[test]
    fn a_member_that_does_not_catch_up_is_named_once_and_once_more_when_it_is_well() {
        let mut stage = Stage(Members::default(), 0);
        // Not heard: the leader's beginning counts.
        for _ in 0..8 {
            assert_eq!(stage.look(progress(0, 50, None)), []);
        }
        // Contact begins, and with it initLimit.
        let mut end = 60;
        for _ in 0..=10 {
            end += 10;
            assert_eq!(stage.look(progress(5, end - 5, Some(20))), []);
            assert!(!stage.lag().synced);
        }
        assert_eq!(stage.lag().contact_ms, Some(9));
        end += 10;
        let late = stage.look(progress(5, end - 5, Some(20)));
        assert_eq!(late, [Some(Late::Start)]);
        assert_eq!(stage.look(progress(6, end - 6, Some(20))), []);
        assert_eq!(stage.lag().late, Some(Late::Start));
        // It has what the leader had at the look before, although there is more by now.
        assert_eq!(stage.look(progress(end, 40, Some(20))), [None]);
        assert!(stage.lag().synced);
        assert_eq!((stage.lag().entries, stage.lag().late), (40, None));
    }

    #[test]
    fn a_member_that_lags_or_is_silent_for_longer_than_its_limit_is_named_once() {
        for (lacks, heard_ms) in [(40, 20), (0, 1_001)] {
            let mut stage = Stage(Members::default(), 0);
            stage.look(progress(100, 0, Some(20)));
            assert_eq!(stage.look(progress(100, 0, Some(20))), []);
            assert!(stage.lag().synced);
            stage.look(progress(100, lacks, Some(heard_ms)));
            let mut news = Vec::new();
            for _ in 0..20 {
                news.extend(stage.look(progress(100, lacks, Some(heard_ms))));
            }
            assert_eq!(news, [Some(Late::Behind)]);
            assert_eq!(stage.lag().contact_ms.is_some(), heard_ms == 20);
            assert!(!stage.lag().synced);
            assert_eq!(stage.look(progress(140, 0, Some(20))), [None]);
        }
    }

    #[test]
    fn a_member_under_load_is_always_some_entries_behind_and_never_late() {
        let mut stage = Stage(Members::default(), 0);
        for look in 0..100 {
            assert_eq!(stage.look(progress(look * 500, 499, Some(20))), []);
        }
        assert!(stage.lag().synced);
    }

    #[test]
    fn another_term_and_a_member_that_goes_begin_anew() {
        let mut stage = Stage(Members::default(), 0);
        for _ in 0..20 {
            stage.look(progress(0, 9, None));
        }
        assert_eq!(stage.lag().late, Some(Late::Start));
        let peers = [(2, progress(0, 9, None))].into();
        assert_eq!(stage.0.look(8, &peers, &LIMITS, 0), []);
        assert_eq!(stage.lag().late, None);
        stage.0.look(8, &BTreeMap::new(), &LIMITS, 0);
        assert_eq!(stage.0.lags(), []);
    }
}
