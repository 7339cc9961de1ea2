//! addWatch, checkWatches and removeWatches: watches are checked and changed without a read.
//!
//! 1. The watch table is read or changed under the fan-out's lock, where a view is taken.
//! 2. Events up to that view are sent, then the reply: from the reply on the client knows which
//!    watches it has.
//!
//! As in ZooKeeper, none of the three checks the path, whether the znode exists, or its ACL, which
//! each event is checked against. No event is sent for a watch that was removed: client libraries
//! make DataWatchRemoved and its like of the reply. (tests: `add_watch_takes_any_path`,
//! `removing_a_watch_sends_no_event`)

use innkeeper_proto::request::{AddWatch, RemoveWatches};
use innkeeper_proto::{AddWatchMode, ErrorCode, WatcherType, reply};
use innkeeper_runtime::{Runtime, Stream};
use innkeeper_tree::View;

use super::Session;
use super::former_watches::PERSISTENT_WATCH;
use super::outcome::Outcome;
use super::pipeline::Sends;
use crate::authorization::{AccessRequest, Verdict};
use crate::delivery::watches::{Kind, WatcherId, Watches};
use crate::socket::{End, Socket};

/// What the client asks of the watch table.
#[derive(Clone, Copy)]
pub(super) enum Change<'a> {
    /// addWatch.
    Add(&'a AddWatch),
    /// checkWatches, which changes nothing.
    Check(&'a RemoveWatches),
    /// removeWatches.
    Remove(&'a RemoveWatches),
}

impl Change<'_> {
    /// Does what is asked, or returns the error.
    fn apply(self, watches: &mut Watches, watcher: WatcherId) -> Result<(), ErrorCode> {
        match self {
            Change::Add(add) => {
                // An addWatch with an unknown mode is answered with MarshallingError: ZooKeeper
                // cannot read it. (test: `add_watch_takes_any_path`)
                let mode = add.mode().ok_or(ErrorCode::MarshallingError)?;
                watches.add(watcher, &add.path, kind_of(mode));
                Ok(())
            }
            Change::Check(check) => has(watches, watcher, check),
            Change::Remove(remove) => take(watches, watcher, remove),
        }
    }
}

impl<R: Runtime> Session<R> {
    /// Answers the front request, which is one of the three.
    pub(super) async fn watch<S: Stream>(
        &mut self,
        change: Change<'_>,
        xid: i32,
        sends: &mut Sends,
        view: &mut View,
        socket: &mut Socket<S>,
    ) -> Result<Outcome, End> {
        let denied = match change {
            Change::Add(add) => self.may_not_watch(add, view).await,
            Change::Check(_) | Change::Remove(_) => false,
        };
        let watcher = self.seat.watcher;
        let policy_of = |view: &View| match change {
            Change::Add(add) => Some(view.bindings().policy_zxid_of(&add.path)),
            Change::Check(_) | Change::Remove(_) => None,
        };
        let before = policy_of(view);
        let register = |newest: View, watches: &mut Watches| {
            // The verdict was given with an older view: it must still be that of the current
            // policy.
            let outcome = (policy_of(&newest) == before).then(|| match denied {
                true => Err(ErrorCode::NoAuth),
                false => change.apply(watches, watcher),
            });
            (newest, outcome)
        };
        let fanout = &self.service.fanout;
        let (newest, outcome) = fanout.watching(&self.service.reader, register);
        *view = newest;
        self.drain(view)?;
        let Some(outcome) = outcome else {
            // It is decided on again, with the newer view.
            return Ok(Outcome::Again);
        };
        self.send_arrived_before_answer(sends, view, socket).await?;
        self.last_zxid = view.zxid().0 as i64;
        let (output, zxid) = (&mut socket.output, self.last_zxid);
        let encoded = match (outcome, change) {
            // ZooKeeper's answer has a body, of a type that was meant for errors.
            (Ok(()), Change::Add(_)) => reply::encode(output, xid, zxid, |body| body.number(0)),
            (Ok(()), _) => reply::encode_error(output, xid, zxid, ErrorCode::Ok),
            (Err(error), _) => reply::encode_error(output, xid, zxid, error),
        };
        Ok(encoded.into())
    }

    /// Whether an authorizer denies a persistent watch.
    async fn may_not_watch(&self, add: &AddWatch, view: &View) -> bool {
        if !view.bindings().has_authorizers() {
            return false;
        }
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
