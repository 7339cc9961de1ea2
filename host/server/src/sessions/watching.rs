//! addWatch, checkWatches and removeWatches: watches looked at and changed without a read.
//!
//! 1. The watch table is asked or changed under the fan-out's lock, where a view is taken.
//! 2. Events up to that view are sent, then the reply: a client knows from the reply on what it
//!    watches.
//!
//! As in ZooKeeper, none of the three looks at the path, at whether there is such a znode, or at
//! its ACL, by which each event is judged; and a server sends no event for a watch that was
//! removed: client libraries make DataWatchRemoved and its like of the reply.
//! (tests: `add_watch_takes_any_path`, `removing_a_watch_sends_no_event`)

use innkeeper_proto::request::{RemoveWatches, Request};
use innkeeper_proto::{AddWatchMode, ErrorCode, WatcherType, reply};
use innkeeper_runtime::{Runtime, Stream};
use innkeeper_tree::{Access, View};

use super::{Body, Session};
use crate::authorization::{AccessRequest, Verdict};
use crate::delivery::watches::{Kind, WatcherId, Watches};
use crate::socket::{End, Socket};

/// What authorizers are asked about a persistent watch: it tells of a znode's existence, of its
/// data, and of its children by what happens to them. Each event is asked about again.
pub(super) const PERSISTENT_WATCH: [Access; 3] =
    [Access::Exists, Access::GetData, Access::GetChildren];

impl<R: Runtime> Session<R> {
    /// Answers the front request, if it is one of the three; true if anything moved.
    pub(super) async fn watch<S: Stream>(
        &mut self,
        view: &mut View,
        socket: &mut Socket<S>,
    ) -> Result<bool, End> {
        let denied = self.may_not_watch(view).await;
        let Some(front) = self.requests.front() else {
            return Ok(false);
        };
        let Body::Plain(request) = &front.body else {
            return Ok(false);
        };
        let (xid, watcher) = (front.xid, self.seat.watcher);
        let decided_at = |view: &View| match request {
            Request::AddWatch(add) => Some(view.bindings().policy_zxid_of(&add.path)),
            _ => None,
        };
        let before = decided_at(view);
        let change = |newest: View, watches: &mut Watches| {
            // The verdict was given as of an older view: it must still be the policy's.
            let outcome = (decided_at(&newest) == before).then(|| match request {
                _ if denied => Err(ErrorCode::NoAuth),
                Request::AddWatch(add) => match add.mode() {
                    Some(mode) => {
                        watches.add(watcher, &add.path, kind_of(mode));
                        Ok(())
                    }
                    // It cannot read such a number. (test: `add_watch_takes_any_path`)
                    None => Err(ErrorCode::MarshallingError),
                },
                Request::CheckWatches(check) => has(watches, watcher, check),
                Request::RemoveWatches(remove) => take(watches, watcher, remove),
                _ => Err(ErrorCode::Unimplemented),
            });
            (newest, outcome)
        };
        let (newest, outcome) = self.service.fanout.watching(&self.service.reader, change);
        let adds = matches!(request, Request::AddWatch(_));
        *view = newest;
        self.outbox.drain(&mut self.arrived).map_err(End::Told)?;
        let Some(outcome) = outcome else {
            // Decided again, as of the newer view.
            return Ok(true);
        };
        self.send_arrived(view, true, socket).await?;
        self.last_zxid = view.zxid().0 as i64;
        let output = &mut socket.output;
        match outcome {
            // ZooKeeper's answer has a body, of a type that was meant for errors.
            Ok(()) if adds => reply::encode(output, xid, self.last_zxid, |body| body.number(0)),
            Ok(()) => reply::encode_error(output, xid, self.last_zxid, ErrorCode::Ok),
            Err(error) => reply::encode_error(output, xid, self.last_zxid, error),
        }
        self.pop_front();
        Ok(true)
    }

    /// Whether the front request adds a watch that no authorizer lets through.
    async fn may_not_watch(&mut self, view: &View) -> bool {
        if !view.bindings().has_authorizers() {
            return false;
        }
        let Some(Body::Plain(Request::AddWatch(add))) =
            self.requests.front().map(|front| &front.body)
        else {
            return false;
        };
        let asks = PERSISTENT_WATCH.map(|access| AccessRequest {
            access,
            path: &add.path,
        });
        let authorization = &self.service.authorization;
        let verdict = authorization.check(view, &self.identities, &asks).await;
        matches!(verdict, Verdict::Deny(_))
    }
}

const fn kind_of(mode: AddWatchMode) -> Kind {
    match mode {
        AddWatchMode::Persistent => Kind::Persistent,
        AddWatchMode::PersistentRecursive => Kind::Recursive,
    }
}

/// The kinds of watches that a number names; MarshallingError if it names none.
/// (test: `the_kinds_of_watches_are_checked_and_removed_one_by_one`)
fn kinds_of(remove: &RemoveWatches) -> Result<&'static [Kind], ErrorCode> {
    Ok(match remove.watcher_type()? {
        WatcherType::Children => &[Kind::Child],
        WatcherType::Data => &[Kind::Data],
        WatcherType::Persistent => &[Kind::Persistent],
        WatcherType::PersistentRecursive => &[Kind::Recursive],
        WatcherType::Any => &Kind::ALL,
    })
}

fn has(watches: &Watches, watcher: WatcherId, check: &RemoveWatches) -> Result<(), ErrorCode> {
    let kinds = kinds_of(check)?;
    let has = |kind: &Kind| watches.contains(watcher, &check.path, *kind);
    kinds
        .iter()
        .any(has)
        .then_some(())
        .ok_or(ErrorCode::NoWatcher)
}

fn take(
    watches: &mut Watches,
    watcher: WatcherId,
    remove: &RemoveWatches,
) -> Result<(), ErrorCode> {
    let mut removed = false;
    for kind in kinds_of(remove)? {
        removed |= watches.remove(watcher, &remove.path, *kind);
    }
    removed.then_some(()).ok_or(ErrorCode::NoWatcher)
}
