//! The loop that serves a session on its connection: wake up, take frames, move requests on, write,
//! sleep.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use innkeeper_proto::frame::Inbound;
use innkeeper_proto::request::Request;
use innkeeper_runtime::{Runtime, Stream};
use innkeeper_tree::View;

use super::former_watches::FormerWatches;
use super::liveness::Liveness;
use super::outcome::{Answer, Outcome};
use super::pipeline::{Body, Pipeline};
use super::read_indexes::ReadIndexes;
use super::{Attached, Session};
use crate::clients::{ConnectionGuard, TurnStats};
use crate::service::Service;
use crate::socket::{End, Socket, Wants, is_credentials};
use crate::throttle::requests::Share;
use crate::throttle::turns::Turn;

/// Serves one session on one connection, until either ends.
pub(crate) struct SessionLoop<R: Runtime> {
    pub(super) session: Session<R>,
    /// The requests that are not answered.
    pub(super) pipeline: Pipeline,
    /// What the syncs among them, and those that were denied, wait for.
    pub(super) read_indexes: ReadIndexes,
    liveness: Liveness,
    /// The connection's part of the requests that the node has outstanding.
    share: Share,
    /// How long it has worked while others wait.
    turn: Turn,
    guard: ConnectionGuard,
    /// The last answer is in the output: the connection closes when it is sent.
    pub(super) finished: bool,
}

impl<R: Runtime> SessionLoop<R> {
    /// Starts to serve the session of a client that was admitted.
    pub(crate) fn new(
        service: Arc<Service<R>>,
        attached: Attached,
        guard: ConnectionGuard,
    ) -> Self {
        let liveness = Liveness::new(attached.heartbeat, service.expiry.clone());
        let share = service.outstanding.share();
        let turn = service.turns.begin(service.runtime.now());
        let session = Session {
            id: attached.id,
            attachment: attached.attachment,
            seat: attached.seat,
            outbox: attached.outbox,
            identities: attached.identities,
            negotiation: Default::default(),
            scope: attached.scope,
            timeout: Duration::from_millis(u64::from(attached.timeout_ms)),
            arrived: Default::default(),
            filtered: Default::default(),
            last_zxid: attached.zxid.0 as i64,
            room: None,
            told_too_long: false,
            now: service.runtime.now(),
            turn_stats: TurnStats::default(),
            service,
        };
        Self {
            session,
            pipeline: Pipeline::default(),
            read_indexes: ReadIndexes::default(),
            liveness,
            share,
            turn,
            guard,
            finished: false,
        }
    }

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
        self.session.now = self.session.service.runtime.now();
        self.turn.works(self.session.now);
        self.session.is_served()?;
        loop {
            // Whether whole frames may be left in the input. This must be remembered, not asked
            // again at the end: the budget changes with other connections, and if it had grown
            // meanwhile, nothing would wake this task for the frames that it left. If the budget is
            // used up, a request is unanswered, and its answer wakes the task.
            let more = loop {
                if self.is_full() || self.finished {
                    break true;
                }
                match socket.next_frame()? {
                    Some(Inbound::Frame(frame)) => self.take(frame)?,
                    // Four-letter words are recognised only at the beginning of a connection.
                    Some(Inbound::Word(_)) | None => break false,
                }
            };
            self.liveness.look_at_the_rest(socket)?;
            self.share.note(self.pipeline.len());
            self.advance(socket).await?;
            self.share.note(self.pipeline.len());
            if !more || self.is_full() || self.finished {
                break;
            }
        }
        if self.pipeline.waits_for_others(self.share.budget()) {
            self.session.service.stats.throttle_waits.add(1);
        }
        let now = self.session.service.runtime.now();
        self.guard.add(
            &mut self.session.turn_stats,
            self.pipeline.len(),
            self.session.last_zxid,
            now,
        );
        if self.finished {
            return Ok(());
        }
        self.sleep(socket).await
    }

    /// Writes the output, reads what comes, and returns when there is something to do.
    async fn sleep<S: Stream>(&mut self, socket: &mut Socket<S>) -> Result<(), End> {
        let outbox = &self.session.outbox;
        if outbox.take_probe() {
            self.liveness.asked();
        }
        let probe = self.liveness.is_asked();
        let wants = Wants {
            read: !self.is_full() && !socket.is_full(),
            probe,
            room: socket.is_full(),
        };
        let read_indexes = &mut self.read_indexes;
        let mut confirmed = Ok(false);
        let own_turn = &mut self.turn;
        let turn = {
            let mut sleeping = pin!(socket.turn(wants, |cx| {
                confirmed = read_indexes.poll(cx);
                match confirmed {
                    Ok(false) => outbox.poll_woken(cx),
                    _ => Poll::Ready(()),
                }
            }));
            let turned = poll_fn(|cx| {
                let polled = sleeping.as_mut().poll(cx);
                if polled.is_pending() {
                    own_turn.rests();
                }
                polled
            });
            turned.await?
        };
        confirmed.map_err(|unavailable| End::Unavailable(unavailable.to_string()))?;
        self.liveness.turned(turn, probe);
        Ok(())
    }

    /// Whether reading is paused.
    fn is_full(&self) -> bool {
        self.pipeline.is_full(self.share.budget())
    }

    /// Takes the next frame of the input.
    fn take(&mut self, frame: Bytes) -> Result<(), End> {
        let bytes = frame.len();
        if !self.share.admit(bytes) {
            return Err(End::LargeRequests(bytes));
        }
        let (header, decoded) = Request::decode(frame)?;
        // Credentials are no sign of life, as in ZooKeeper: a client that only tries to log in
        // again and again is silent. (test: `credentials_keep_no_session_alive`)
        match is_credentials(header.op) {
            true => self.liveness.sent_credentials()?,
            false => self.liveness.heard()?,
        }
        let body = match decoded {
            Ok(Request::SetWatches(set) | Request::SetWatches2(set)) => {
                Body::Rewatch(FormerWatches::new(set))
            }
            Ok(request) => Body::Plain(request),
            // ZooKeeper parses credentials where it reads the frame, and sends no answer if that
            // fails. (test: `a_body_that_cannot_be_read_is_answered_and_the_connection_stays`)
            Err(error) if is_credentials(header.op) => return Err(error.into()),
            Err(error) => {
                tracing::debug!(session = %self.session.id, "{error}");
                Body::Refused(error.error_code())
            }
        };
        self.session.turn_stats.received(bytes);
        let read_index = self.read_indexes.next();
        self.pipeline
            .push(header.xid, body, bytes, self.session.now, read_index);
        Ok(())
    }

    /// Moves all requests on as far as they go. A small request may take long (counting a million
    /// znodes), and many may have come at once: other connections get their turn in between.
    async fn advance<S: Stream>(&mut self, socket: &mut Socket<S>) -> Result<(), End> {
        loop {
            let mut view = self.session.service.reader.view();
            self.session.drain(&view)?;
            let (mut moved, mut is_over) = (false, false);
            while !is_over {
                let before = socket.output.len();
                let arrived = self.send_arrived(&view, socket).await?;
                let answered = !self.finished && self.answer_front(&mut view, socket).await?;
                if self.finished {
                    return Ok(());
                }
                if !arrived && !answered {
                    break;
                }
                moved = true;
                let bytes = socket.output.len().saturating_sub(before);
                let runtime = &self.session.service.runtime;
                is_over = self.turn.is_over(bytes, || runtime.now());
            }
            moved |= self.examine(&view).await?;
            if is_over {
                // The line may be long, and a view keeps memory.
                drop(view);
                let runtime = self.session.service.runtime.clone();
                self.turn.give_way(|| runtime.now()).await;
            }
            if !moved {
                return Ok(());
            }
        }
    }

    /// Answers the front request if it needs no result. Returns true if anything moved.
    async fn answer_front<S: Stream>(
        &mut self,
        view: &mut View,
        socket: &mut Socket<S>,
    ) -> Result<bool, End> {
        if socket.is_full() || self.session.waits_for_room() {
            return Ok(false);
        }
        let Some(front) = self.pipeline.front(self.read_indexes.answered()) else {
            return Ok(false);
        };
        match self.session.answer(front, view, socket).await? {
            Outcome::Answered(answer) => self.is_answered(answer),
            Outcome::Again => {}
            Outcome::WaitsForRoom => return Ok(false),
        }
        Ok(true)
    }

    /// The front request's answer is in the output.
    pub(super) fn is_answered(&mut self, answer: Answer) {
        self.finished = answer.is_last;
        if let Some(request) = self.pipeline.answered() {
            self.share.release(request.bytes);
            let (op, asked) = request.body.operation();
            self.session.turn_stats.answered(
                request.reply_xid(),
                op,
                asked,
                request.received,
                answer.replied,
            );
        }
    }
}
