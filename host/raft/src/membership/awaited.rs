//! Whom a group waits for, and who keeps a vote meanwhile.
//!
//! A replaced voter keeps its vote until all members that are to vote do so, however long that
//! takes: without it the group would be smaller than its operator wants, and could lose its quorum
//! with the next machine. Only the operator knows whether the new machine will ever start. So the
//! leader says whom it waits for, and the operator starts that node or takes it out of the group.
//! (tests: `a_replaced_voter_counts_until_its_successor_votes`,
//! `whom_the_group_waits_for_is_told_once_and_once_more_when_it_is_over`)

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use innkeeper_runtime::Instant;

use crate::types::NodeId;

/// Members that are to vote and do not yet, while others keep their votes for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Awaited {
    /// Those that are to vote and do not answer.
    pub(super) silent: BTreeSet<NodeId>,
    /// Those that are to vote and answer. They get what they lack.
    pub(super) catching_up: BTreeSet<NodeId>,
    /// Those that vote and are to go.
    pub(super) staying: BTreeSet<NodeId>,
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            silent,
            catching_up,
            staying,
        } = self;
        let awaited = silent.union(catching_up).copied().collect();
        write!(
            f,
            "the group waits for {} to vote, and lets {} vote until then",
            Nodes(&awaited),
            Nodes(staying)
        )?;
        if silent.is_empty() {
            return Ok(());
        }
        write!(
            f,
            "; nothing is heard of {}: start it, or take it out of the group",
            Nodes(silent)
        )
    }
}

/// Names nodes in a sentence.
struct Nodes<'a>(&'a BTreeSet<NodeId>);

impl fmt::Display for Nodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, node) in self.0.iter().enumerate() {
            let between = if place == 0 { "" } else { " and " };
            write!(f, "{between}node {node}")?;
        }
        Ok(())
    }
}

/// What the log is to hear.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The group has waited for long.
    Waits(Awaited),
    /// This is over.
    Over,
}

/// What the log has heard of it.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// For whom the group waits, and since when.
    awaited: Option<(Awaited, Instant)>,
    /// What was told last.
    told: Option<Awaited>,
}

impl Told {
    /// Takes what the leader sees now. What it has seen for `limit` is told once, and so is the end
    /// of it all.
    pub(super) fn look(
        &mut self,
        seen: Option<Awaited>,
        now: Instant,
        limit: Duration,
    ) -> Option<News> {
        let Some(seen) = seen else {
            let before = std::mem::take(self);
            return before.told.map(|_| News::Over);
        };
        let since = match &self.awaited {
            Some((before, since)) if *before == seen => *since,
            _ => now,
        };
        self.awaited = Some((seen.clone(), since));
        if now.since(since) < limit || self.told.as_ref() == Some(&seen) {
            return None;
        }
        self.told = Some(seen.clone());
        Some(News::Waits(seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn awaited(silent: &[NodeId], catching_up: &[NodeId]) -> Awaited {
        Awaited {
            silent: silent.iter().copied().collect(),
            catching_up: catching_up.iter().copied().collect(),
            staying: [2, 3].into(),
        }
    }

    #[test]
    fn whom_the_group_waits_for_is_told_once_and_once_more_when_it_is_over() {
        let mut told = Told::default();
        let (silent, answering) = (awaited(&[4], &[]), awaited(&[], &[4]));
        assert_eq!(told.look(None, at(0), LIMIT), None);
        assert_eq!(told.look(Some(silent.clone()), at(1), LIMIT), None);
        assert_eq!(told.look(Some(silent.clone()), at(10), LIMIT), None);
        let news = Some(News::Waits(silent.clone()));
        assert_eq!(told.look(Some(silent.clone()), at(11), LIMIT), news);
        assert_eq!(told.look(Some(silent), at(60), LIMIT), None);
        // It has been started, and takes long.
        assert_eq!(told.look(Some(answering.clone()), at(61), LIMIT), None);
        let news = Some(News::Waits(answering.clone()));
        assert_eq!(told.look(Some(answering), at(71), LIMIT), news);
        assert_eq!(told.look(None, at(72), LIMIT), Some(News::Over));
        assert_eq!(told.look(None, at(73), LIMIT), None);
    }

    #[test]
    fn the_end_is_told_although_it_was_another_wait_by_then() {
        let mut told = Told::default();
        let (silent, answering) = (awaited(&[4], &[]), awaited(&[], &[4]));
        assert_eq!(told.look(Some(silent.clone()), at(1), LIMIT), None);
        let news = Some(News::Waits(silent.clone()));
        assert_eq!(told.look(Some(silent), at(11), LIMIT), news);
        assert_eq!(told.look(Some(answering), at(12), LIMIT), None);
        assert_eq!(told.look(None, at(13), LIMIT), Some(News::Over));
    }

    #[test]
    fn a_change_without_a_long_wait_is_not_told() {
        let mut told = Told::default();
        assert_eq!(told.look(Some(awaited(&[4], &[])), at(1), LIMIT), None);
        assert_eq!(told.look(Some(awaited(&[], &[4])), at(11), LIMIT), None);
        assert_eq!(told.look(None, at(12), LIMIT), None);
    }

    #[test]
    fn the_sentence_says_whom_to_start() {
        assert_eq!(
            awaited(&[4], &[5]).to_string(),
            "the group waits for node 4 and node 5 to vote, and lets node 2 and node 3 vote until \
             then; nothing is heard of node 4: start it, or take it out of the group"
        );
        assert_eq!(
            awaited(&[], &[5]).to_string(),
            "the group waits for node 5 to vote, and lets node 2 and node 3 vote until then"
        );
    }
}
