//! Reads, from a view, in the connection's own task.
//!
//! A plain read takes no lock: the pass's view is at most as old as the wake-up. A read that
//! sets a watch takes its view and registers under the fan-out's lock, sends the events up to
//! that view, then its reply; from there on the pass goes on with that view.

use innkeeper_proto::ErrorCode;
use innkeeper_proto::request::{PathWatch, ReadOp, Request};
use innkeeper_runtime::{Runtime, Stream};
use innkeeper_tree::View;

use super::look::{Asker, Found, TooLarge, encode};
use super::{Body, Session};
use crate::gate::{Access, Ask, Verdict};
use crate::watches::{Kind, Watches};
use crate::wire::{End, Wire};

impl<R: Runtime> Session<R> {
    /// Answers the front request, a read.
    pub(super) async fn read<S: Stream>(
        &mut self,
        view: &mut View,
        wire: &mut Wire<S>,
    ) -> Result<bool, End> {
        let denied = self.denied_reads(view).await;
        let Some(front) = self.requests.front() else {
            return Ok(false);
        };
        let Body::Plain(request) = &front.body else {
            return Ok(false);
        };
        let asker = Asker {
            identities: &self.identities,
            session: self.id,
            max_reply_bytes: self.core.settings.jute_max_buffer_bytes,
        };
        let found = match watch_of(request) {
            _ if !denied.is_empty() && !matches!(request, Request::MultiRead(_)) => {
                ErrorCode::NoAuth.into()
            }
            None => asker.look(view, request, &denied),
            Some((watched, kind)) => {
                let decided_at = view.bindings().policy_zxid_of(&watched.path);
                let dense = self.seat.dense;
                let register = |newest: View, watches: &mut Watches| {
                    // The verdict was given as of an older view: it must still be the policy's.
                    if newest.bindings().policy_zxid_of(&watched.path) != decided_at {
                        return (newest, None);
                    }
                    let found = asker.glance(&newest, request, &denied);
                    let watched_now = found
                        .as_ref()
                        .is_none_or(|found| leaves_watch(request, found))
                        && watches.add(dense, &watched.path, kind);
                    (newest, Some((found, watched_now)))
                };
                let fanout = &self.core.fanout;
                let (newest, glanced) = fanout.watching(&self.core.reader, register);
                *view = newest;
                self.outbox.drain(&mut self.arrived).map_err(End::Told)?;
                let Some((found, watched_now)) = glanced else {
                    // Decided again, as of the newer view.
                    return Ok(true);
                };
                let found = found.unwrap_or_else(|| asker.look(view, request, &denied));
                if watched_now && !leaves_watch(request, &found) {
                    fanout.watching(&self.core.reader, |_, watches| {
                        watches.remove(dense, &watched.path, kind)
                    });
                }
                self.send_arrived(view, true, wire).await?;
                found
            }
        };
        if let Found::TooLarge(large) = &found {
            self.tell_too_large(large);
        }
        let Some(front) = self.requests.front() else {
            return Ok(false);
        };
        // A reply as of this view follows every event up to it.
        self.last_zxid = view.zxid().0 as i64;
        encode(wire, front.xid, self.last_zxid, &found);
        self.pop_front();
        Ok(true)
    }

    /// Which of the front request's reads no authorizer lets through: their places in a
    /// multiRead, 0 for any other read.
    async fn denied_reads(&mut self, view: &View) -> Vec<usize> {
        let mut denied = Vec::new();
        if !view.bindings().has_authorizers() {
            return denied;
        }
        let Some(Body::Plain(request)) = self.requests.front().map(|front| &front.body) else {
            return denied;
        };
        for (place, ask) in asks_of(request).into_iter().enumerate() {
            let guard = &self.core.guard;
            let verdict = guard.check(view, &self.identities, &[ask]).await;
            if let Verdict::Deny(_) = verdict {
                denied.push(place);
            }
        }
        denied
    }

    /// Says once why a client got no answer, and what to do. A client that asks again and again
    /// for the same is not told of again.
    fn tell_too_large(&mut self, large: &TooLarge) {
        if self.told_of.as_deref() == Some(large.path.as_str()) {
            return;
        }
        tracing::warn!(
            session = %self.id,
            path = large.path,
            children = large.children,
            bytes = large.bytes,
            jute_max_buffer_bytes = self.core.settings.jute_max_buffer_bytes,
            "an answer would be longer than jute.maxbuffer, so that the client would close its \
             connection: it got MarshallingError instead. Raise jute.maxbuffer here and at the \
             clients, or spread the znodes over several parents"
        );
        self.told_of = Some(large.path.clone());
    }
}

/// What authorizers are asked about a read.
fn asks_of(request: &Request) -> Vec<Ask<'_>> {
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
            return asks.map(|(access, path)| Ask { access, path }).collect();
        }
        _ => return Vec::new(),
    };
    vec![Ask { access, path }]
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

/// Only what was found is watched; but exists waits for what is missing, too.
fn leaves_watch(request: &Request, found: &Found) -> bool {
    match found {
        Found::Error(error) => *error == ErrorCode::NoNode && matches!(request, Request::Exists(_)),
        Found::TooLarge(_) => false,
        _ => true,
    }
}
