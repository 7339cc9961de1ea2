//! What arrived from apply: events and results, sent in zxid order.
//!
//! A result that says that the write was run is the answer to the front request. A bounce means
//! that an authorizer's policy moved between the decision and the commit: the write and all that
//! was sent behind it are examined again, with the same numbers; what comes back of the old
//! sends belongs to an older round and means nothing.
//!
//! **Invariant:** who may see a watch event is decided here, in the connection's task, by the ACL
//! as of the event, never in the fan-out. For events of persistent watches the active authorizers
//! are asked as well: nobody was asked about their paths when the watch was set, and a recursive
//! watch on `/` would pass every policy. (tests:
//! `an_event_is_withheld_from_whom_the_acl_of_that_moment_hides_it`,
//! `an_authorizer_is_asked_about_every_event_of_a_persistent_watch`)

use innkeeper_proto::Perms;
use innkeeper_proto::reply::{self, MultiResult};
use innkeeper_proto::request::{MultiOp, Request};
use innkeeper_proto::{ByteString, ErrorCode, EventType};
use innkeeper_runtime::{Runtime, Stream};
use innkeeper_tree::applied::{OpReply, Reply, SessionResult};
use innkeeper_tree::{Access, View, Zxid, acl};

use super::{Body, Session, State, commands};
use crate::authorization::{AccessRequest, Verdict};
use crate::delivery::outbox::Item;
use crate::socket::{End, Socket};

impl<R: Runtime> Session<R> {
    /// Sends what arrived up to `view`; true if anything was. `reply_follows` says that a reply
    /// as of the view comes next, so that nothing may be left, however much waits for the
    /// socket.
    pub(super) async fn send_arrived<S: Stream>(
        &mut self,
        view: &View,
        reply_follows: bool,
        socket: &mut Socket<S>,
    ) -> Result<bool, End> {
        if view.bindings().has_authorizers() {
            self.judge(view).await;
        }
        let mut moved = false;
        while let Some(item) = self.arrived.front() {
            if item.zxid() > view.zxid() || (socket.is_full() && !reply_follows) {
                break;
            }
            match item {
                // It may be the event of a request behind the front one, whose answer comes first.
                // (test: `an_answer_goes_before_the_events_of_later_requests`)
                Item::Event { .. } if !reply_follows && self.front_waits_for_nothing() => break,
                Item::Event { .. } => self.send_event(socket),
                Item::Result { .. } => {
                    if !self.settle(socket)? {
                        break;
                    }
                }
            }
            moved = true;
            if self.finished {
                break;
            }
        }
        Ok(moved)
    }

    /// Whether the front request is answered without a view and without an apply.
    fn front_waits_for_nothing(&self) -> bool {
        let Some(front) = self.requests.front().filter(|_| self.examined > 0) else {
            return false;
        };
        match front.state {
            State::InFlight(_) => false,
            State::Failed(..) => true,
            State::Syncing(number) => number <= self.syncs.confirmed,
            State::Waiting => !front.body.needs_view(),
        }
    }

    /// Drops the events of persistent watches that no authorizer lets through. A one-shot watch
    /// was asked about when it was set; a persistent one stays, while policies change, and a
    /// recursive one tells of paths that nobody had named then.
    /// (test: `an_authorizer_is_asked_about_every_event_of_a_persistent_watch`)
    async fn judge(&mut self, view: &View) {
        let from = self
            .arrived
            .partition_point(|item| item.zxid() <= self.judged);
        let to = self
            .arrived
            .partition_point(|item| item.zxid() <= view.zxid());
        self.judged = self.judged.max(view.zxid());
        let mut denied = Vec::new();
        for at in from..to {
            let Item::Event {
                persistent: Some(happened),
                ..
            } = &self.arrived[at]
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
                if !stays {
                    self.outbox.is_done_with(item);
                }
                stays
            });
        }
    }

    /// Sends the event at the front, if the client may see it: by the ACL as of the event.
    fn send_event<S: Stream>(&mut self, socket: &mut Socket<S>) {
        let Some(item) = self.arrived.pop_front() else {
            return;
        };
        self.outbox.is_done_with(&item);
        if let Item::Event {
            zxid, frame, acl, ..
        } = &item
            && acl::allows(acl, Perms::READ, &self.identities)
        {
            socket.output.extend_from_slice(frame);
            self.last_zxid = self.last_zxid.max(zxid.0 as i64);
        }
    }

    /// Takes the result at the front to its request; false if its turn has not come.
    fn settle<S: Stream>(&mut self, socket: &mut Socket<S>) -> Result<bool, End> {
        let (Some(Item::Result { zxid, seq, result }), Some(send)) =
            (self.arrived.front(), self.sends.front())
        else {
            return Err(End::Unavailable(
                "a result came that nobody asked for".into(),
            ));
        };
        let (zxid, seq) = (*zxid, *seq);
        if seq != send.seq {
            return Err(End::Unavailable(format!(
                "the result of write {seq} came where that of {} was due",
                send.seq
            )));
        }
        if send.round == self.round {
            match result {
                SessionResult::Done(reply) => {
                    let Some(front) = self.requests.front() else {
                        return Ok(false);
                    };
                    if front.state != State::InFlight(seq) {
                        return Ok(false);
                    }
                    if let Body::Plain(request) = &front.body {
                        encode_reply(socket, front.xid, zxid, request, reply);
                    }
                    self.finished = matches!(reply, Reply::Closed);
                    self.last_zxid = zxid.0 as i64;
                    self.pop_front();
                }
                SessionResult::Bounced | SessionResult::Gap => self.rewind(seq),
                // Its reply went to a connection that is gone; this one cannot know it.
                SessionResult::Duplicate | SessionResult::Moved | SessionResult::Expired => {
                    return Err(End::SessionOver);
                }
            }
        }
        self.arrived.pop_front();
        self.sends.pop_front();
        Ok(true)
    }

    /// Makes the write `seq`, and all requests behind it, unexamined.
    fn rewind(&mut self, seq: u64) {
        let bounced = |pending: &super::Pending| pending.state == State::InFlight(seq);
        let Some(from) = self.requests.iter().position(bounced) else {
            return;
        };
        self.round += 1;
        self.next_seq = seq;
        for pending in self.requests.range_mut(from..self.examined) {
            if !matches!(pending.state, State::Syncing(_)) {
                pending.state = State::Waiting;
            }
        }
        self.examined = from;
        self.closing = false;
        let ahead = self.requests.range(..from);
        self.in_flight = ahead
            .clone()
            .filter(|pending| matches!(pending.state, State::InFlight(_)))
            .count();
        self.reads_ahead = ahead.filter(|pending| pending.body.needs_view()).count();
    }
}

fn encode_reply<S: Stream>(
    socket: &mut Socket<S>,
    xid: i32,
    zxid: Zxid,
    request: &Request,
    reply: &Reply,
) {
    let (output, zxid) = (&mut socket.output, zxid.0 as i64);
    match reply {
        Reply::Single(Ok(done)) => match done {
            OpReply::Created { path, stat } => reply::encode(output, xid, zxid, |body| {
                // create alone is answered without the Stat, whatever its flags ask for.
                // (test: `create_modes_mean_what_they_mean_in_zookeeper`)
                if !matches!(request, Request::Create(_)) {
                    body.path_and_stat(path, stat);
                } else {
                    body.path(path);
                }
            }),
            OpReply::Set(stat) => reply::encode(output, xid, zxid, |body| body.stat(stat)),
            OpReply::Deleted | OpReply::Checked => {
                reply::encode_error(output, xid, zxid, ErrorCode::Ok);
            }
        },
        Reply::Single(Err(error)) => reply::encode_error(output, xid, zxid, *error),
        Reply::Multi(done) => {
            let ops = match request {
                Request::Multi(multi) => multi.ops.as_slice(),
                _ => &[],
            };
            let results: Vec<_> = ops.iter().zip(done).map(multi_result).collect();
            reply::encode(output, xid, zxid, |body| body.multi(&results));
        }
        Reply::MultiFailed { index, error } => {
            let len = match request {
                Request::Multi(multi) => multi.ops.len(),
                _ => 0,
            };
            encode_multi_failed(socket, xid, zxid, len, *index, *error);
        }
        Reply::Closed => reply::encode_error(output, xid, zxid, ErrorCode::Ok),
    }
}

/// A failed multi: the header says that all is well, the results say what is not.
pub(super) fn encode_multi_failed<S: Stream>(
    socket: &mut Socket<S>,
    xid: i32,
    zxid: i64,
    len: usize,
    failed: usize,
    error: ErrorCode,
) {
    let results = MultiResult::failed(len, failed, error);
    reply::encode(&mut socket.output, xid, zxid, |body| body.multi(&results));
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
