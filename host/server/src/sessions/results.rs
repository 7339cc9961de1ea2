//! Sends what arrived from apply, events and results, in zxid order.
//!
//! The result of a write that was run is the answer to the front request. A bounce means that an
//! authorizer's policy changed between the decision and the commit: the write, and everything that
//! was sent after it, is examined again and sent with the same numbers. Results of the first sends
//! belong to an older round and are ignored.
//!
//! **Invariant:** whether a client may see a watch event is decided here, in the connection's task,
//! by the znode's ACL at the time of the event, never in the fan-out. About events of persistent
//! watches the active authorizers are asked as well: they were not asked about these paths when the
//! watch was set, and a recursive watch on `/` would pass every policy. (tests:
//! `an_event_is_withheld_from_whom_the_acl_of_that_moment_hides_it`,
//! `an_authorizer_is_asked_about_every_event_of_a_persistent_watch`)

use innkeeper_proto::Perms;
use innkeeper_proto::reply::{self, MultiResult};
use innkeeper_proto::request::{MultiOp, Request};
use innkeeper_proto::{ByteString, ErrorCode, EventType};
use innkeeper_runtime::{Runtime, Stream};
use innkeeper_tree::applied::{OpReply, Reply, SessionResult};
use innkeeper_tree::{Access, View, Zxid, acl};

use super::outcome::{Answer, encode_multi_failed};
use super::pipeline::{Body, Due, OutOfOrder, Pending, Sends};
use super::{Session, SessionLoop, commands};
use crate::authorization::{AccessRequest, Verdict};
use crate::delivery::outbox::{Event, Item};
use crate::socket::{End, Socket};

impl<R: Runtime> SessionLoop<R> {
    /// Sends the items that arrived up to `view`, as far as it is their turn. Returns true if any
    /// was sent.
    pub(super) async fn send_arrived<S: Stream>(
        &mut self,
        view: &View,
        socket: &mut Socket<S>,
    ) -> Result<bool, End> {
        self.session.filter_events(view).await;
        let mut moved = false;
        while !self.finished
            && let Some(item) = self.session.arrived.pop_front()
        {
            if let Some(item) = self.send_item(item, view, socket)? {
                self.session.arrived.push_front(item);
                break;
            }
            moved = true;
        }
        Ok(moved)
    }

    /// Sends one item, or returns it if it is not its turn.
    fn send_item<S: Stream>(
        &mut self,
        item: Item,
        view: &View,
        socket: &mut Socket<S>,
    ) -> Result<Option<Item>, End> {
        if item.zxid() > view.zxid() || socket.is_full() {
            return Ok(Some(item));
        }
        let is_sent = match &item {
            Item::Event(event) => {
                // The event may belong to a request behind the front one, whose answer must be sent
                // first. (test: `an_answer_goes_before_the_events_of_later_requests`)
                let answered = self.read_indexes.answered();
                let is_its_turn = !self.pipeline.front_waits_for_nothing(answered);
                if is_its_turn {
                    self.session.send_event(event, socket);
                }
                is_its_turn
            }
            Item::Result { zxid, seq, result } => self.settle(*zxid, *seq, result, socket)?,
        };
        Ok((!is_sent).then_some(item))
    }

    /// Gives a result to its request. Returns false if it is not its turn.
    fn settle<S: Stream>(
        &mut self,
        zxid: Zxid,
        seq: u64,
        result: &SessionResult,
        socket: &mut Socket<S>,
    ) -> Result<bool, End> {
        let answer = match (self.pipeline.result(seq)?, result) {
            (Due::Stale, _) => return Ok(true),
            (_, SessionResult::Bounced | SessionResult::Gap) => {
                self.pipeline.bounced(seq);
                return Ok(true);
            }
            // Its reply belonged to an older connection of the session, and this one has no request
            // for it.
            (_, SessionResult::Duplicate | SessionResult::Moved | SessionResult::Expired) => {
                return Err(End::SessionOver);
            }
            (Due::Later, SessionResult::Done(_)) => return Ok(false),
            (Due::Front(request), SessionResult::Done(reply)) => {
                encode_reply(socket, zxid, request, reply)
            }
        };
        self.session.last_zxid = zxid.0 as i64;
        self.is_answered(answer);
        Ok(true)
    }
}

impl<R: Runtime> Session<R> {
    /// Moves what apply has for this connection to what has arrived, after `view` was taken. Ends the
    /// session's service here if it may not be served from this view.
    pub(super) fn drain(&mut self, view: &View) -> Result<(), End> {
        self.outbox.drain(&mut self.arrived).map_err(End::Told)?;
        match self.service.authorization.may_serve(view) {
            true => Ok(()),
            false => Err(End::NoAuthorizer),
        }
    }

    /// Sends what arrived up to `view`, because the front request's answer comes next: nothing may
    /// be left, however much output waits for the socket.
    pub(super) async fn send_arrived_before_answer<S: Stream>(
        &mut self,
        sends: &mut Sends,
        view: &View,
        socket: &mut Socket<S>,
    ) -> Result<(), End> {
        self.filter_events(view).await;
        let is_due = |item: &mut Item| item.zxid() <= view.zxid();
        while let Some(item) = self.arrived.pop_front_if(is_due) {
            match item {
                Item::Event(event) => self.send_event(&event, socket),
                Item::Result { seq, .. } => sends.forget_stale(seq)?,
            }
        }
        Ok(())
    }

    /// Drops the events of persistent watches that an authorizer denies. For a one-shot watch the
    /// authorizers were asked when it was set. A persistent watch stays while policies change, and
    /// a recursive one has events of paths that were not known then. (test:
    /// `an_authorizer_is_asked_about_every_event_of_a_persistent_watch`)
    async fn filter_events(&mut self, view: &View) {
        if !view.bindings().has_authorizers() {
            return;
        }
        let from = self
            .arrived
            .partition_point(|item| item.zxid() <= self.filtered);
        let to = self
            .arrived
            .partition_point(|item| item.zxid() <= view.zxid());
        self.filtered = self.filtered.max(view.zxid());
        let mut denied = Vec::new();
        for at in from..to {
            let Item::Event(Event {
                persistent: Some(happened),
                ..
            }) = &self.arrived[at]
            else {
                continue;
            };
            let access = match happened.kind {
                EventType::NodeDataChanged => Access::GetData,
                EventType::NodeChildrenChanged => Access::GetChildren,
                _ => Access::Exists,
            };
            let path = &happened.path;
            let authorization = &self.service.authorization;
            let asks = [AccessRequest { access, path }];
            let verdict = authorization.check(view, &self.identities, &asks).await;
            if let Verdict::Deny(_) = verdict {
                denied.push(at);
            }
        }
        if !denied.is_empty() {
            let mut at = 0;
            self.arrived.retain(|item| {
                let stays = denied.binary_search(&at).is_err();
                at += 1;
                if !stays && let Item::Event(event) = item {
                    self.outbox.is_done_with(event);
                }
                stays
            });
        }
    }

    /// Sends an event, if the ACL at the time of the event lets the client see it.
    fn send_event<S: Stream>(&mut self, event: &Event, socket: &mut Socket<S>) {
        self.outbox.is_done_with(event);
        if acl::allows(&event.acl, Perms::READ, &self.identities) {
            socket.output.extend_from_slice(&event.frame);
            self.turn_stats.sent_event(event.frame.len());
            self.last_zxid = self.last_zxid.max(event.zxid.0 as i64);
        }
    }
}

impl From<OutOfOrder> for End {
    fn from(error: OutOfOrder) -> Self {
        End::Unavailable(error.to_string())
    }
}

/// Writes the answer to a write from its result.
fn encode_reply<S: Stream>(
    socket: &mut Socket<S>,
    zxid: Zxid,
    request: &Pending,
    reply: &Reply,
) -> Answer {
    let (output, zxid, xid) = (&mut socket.output, zxid.0 as i64, request.xid);
    let request = match &request.body {
        Body::Plain(request) => Some(request),
        _ => None,
    };
    let ops = match request {
        Some(Request::Multi(multi)) => multi.ops.as_slice(),
        _ => &[],
    };
    let encoded = match reply {
        Reply::Single(Ok(done)) => match done {
            OpReply::Created { path, stat } => reply::encode(output, xid, zxid, |body| {
                // A plain create is answered without the Stat, whatever its flags are. (test:
                // `create_modes_mean_what_they_mean_in_zookeeper`)
                if let Some(Request::Create(_)) = request {
                    body.path(path);
                } else {
                    body.path_and_stat(path, stat);
                }
            }),
            OpReply::Set(stat) => reply::encode(output, xid, zxid, |body| body.stat(stat)),
            OpReply::Deleted | OpReply::Checked => {
                reply::encode_error(output, xid, zxid, ErrorCode::Ok)
            }
        },
        Reply::Single(Err(error)) => reply::encode_error(output, xid, zxid, *error),
        Reply::Multi(done) => {
            let results: Vec<_> = ops.iter().zip(done).map(multi_result).collect();
            reply::encode(output, xid, zxid, |body| body.multi(&results))
        }
        Reply::MultiFailed { index, error } => {
            return encode_multi_failed(socket, xid, zxid, ops.len(), *index, *error);
        }
        Reply::Closed => {
            return Answer {
                is_last: true,
                ..reply::encode_error(output, xid, zxid, ErrorCode::Ok).into()
            };
        }
    };
    encoded.into()
}

fn multi_result((op, done): (&MultiOp, &OpReply)) -> MultiResult {
    match (op, done) {
        (op, OpReply::Created { path, stat }) if commands::answers_with_stat(op) => {
            MultiResult::Create2(ByteString::from(&**path), *stat)
        }
        (_, OpReply::Created { path, .. }) => MultiResult::Create(ByteString::from(&**path)),
        (_, OpReply::Deleted) => MultiResult::Delete,
        (_, OpReply::Set(stat)) => MultiResult::SetData(*stat),
        (_, OpReply::Checked) => MultiResult::Check,
    }
}
