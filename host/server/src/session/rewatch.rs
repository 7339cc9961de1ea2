//! setWatches and removeWatches: watches changed without a read.
//!
//! setWatches names what a client watched on its last connection and the last zxid that it saw.
//! Whatever changed since fires at once, the rest is watched again. The list may be long, so it
//! is taken in runs: each under one hold of the fan-out's lock, and the next one only when the
//! socket has taken what the last one owed.

use innkeeper_proto::request::{Request, SetWatches};
use innkeeper_proto::{
    ByteString, ErrorCode, EventType, KeeperState, Perms, WatcherType, event, reply,
};
use innkeeper_runtime::{Runtime, Stream};
use innkeeper_tree::{Identity, View, acl};

use super::{Body, Session};
use crate::gate::{Access, Ask, Verdict};
use crate::settings::SET_WATCHES_CHUNK;
use crate::watches::{Kind, Watches};
use crate::wire::{End, Wire};

/// The zxid of events that no command caused just now, as ZooKeeper sends it.
const NO_ZXID: i64 = -1;

/// A setWatches, and how far it has come.
pub(super) struct Rewatch {
    relative_zxid: i64,
    /// What is left, the next one last.
    left: Vec<(Former, ByteString)>,
}

/// What a client watched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Former {
    /// The data of a znode that existed.
    Data,
    /// The existence of a znode that did not.
    Exist,
    /// The children.
    Child,
}

impl Rewatch {
    pub(super) fn new(set: SetWatches) -> Self {
        let data = set.data.into_iter().map(|path| (Former::Data, path));
        let exist = set.exist.into_iter().map(|path| (Former::Exist, path));
        let child = set.child.into_iter().map(|path| (Former::Child, path));
        let mut left: Vec<_> = data.chain(exist).chain(child).collect();
        left.reverse();
        Self {
            relative_zxid: set.relative_zxid,
            left,
        }
    }
}

impl Former {
    const fn access(self) -> Access {
        match self {
            Former::Data => Access::GetData,
            Former::Exist => Access::Exists,
            Former::Child => Access::GetChildren,
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Former::Data | Former::Exist => Kind::Data,
            Former::Child => Kind::Child,
        }
    }

    /// What the client has missed since `relative_zxid`; `None` if nothing, or if it may not
    /// know.
    fn missed(
        self,
        view: &View,
        path: &str,
        relative_zxid: i64,
        identities: &[Identity],
    ) -> Option<EventType> {
        let found = view.exists(path);
        let visible = match &found {
            Some((_, list)) => acl::allows(list, Perms::READ, identities),
            None => true,
        };
        let missed = match (self, found) {
            (Former::Data | Former::Child, None) => Some(EventType::NodeDeleted),
            (Former::Exist, None) => None,
            (Former::Exist, Some(_)) => Some(EventType::NodeCreated),
            (Former::Data, Some((stat, _))) => {
                (stat.mzxid > relative_zxid).then_some(EventType::NodeDataChanged)
            }
            (Former::Child, Some((stat, _))) => {
                (stat.pzxid > relative_zxid).then_some(EventType::NodeChildrenChanged)
            }
        };
        missed.filter(|_| visible)
    }
}

impl<R: Runtime> Session<R> {
    /// Takes the next run of a setWatches, or answers it.
    pub(super) async fn rewatch<S: Stream>(
        &mut self,
        view: &mut View,
        wire: &mut Wire<S>,
    ) -> Result<bool, End> {
        let Some(Body::Rewatch(rewatch)) = self.requests.front_mut().map(|front| &mut front.body)
        else {
            return Ok(false);
        };
        let relative_zxid = rewatch.relative_zxid;
        let at = rewatch.left.len().saturating_sub(SET_WATCHES_CHUNK);
        let mut run = rewatch.left.split_off(at);
        run.reverse();
        if run.is_empty() {
            let xid = self.requests.front().map_or(0, |front| front.xid);
            self.last_zxid = self.last_zxid.max(view.zxid().0 as i64);
            reply::encode_error(&mut wire.output, xid, self.last_zxid, ErrorCode::Ok);
            self.pop_front();
            return Ok(true);
        }
        if view.bindings().has_authorizers() {
            run = self.permitted(view, run).await;
        }
        let (identities, dense) = (&self.identities, self.seat.dense);
        let register = |newest: View, watches: &mut Watches| {
            let mut owed = Vec::new();
            for (former, path) in run {
                match former.missed(&newest, &path, relative_zxid, identities) {
                    Some(missed) => owed.push((missed, path)),
                    None => watches.add(dense, &path, former.kind()),
                }
            }
            (newest, owed)
        };
        let (newest, owed) = self.core.fanout.watching(&self.core.reader, register);
        *view = newest;
        self.outbox.drain(&mut self.arrived).map_err(End::Told)?;
        self.send_arrived(view.zxid(), true, wire)?;
        for (missed, path) in owed {
            let state = KeeperState::SyncConnected;
            event::encode(&mut wire.output, NO_ZXID, missed, state, &path);
            self.tally.sent += 1;
        }
        Ok(true)
    }

    /// What of a run the authorizers allow: setting a watch is asked as the read that sets it.
    async fn permitted(
        &mut self,
        view: &View,
        run: Vec<(Former, ByteString)>,
    ) -> Vec<(Former, ByteString)> {
        let mut permitted = Vec::with_capacity(run.len());
        for (former, path) in run {
            let asks = [Ask {
                access: former.access(),
                path: &path,
            }];
            let guard = &self.core.guard;
            let verdict = guard.check(view, &self.identities, &asks).await;
            if let Verdict::Allow(_) = verdict {
                permitted.push((former, path));
            }
        }
        permitted
    }

    /// Answers the front request, a removeWatches.
    pub(super) fn remove_watches<S: Stream>(
        &mut self,
        view: &mut View,
        wire: &mut Wire<S>,
    ) -> Result<bool, End> {
        let Some(front) = self.requests.front() else {
            return Ok(false);
        };
        let Body::Plain(Request::RemoveWatches(remove)) = &front.body else {
            return Ok(false);
        };
        let (xid, dense) = (front.xid, self.seat.dense);
        let kinds: Result<&[Kind], ErrorCode> = match remove.watcher_type() {
            Ok(WatcherType::Children) => Ok(&[Kind::Child]),
            Ok(WatcherType::Data) => Ok(&[Kind::Data]),
            Ok(WatcherType::Any) => Ok(&[Kind::Data, Kind::Child]),
            // Nobody can have set one.
            Ok(WatcherType::Persistent | WatcherType::PersistentRecursive) => Ok(&[]),
            Err(error) => Err(error),
        };
        let (newest, outcome) = self
            .core
            .fanout
            .watching(&self.core.reader, |newest, watches| {
                let outcome = kinds.and_then(|kinds| {
                    let mut removed = false;
                    for kind in kinds {
                        removed |= watches.remove(dense, &remove.path, *kind);
                    }
                    if removed {
                        Ok(())
                    } else {
                        Err(ErrorCode::NoWatcher)
                    }
                });
                (newest, outcome)
            });
        *view = newest;
        self.outbox.drain(&mut self.arrived).map_err(End::Told)?;
        self.send_arrived(view.zxid(), true, wire)?;
        self.last_zxid = view.zxid().0 as i64;
        let error = outcome.err().unwrap_or(ErrorCode::Ok);
        reply::encode_error(&mut wire.output, xid, self.last_zxid, error);
        self.pop_front();
        Ok(true)
    }
}
