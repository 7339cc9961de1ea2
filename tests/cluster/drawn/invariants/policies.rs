//! **No write is decided by another policy than the one that is in force.** A write has the zxid of
//! a state whose policy allows it. And no write is refused if every policy that was in force from
//! before it was sent until after its answer allows it.

use std::collections::{BTreeMap, BTreeSet};

use innkeeper_runtime::Instant;
use innkeeper_tree::View;

use super::super::clients::{DOORS, door};

/// The policy, and what was decided by it.
#[derive(Default)]
pub struct Policies {
    /// By zxid: whether the policy forbids writes from there on.
    flips: BTreeMap<i64, bool>,
    /// The zxids of all writes that some client or some state told of.
    written: BTreeSet<i64>,
    turns: Vec<Turn>,
    /// When each refused write was about to be sent, and when its answer was there.
    refused: Vec<(Instant, Instant)>,
}

/// One flip: it happened between two moments.
struct Turn {
    forbids: bool,
    sent: Instant,
    known: Option<Instant>,
}

impl Policies {
    /// The policy is about to be flipped.
    pub fn flips(&mut self, forbids: bool, now: Instant) {
        self.turns.push(Turn {
            forbids,
            sent: now,
            known: None,
        });
    }

    /// The flip that was about to happen has happened.
    pub fn flipped(&mut self, mzxid: i64, forbids: bool, now: Instant) {
        self.flips.insert(mzxid, forbids);
        if let Some(turn) = self.turns.last_mut() {
            turn.known = Some(now);
        }
    }

    pub fn refused(&mut self, sent: Instant, answered: Instant) {
        self.refused.push((sent, answered));
    }

    /// May a policy that forbids have been in force between two moments?
    fn may_forbid(&self, from: Instant, to: Instant) -> bool {
        self.turns.iter().enumerate().any(|(place, turn)| {
            let over = self.turns.get(place + 1).and_then(|next| next.known);
            turn.forbids && turn.sent <= to && over.is_none_or(|over| over >= from)
        })
    }

    pub fn wrote(&mut self, mzxid: i64) {
        self.written.insert(mzxid);
    }

    pub fn look(&mut self, view: &View) {
        let stats = (0..DOORS).filter_map(|key| Some(view.exists(&door(key))?.0));
        // A znode that nobody has set was made before the policy.
        let set = stats.filter(|stat| stat.version > 0);
        self.written.extend(set.map(|stat| stat.mzxid));
    }

    pub fn check(&self) {
        for written in &self.written {
            if let Some((zxid, forbids)) = self.flips.range(..written).next_back() {
                assert!(
                    !forbids,
                    "a write at {written} is past the policy of {zxid} that forbids it"
                );
            }
        }
        for (sent, answered) in &self.refused {
            assert!(
                self.may_forbid(*sent, *answered),
                "a write was refused between {sent:?} and {answered:?}, and all policies allowed it"
            );
        }
    }
}
