//! **No write is decided by another policy than the one that is in force.** A write has the zxid of
//! a state whose policy allows it.

use std::collections::{BTreeMap, BTreeSet};

use innkeeper_tree::View;

use super::super::clients::{DOORS, door};

/// The policy, and what was decided by it.
#[derive(Default)]
pub struct Policies {
    /// By zxid: whether the policy forbids writes from there on.
    flips: BTreeMap<i64, bool>,
    /// The zxids of all writes that some client or some state told of.
    written: BTreeSet<i64>,
}

impl Policies {
    pub fn flipped(&mut self, mzxid: i64, forbids: bool) {
        self.flips.insert(mzxid, forbids);
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
    }
}
