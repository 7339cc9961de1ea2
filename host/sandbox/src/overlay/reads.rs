//! The read set: what a transaction saw in its view, so that apply can see whether it still holds.

use innkeeper_proto::Stat;
use innkeeper_tree::transaction::Read;
use innkeeper_tree::{World, Zxid};

use super::{Done, Overlay, Seen};

/// What was read of a path, and what makes it unchanged.
#[derive(Clone, Copy)]
pub(super) enum What {
    Node(Zxid),
    Acl(Zxid, i32),
    Children(Zxid),
    Absent,
    Subtree(Zxid),
}

impl What {
    fn bit(self) -> u8 {
        match self {
            What::Node(_) => 1,
            What::Acl(..) => 2,
            What::Children(_) => 4,
            What::Absent => 8,
            What::Subtree(_) => 16,
        }
    }

    fn of(self, path: String) -> Read {
        match self {
            What::Node(mzxid) => Read::Node { path, mzxid },
            What::Acl(czxid, aversion) => Read::Acl {
                path,
                czxid,
                aversion,
            },
            What::Children(pzxid) => Read::Children { path, pzxid },
            What::Absent => Read::Absent { path },
            What::Subtree(seen) => Read::Subtree { path, seen },
        }
    }
}

impl Overlay {
    /// What is there, unrecorded.
    pub(super) fn peek(&self, path: &str) -> Option<Seen> {
        match self.changed.get(path) {
            Some(changed) => changed.clone(),
            None => self.view.get(path).map(Seen::from),
        }
    }

    /// The Stat of what is there, unrecorded.
    pub(super) fn peek_stat(&self, path: &str) -> Option<Stat> {
        match self.changed.get(path) {
            Some(changed) => changed.as_ref().map(|seen| seen.stat),
            None => self.view.exists(path).map(|(stat, _)| stat),
        }
    }

    /// The Stat of what is there; what of it came from the view is recorded.
    pub(super) fn look(&mut self, path: &str) -> Done<Option<Stat>> {
        let in_view = self.view.exists(path).map(|(stat, _)| stat);
        self.record_node(path, in_view)?;
        Ok(match self.changed.get(path) {
            Some(changed) => changed.as_ref().map(|seen| seen.stat),
            None => in_view,
        })
    }

    /// Records what the view has at a path.
    pub(super) fn record_node(&mut self, path: &str, in_view: Option<Stat>) -> Done<()> {
        self.record(
            path,
            in_view.map_or(What::Absent, |stat| What::Node(Zxid(stat.mzxid as u64))),
        )
    }

    /// Records that the znode is still this incarnation with this ACL, and no more: its data
    /// may change. Nothing for a znode that the transaction itself made.
    pub(super) fn record_identity(&mut self, path: &str) -> Done<()> {
        match self.view.exists(path) {
            None => Ok(()),
            Some((stat, _)) => self.record(path, What::Acl(Zxid(stat.czxid as u64), stat.aversion)),
        }
    }

    /// Records that no child comes or goes, without looking at them.
    pub(super) fn record_children(&mut self, path: &str) -> Done<()> {
        let in_view = self.view.exists(path);
        self.record(
            path,
            in_view.map_or(What::Absent, |(stat, _)| {
                What::Children(Zxid(stat.pzxid as u64))
            }),
        )
    }

    pub(super) fn record(&mut self, path: &str, what: What) -> Done<()> {
        // An authorizer's reads are validated by its policy_zxid.
        if self.definition.world != World::Recipe {
            return Ok(());
        }
        match self.recorded.get_mut(path) {
            Some(kinds) if *kinds & what.bit() != 0 => return Ok(()),
            Some(kinds) => *kinds |= what.bit(),
            None => {
                self.recorded.insert(path.to_string(), what.bit());
            }
        }
        let read = what.of(path.to_string());
        self.weight.add(read.encoded_len())?;
        self.reads.push(read);
        Ok(())
    }
}
