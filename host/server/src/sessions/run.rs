//! The life of a session on its connection: wake up, take frames, move on, write, sleep.

use std::task::{Context, Poll};
use std::time::Duration;

use innkeeper_auth::SaslAnswer;
use innkeeper_proto::ErrorCode;
use innkeeper_proto::frame::Inbound;
use innkeeper_proto::reply;
use innkeeper_proto::request::Request;
use innkeeper_runtime::{Runtime, Stream};
use innkeeper_tree::View;

use super::results::encode_multi_failed;
use super::scope::fails_whole;
use super::{Body, Session, State, ends_connection};
use crate::socket::{End, Socket, Wants};

/// How long a connection may answer before its worker serves others.
const LONGEST_TURN: Duration = Duration::from_millis(5);

/// After how many answers the clock is looked at.
const ANSWERS_PER_LOOK_AT_THE_CLOCK: u32 = 8;

/// Goes to the end of the worker's queue once.
async fn let_others_run() {
    let mut went = false;
    std::future::poll_fn(|cx| {
        if went {
            return Poll::Ready(());
        }
        went = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<R: Runtime> Session<R> {
    /// Serves the session until one side ends it.
    pub(crate) async fn run<S: Stream>(mut self, socket: &mut Socket<S>) -> End {
        loop {
            match self.wake_up(socket).await {
                Ok(()) if self.finished => return End::Done,
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    async fn wake_up<S: Stream>(&mut self, socket: &mut Socket<S>) -> Result<(), End> {
        self.now = self.service.runtime.now();
        // Until the next turn output only grows: what is behind this is of this wake-up.
        let written = socket.output.len();
        loop {
            // Whether whole frames may be left behind. It must be remembered: what the connection
            // may take changes with the others, and asked again it could be more, with nothing
            // left to wake this task for what it left. If it is full in the end, a request is
            // unanswered, whose answer wakes it.
            let more = loop {
                if self.is_full() || self.finished {
                    break true;
                }
                match socket.next_frame()? {
                    Some(Inbound::Frame(frame)) => self.take(frame)?,
                    // Words are looked for only where the connection begins.
                    Some(Inbound::Word(_)) | None => break false,
                }
            };
            self.listen(socket);
            self.share.note(self.requests.len());
            self.advance(socket).await?;
            self.share.note(self.requests.len());
            if !more || self.is_full() || self.finished {
                break;
            }
        }
        if self.waits_its_turn() {
            self.service.stats.throttle_waits.add(1);
        }
        self.present.add(
            &mut self.tally,
            &socket.output[written..],
            self.requests.len(),
            self.last_zxid,
            self.service.runtime.now(),
        );
        if self.finished {
            return Ok(());
        }
        if self.outbox.take_probe() {
            self.probed_tick = Some(self.service.expiry.now_tick());
        }
        let probe = self.probed_tick.is_some();
        let wants = Wants {
            read: !self.is_full() && !socket.is_full(),
            probe,
            room: socket.is_full(),
        };
        let (outbox, syncs) = (self.outbox.clone(), &mut self.syncs);
        let mut confirmed = Ok(false);
        let turn = socket
            .turn(wants, |cx| {
                confirmed = syncs.poll(cx);
                match confirmed {
                    Ok(false) => outbox.poll_woken(cx),
                    _ => Poll::Ready(()),
                }
            })
            .await?;
        confirmed?;
        self.has_input |= turn.input;
        if probe && turn.nothing_buffered && !turn.input {
            self.answer_probe();
        }
        Ok(())
    }

    /// Hears what was read and is no whole request yet: one that arrives slowly keeps its session
    /// alive, too. (test: `a_request_that_arrives_slowly_keeps_its_session_alive`)
    fn listen<S: Stream>(&mut self, socket: &Socket<S>) {
        if std::mem::take(&mut self.has_input) && socket.holds_a_request() {
            self.is_heard();
        }
        // Who sends credentials for a whole tick without end is silent, whatever is behind them.
        if (self.probed_tick).is_some_and(|tick| tick < self.service.expiry.now_tick()) {
            self.answer_probe();
        }
    }

    fn answer_probe(&mut self) {
        self.heartbeat.nothing_buffered();
        self.probed_tick = None;
    }

    /// Moves everything on as far as it goes. Small requests may be dear (a count of a million
    /// znodes), and many may have come at once: other connections get the worker in between.
    async fn advance<S: Stream>(&mut self, socket: &mut Socket<S>) -> Result<(), End> {
        let (mut since, mut answers) = (self.now, 0u32);
        loop {
            let mut view = self.service.reader.view();
            self.outbox.drain(&mut self.arrived).map_err(End::Told)?;
            let mut moved = false;
            loop {
                let arrived = self.send_arrived(&view, false, socket).await?;
                let answered = !self.finished && self.answer_front(&mut view, socket).await?;
                if self.finished {
                    return Ok(());
                }
                if !arrived && !answered {
                    break;
                }
                moved = true;
                answers += 1;
                if answers.is_multiple_of(ANSWERS_PER_LOOK_AT_THE_CLOCK) {
                    let now = self.service.runtime.now();
                    if now - since > LONGEST_TURN {
                        let_others_run().await;
                        since = self.service.runtime.now();
                    }
                }
            }
            moved |= self.examine(&view).await?;
            if !moved {
                return Ok(());
            }
        }
    }

    /// Answers the front request if nothing but a view is needed for it; true if it did.
    async fn answer_front<S: Stream>(
        &mut self,
        view: &mut View,
        socket: &mut Socket<S>,
    ) -> Result<bool, End> {
        if self.examined == 0 || socket.is_full() || self.waits_for_room() {
            return Ok(false);
        }
        let Some(front) = self.requests.front() else {
            return Ok(false);
        };
        let xid = front.reply_xid();
        // A reply made without a view or an apply carries the last zxid sent. ZooKeeper answers
        // credentials before it looks at any, and what is no request before it has one.
        // (tests: `credentials_are_answered_without_a_zxid`,
        // `an_operation_that_is_not_served_is_answered_and_then_the_connection_ends`)
        let zxid = match &front.body {
            Body::Plain(Request::Auth(_)) | Body::Sasl(_) => 0,
            Body::Refused(ErrorCode::Unimplemented) => -1,
            _ => self.last_zxid,
        };
        let error = match front.state {
            State::InFlight(_) => return Ok(false),
            State::Syncing(number) if number > self.syncs.confirmed => return Ok(false),
            State::Failed(error, index) => {
                if let Body::Plain(Request::Multi(multi)) = &front.body
                    && error != ErrorCode::MarshallingError
                    && !ends_connection(error)
                    && !fails_whole(error)
                {
                    let len = multi.ops.len();
                    encode_multi_failed(socket, xid, self.last_zxid, len, index, error);
                    self.pop_front();
                    return Ok(true);
                }
                self.finished = ends_connection(error);
                error
            }
            State::Syncing(_) | State::Waiting => match &front.body {
                // Of a request that could not be read the client is told, and may go on; of one
                // that is none, the connection ends, as in ZooKeeper.
                // (test: `a_body_that_cannot_be_read_is_answered_and_the_connection_stays`)
                Body::Refused(error) => {
                    self.finished = *error == ErrorCode::Unimplemented;
                    *error
                }
                Body::Sasl(answer) => {
                    let out = &mut socket.output;
                    match answer {
                        SaslAnswer::Token(token) => {
                            let token = token.as_deref().map(str::as_bytes);
                            reply::encode(out, xid, zxid, |body| body.token(token));
                        }
                        SaslAnswer::Refused(error) => {
                            reply::encode_refused_token(out, xid, zxid, *error);
                            self.finished = true;
                        }
                    }
                    self.pop_front();
                    return Ok(true);
                }
                Body::Rewatch(_) => return self.rewatch(view, socket).await,
                Body::Plain(
                    Request::AddWatch(_) | Request::CheckWatches(_) | Request::RemoveWatches(_),
                ) => return self.watch(view, socket).await,
                Body::Plain(Request::Sync(path)) => {
                    let path = path.clone();
                    reply::encode(&mut socket.output, xid, self.last_zxid, |body| {
                        body.path(&path);
                    });
                    self.pop_front();
                    return Ok(true);
                }
                Body::Plain(Request::Ping | Request::Auth(_)) => ErrorCode::Ok,
                // One with a record is closed by a command, and never waits here.
                Body::Plain(Request::CloseSession) => {
                    self.end_unrecorded();
                    ErrorCode::Ok
                }
                Body::Plain(_) => return self.read(view, socket).await,
            },
        };
        reply::encode_error(&mut socket.output, xid, zxid, error);
        self.pop_front();
        Ok(true)
    }
}

impl super::Syncs {
    /// A new sync: what was committed before now must be applied before it is answered.
    pub(super) fn ask(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    /// Whether a call is to be made for those that no call covers.
    pub(super) fn wants_call(&self) -> bool {
        self.call.is_none() && self.asked > self.confirmed
    }

    /// Makes the call that covers all asked so far.
    pub(super) fn begin(&mut self, call: super::Confirming) {
        self.called = self.asked;
        self.call = Some(call);
    }

    /// Polls the call; true if it was answered.
    fn poll(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let Some(call) = &mut self.call else {
            return Ok(false);
        };
        match call.as_mut().poll(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) => {
                self.call = None;
                self.confirmed = self.called;
                Ok(true)
            }
            Poll::Ready(Err(unavailable)) => Err(End::Unavailable(unavailable.to_string())),
        }
    }
}
