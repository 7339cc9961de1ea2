//! Answers reads from a view, in the connection's own task.
//!
//! A plain read takes no lock: its view is at most as old as the wake-up. A read that sets a watch
//! takes a new view and registers under the fan-out's lock, sends the events up to that view, then
//! its reply; the rest of the wake-up goes on with that view.
//!
//! A large answer needs part of the room that all connections share ([`crate::throttle::answers`]).
//! If there is none, the result of the lookup is dropped, together with the watch, and the lookup
//! is repeated when there is room.

use innkeeper_proto::ErrorCode;
use innkeeper_proto::request::{PathWatch, ReadOp, Request};
use innkeeper_runtime::{Runtime, Stream};
use innkeeper_tree::{Access, View};

use super::Session;
use super::lookup::{Asker, Found, encode};
use super::outcome::Outcome;
use super::pipeline::Sends;
use crate::authorization::{AccessRequest, Verdict};
use crate::delivery::watches::{Kind, Watches};
use crate::settings::LARGE_ANSWER_BYTES;
use crate::socket::{End, Socket};

impl<R: Runtime> Session<R> {
    /// Answers the front request, which is a read.
    pub(super) async fn read<S: Stream>(
        &mut self,
        request: &Request,
        xid: i32,
        sends: &mut Sends,
        view: &mut View,
        socket: &mut Socket<S>,
    ) -> Result<Outcome, End> {
        let denied = self.denied_reads(request, view).await;
        let mut found = None;
        let mut watched_now = None;
        if !denied.is_empty() && !matches!(request, Request::MultiRead(_)) {
            found = Some(ErrorCode::NoAuth.into());
        } else if let Some((watched, kind)) = watch_of(request) {
            let decided_at = view.bindings().policy_zxid_of(&watched.path);
            let (asker, watcher) = (self.asker(), self.seat.watcher);
            let register = |newest: View, watches: &mut Watches| {
                // The verdict was given with an older view: it must still be that of the current
                // policy.
                if newest.bindings().policy_zxid_of(&watched.path) != decided_at {
                    return (newest, None);
                }
                let found = asker.peek(&newest, request, &denied);
                let watched_now = found
                    .as_ref()
                    .is_none_or(|found| leaves_watch(request, found))
                    && watches.add(watcher, &watched.path, kind);
                (newest, Some((found, watched_now)))
            };
            let fanout = &self.service.fanout;
            let (newest, peeked) = fanout.watching(&self.service.reader, register);
            *view = newest;
            self.drain(view)?;
            let Some((peeked, is_new)) = peeked else {
                // It is decided on again, with the newer view.
                return Ok(Outcome::Again);
            };
            found = peeked;
            watched_now = is_new.then_some((&watched.path, kind));
            self.send_arrived_before_answer(sends, view, socket).await?;
        }
        // From here on nothing is awaited. If a list has no room, it is dropped here.
        let found = found.unwrap_or_else(|| self.asker().lookup(view, request, &denied));
        let (bytes, leaves_watch) = (found.bytes(), leaves_watch(request, &found));
        let is_too_large = matches!(found, Found::TooLarge(_));
        let is_long = bytes > LARGE_ANSWER_BYTES;
        let is_large = is_long && !is_too_large;
        let waits = is_large && !self.has_room(bytes);
        if let Some((path, kind)) = watched_now.filter(|_| waits || !leaves_watch) {
            let watcher = self.seat.watcher;
            self.service
                .fanout
                .watching(&self.service.reader, |_, watches| {
                    watches.remove(watcher, path, kind)
                });
        }
        if waits {
            return Ok(Outcome::WaitsForRoom);
        }
        if is_long || is_too_large {
            let longest_bytes = self.service.settings.longest_answer_bytes();
            let answers = &self.service.answers;
            answers.tell(self.id, path_of(request), bytes, longest_bytes);
        }
        // A reply from this view follows every event up to it.
        self.last_zxid = view.zxid().0 as i64;
        let room = self.room.take();
        if is_large {
            socket.output.reserve(bytes + 4);
        }
        let encoded = encode(socket, xid, self.last_zxid, &found);
        if let Some(room) = room.filter(|_| is_large) {
            socket.has_large_answer(room);
        }
        Ok(encoded.into())
    }

    fn asker(&self) -> Asker<'_> {
        Asker {
            identities: &self.identities,
            session: self.id,
            longest_bytes: self.service.settings.longest_answer_bytes(),
        }
    }

    /// Whether a large answer may be written. If not, this connection is woken when it may.
    fn has_room(&mut self, bytes: usize) -> bool {
        if !self.room.as_ref().is_some_and(|room| room.fits(bytes)) {
            // The old room is too small by now; its place in line is free for others.
            self.room = None;
            let answers = &self.service.answers;
            self.room = Some(answers.ask(bytes, &self.outbox));
        }
        !self.waits_for_room()
    }

    /// Whether the answer to the front request waits for room.
    pub(super) fn waits_for_room(&self) -> bool {
        self.room.as_ref().is_some_and(|room| !room.is_granted())
    }

    /// The indexes of a multiRead's operations that an authorizer denies; 0 for any other read that
    /// is denied.
    async fn denied_reads(&self, request: &Request, view: &View) -> Vec<usize> {
        let mut denied = Vec::new();
        if !view.bindings().has_authorizers() {
            return denied;
        }
        for (place, ask) in asks_of(request).into_iter().enumerate() {
            let authorization = &self.service.authorization;
            let verdict = authorization.check(view, &self.identities, &[ask]).await;
            if let Verdict::Deny(_) = verdict {
                denied.push(place);
            }
        }
        denied
    }
}

/// The accesses that authorizers are asked about before a read.
fn asks_of(request: &Request) -> Vec<AccessRequest<'_>> {
    let (access, path) = match request {
        Request::Exists(read) => (Access::Exists, &read.path),
        Request::GetData(read) => (Access::GetData, &read.path),
        Request::GetChildren(read) | Request::GetChildren2(read) => {
            (Access::GetChildren, &read.path)
        }
        Request::GetAllChildrenNumber(path) => (Access::GetChildren, path),
        Request::GetAcl(path) => (Access::GetAcl, path),
        Request::MultiRead(multi) => {
            let asks = multi.ops.iter().map(|op| match op {
                ReadOp::GetData(path) => (Access::GetData, path),
                ReadOp::GetChildren(path) => (Access::GetChildren, path),
            });
            return asks
                .map(|(access, path)| AccessRequest { access, path })
                .collect();
        }
        _ => return Vec::new(),
    };
    vec![AccessRequest { access, path }]
}

/// The path whose data or children make the answer long; of several reads, the first one's.
fn path_of(request: &Request) -> &str {
    match request {
        Request::GetData(read) | Request::GetChildren(read) | Request::GetChildren2(read) => {
            &read.path
        }
        Request::GetEphemerals(prefix) => prefix,
        Request::MultiRead(multi) => multi.ops.first().map_or("", |op| op.path()),
        _ => "",
    }
}

/// The watch that a read asks for.
fn watch_of(request: &Request) -> Option<(&PathWatch, Kind)> {
    let (read, kind) = match request {
        Request::Exists(read) | Request::GetData(read) => (read, Kind::Data),
        Request::GetChildren(read) | Request::GetChildren2(read) => (read, Kind::Child),
        _ => return None,
    };
    read.watch.then_some((read, kind))
}

/// A watch is set only if the znode was found; exists sets one on a missing znode, too.
fn leaves_watch(request: &Request, found: &Found) -> bool {
    match found {
        Found::Error(error) => *error == ErrorCode::NoNode && matches!(request, Request::Exists(_)),
        Found::TooLarge(_) => false,
        _ => true,
    }
}
