//! **A read shows the state at its zxid.** The data of a znode is what the last write before that
//! zxid set. And **plain reads are in the session's order**: a session sees of a znode what it has
//! seen or written there before, or something newer.

use std::collections::BTreeMap;

use innkeeper_proto::Stat;

/// One state of a znode.
#[derive(Clone, Copy, Debug, PartialEq)]
struct State {
    value: u64,
    mzxid: i64,
}

/// What is known of all shared znodes.
#[derive(Default)]
pub struct Registers {
    /// By znode and version.
    states: BTreeMap<(u64, i32), State>,
    /// The znode, the version and the zxid of each read.
    reads: Vec<(u64, i32, i64)>,
    /// The newest version that a session knows of a znode.
    seen: BTreeMap<(i64, u64), i32>,
}

impl Registers {
    /// A write of a value that no other write has is acknowledged.
    pub fn wrote(&mut self, session: i64, key: u64, value: u64, stat: &Stat) {
        self.is(key, value, stat);
        let seen = self.seen.entry((session, key)).or_insert(-1);
        assert!(
            stat.version > *seen,
            "session {session:#x} makes version {} of znode {key} and has seen {seen}",
            stat.version
        );
        *seen = stat.version;
    }

    /// A read is answered with this zxid in its header.
    pub fn read(&mut self, session: i64, key: u64, value: u64, stat: &Stat, zxid: i64) {
        self.is(key, value, stat);
        self.reads.push((key, stat.version, zxid));
        let seen = self.seen.entry((session, key)).or_insert(-1);
        assert!(
            stat.version >= *seen,
            "session {session:#x} reads version {} of znode {key} and has seen {seen}",
            stat.version
        );
        *seen = stat.version;
    }

    fn is(&mut self, key: u64, value: u64, stat: &Stat) {
        let mzxid = stat.mzxid;
        let state = State { value, mzxid };
        let known = self.states.entry((key, stat.version)).or_insert(state);
        assert_eq!(*known, state, "version {} of znode {key}", stat.version);
    }

    /// Judges all reads, when every state is known that some client knows.
    pub fn check(&self) {
        let mut before: Option<(&(u64, i32), &State)> = None;
        for (at, state) in &self.states {
            if let Some(((key, _), older)) = before
                && *key == at.0
            {
                assert!(
                    older.mzxid < state.mzxid,
                    "{at:?}: {older:?}, then {state:?}"
                );
            }
            before = Some((at, state));
        }
        for (key, version, zxid) in &self.reads {
            let shown = self.states[&(*key, *version)];
            let mut later = self.states.range((*key, version + 1)..(key + 1, i32::MIN));
            assert!(shown.mzxid <= *zxid, "a read at {zxid} shows {shown:?}");
            if let Some((_, next)) = later.next() {
                assert!(
                    next.mzxid > *zxid,
                    "a read of znode {key} at {zxid} shows {shown:?}, and {next:?} was there"
                );
            }
        }
    }

    /// The newest version of each znode that some client knows.
    pub fn newest(&self) -> BTreeMap<u64, i32> {
        self.states.keys().copied().collect()
    }
}
