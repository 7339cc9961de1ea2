//! setWatches and setWatches2: a client sets the watches again that it had on its last connection.
//!
//! The client names its watches and the last zxid that it saw. A one-shot watch whose znode has
//! changed since then fires at once, the others are set again. Persistent watches are only set
//! again, since their clients read everything anew after a reconnection. The list may be long, so
//! it is taken in runs: each takes the fan-out's lock once, and the next one begins only when the
//! socket has taken the events of the one before.
//!
//! Deliberate difference: ZooKeeper tells every client what changed, this node only clients that
//! may read the znode; for others the watch is set, and the ACL at the time of its event decides.
//! (test: `set_watches_tells_nothing_of_what_may_not_be_read`)

use innkeeper_proto::{ByteString, ErrorCode, KeeperState, event, reply};
use innkeeper_runtime::{Runtime, Stream};
use innkeeper_tree::View;

use super::Session;
use super::former_watches::{Former, FormerWatches};
use super::outcome::Outcome;
use super::pipeline::Sends;
use crate::authorization::Verdict;
use crate::delivery::watches::Watches;
use crate::settings::SET_WATCHES_CHUNK;
use crate::socket::{End, Socket};

/// The zxid of events that no command caused just now, as ZooKeeper sends it.
const NO_ZXID: i64 = -1;

impl<R: Runtime> Session<R> {
    /// Takes the next run of a setWatches, which is the front request, or answers it.
    pub(super) async fn rewatch<S: Stream>(
        &mut self,
        former: &mut FormerWatches,
        xid: i32,
        sends: &mut Sends,
        view: &mut View,
        socket: &mut Socket<S>,
    ) -> Result<Outcome, End> {
        let relative_zxid = former.relative_zxid;
        let mut run = former.take(SET_WATCHES_CHUNK);
        if run.is_empty() {
            self.last_zxid = self.last_zxid.max(view.zxid().0 as i64);
            let (output, zxid) = (&mut socket.output, self.last_zxid);
            return Ok(reply::encode_error(output, xid, zxid, ErrorCode::Ok).into());
        }
        if view.bindings().has_authorizers() {
            run = self.permitted(view, run).await;
        }
        let decided = view.clone();
        let (identities, watcher) = (&self.identities, self.seat.watcher);
        let register = |newest: View, watches: &mut Watches| {
            let (mut owed, mut again) = (Vec::new(), Vec::new());
            for (former, path) in run {
                // The verdict was given with an older view: it must still be that of the current
                // policy.
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
        self.drain(view)?;
        self.send_arrived_before_answer(sends, view, socket).await?;
        for (missed, path) in owed {
            let state = KeeperState::SyncConnected;
            let bytes = event::encode(&mut socket.output, NO_ZXID, missed, state, &path);
            self.turn_stats.sent_event(bytes);
        }
        former.put_back(again);
        Ok(Outcome::Again)
    }

    /// The watches of a run that the authorizers allow.
    async fn permitted(
        &self,
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
