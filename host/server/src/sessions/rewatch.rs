//! setWatches and setWatches2: what a client watched on its last connection.
//!
//! The client names what it watched and the last zxid that it saw. Of its one-shot watches,
//! whatever changed since fires at once, the rest is watched again; its persistent watches are
//! only set again, since whoever has one reads everything anew after a reconnection. The list
//! may be long, so it is taken in runs: each under one hold of the fan-out's lock, and the next
//! one only when the socket has taken what the last one owed.
//!
//! Deliberate difference: ZooKeeper tells whoever asks what changed, we only who may read the
//! znode; for others the watch is set, and its event will be judged by the ACL of its moment.
//! (test: `set_watches_tells_nothing_of_what_may_not_be_read`)

use innkeeper_proto::request::SetWatches;
use innkeeper_proto::{ByteString, ErrorCode, EventType, KeeperState, Perms, event, reply};
use innkeeper_runtime::{Runtime, Stream};
use innkeeper_tree::{Access, Identity, View, acl};

use super::watching::PERSISTENT_WATCH;
use super::{Body, Session};
use crate::authorization::{AccessRequest, Verdict};
use crate::delivery::watches::{Kind, Watches};
use crate::settings::SET_WATCHES_CHUNK;
use crate::socket::{End, Socket};

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
    /// Everything of a znode, with a persistent watch.
    Persistent,
    /// Everything of a znode and below it, with a persistent watch.
    Recursive,
}

impl Rewatch {
    pub(super) fn new(set: SetWatches) -> Self {
        let mut left: Vec<_> = [
            (Former::Data, set.data),
            (Former::Exist, set.exist),
            (Former::Child, set.child),
            (Former::Persistent, set.persistent),
            (Former::Recursive, set.persistent_recursive),
        ]
        .into_iter()
        .flat_map(|(former, paths)| paths.into_iter().map(move |path| (former, path)))
        .collect();
        left.reverse();
        Self {
            relative_zxid: set.relative_zxid,
            left,
        }
    }
}

impl Former {
    /// What authorizers are asked: setting a watch is asked as the read that sets it.
    fn asks(self, path: &str) -> Vec<AccessRequest<'_>> {
        let accesses: &[Access] = match self {
            Former::Data => &[Access::GetData],
            Former::Exist => &[Access::Exists],
            Former::Child => &[Access::GetChildren],
            Former::Persistent | Former::Recursive => &PERSISTENT_WATCH,
        };
        let asks = accesses.iter().map(|access| AccessRequest {
            access: *access,
            path,
        });
        asks.collect()
    }

    const fn kind(self) -> Kind {
        match self {
            Former::Data | Former::Exist => Kind::Data,
            Former::Child => Kind::Child,
            Former::Persistent => Kind::Persistent,
            Former::Recursive => Kind::Recursive,
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
        if let Former::Persistent | Former::Recursive = self {
            return None;
        }
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
            (Former::Persistent | Former::Recursive, _) => None,
        };
        missed.filter(|_| visible)
    }
}

impl<R: Runtime> Session<R> {
    /// Takes the next run of a setWatches, or answers it.
    pub(super) async fn rewatch<S: Stream>(
        &mut self,
        view: &mut View,
        socket: &mut Socket<S>,
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
            reply::encode_error(&mut socket.output, xid, self.last_zxid, ErrorCode::Ok);
            self.pop_front();
            return Ok(true);
        }
        if view.bindings().has_authorizers() {
            run = self.permitted(view, run).await;
        }
        let decided = view.clone();
        let (identities, watcher) = (&self.identities, self.seat.watcher);
        let register = |newest: View, watches: &mut Watches| {
            let (mut owed, mut again) = (Vec::new(), Vec::new());
            for (former, path) in run {
                // The verdict was given as of an older view: it must still be the policy's.
                let policy = |view: &View| view.bindings().policy_zxid_of(&path);
                if policy(&newest) != policy(&decided) {
                    again.push((former, path));
                    continue;
                }
                match former.missed(&newest, &path, relative_zxid, identities) {
                    Some(missed) => owed.push((missed, path)),
                    None => {
                        watches.add(watcher, &path, former.kind());
                    }
                }
            }
            (newest, owed, again)
        };
        let (newest, owed, again) = self.service.fanout.watching(&self.service.reader, register);
        *view = newest;
        self.outbox.drain(&mut self.arrived).map_err(End::Told)?;
        self.send_arrived(view, true, socket).await?;
        for (missed, path) in owed {
            let state = KeeperState::SyncConnected;
            event::encode(&mut socket.output, NO_ZXID, missed, state, &path);
        }
        let front = self.requests.front_mut().map(|front| &mut front.body);
        if let Some(Body::Rewatch(rewatch)) = front {
            rewatch.left.extend(again.into_iter().rev());
        }
        Ok(true)
    }

    /// What of a run the authorizers allow.
    async fn permitted(
        &mut self,
        view: &View,
        run: Vec<(Former, ByteString)>,
    ) -> Vec<(Former, ByteString)> {
        let mut permitted = Vec::with_capacity(run.len());
        for (former, path) in run {
            let asks = former.asks(&path);
            let authorization = &self.service.authorization;
            let verdict = authorization.check(view, &self.identities, &asks).await;
            if let Verdict::Allow(_) = verdict {
                permitted.push((former, path));
            }
        }
        permitted
    }
}
