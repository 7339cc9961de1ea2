//! One session on one connection: the order of its requests, and of their answers.
//!
//! One wake-up of the connection's task, [`Session::advance`]:
//! 1. A view is taken, then the outbox is drained: what the view contains has arrived.
//! 2. What arrived up to the view is sent in zxid order: events as they are, a write's result
//!    when its request is the next to be answered ([`results`]).
//! 3. Requests at the front that need no log are answered: reads from the view ([`reads`]),
//!    setWatches ([`rewatch`]), addWatch and its like ([`watching`]), ping, auth, a sync whose
//!    read index is there.
//! 4. Requests behind them are examined in order: credentials are noted, syncs begun, writes
//!    decided on, numbered and handed to the door in one batch ([`writes`]).
//! 5. Again, until nothing moves; then the connection writes its output and sleeps.
//!
//! **Invariant:** replies come only from apply, or from a view. A session's requests are answered
//! in order, and a read sees all of its session's earlier writes and none of its later ones.
//! (tests: `pipelined_reads_see_what_was_written_before_them_and_nothing_later`,
//! `failed_writes_answer_in_their_place`)

mod commands;
mod lookup;
mod reads;
mod results;
mod rewatch;
mod run;
mod scope;
mod watching;
mod writes;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use innkeeper_auth::Negotiation;
use innkeeper_auth::SaslAnswer;
use innkeeper_proto::request::Request;
use innkeeper_proto::{ErrorCode, OpCode, xid};
use innkeeper_raft::Unavailable;
use innkeeper_runtime::{Instant, Runtime};
use innkeeper_tree::{Identity, SessionId, Zxid};

use crate::clients::{ConnectionGuard, TurnStats};
use crate::delivery::fanout::SeatGuard;
use crate::delivery::outbox::{Item, Outbox};
use crate::expiry::Heartbeat;
use crate::service::Service;
use crate::settings::{MAX_PENDING_BYTES, MAX_PENDING_REQUESTS};
use crate::socket::{End, is_credentials};
use crate::throttle::answers::AnswerRoom;
use crate::throttle::requests::Share;

use rewatch::Rewatch;
pub(crate) use scope::Scope;

/// A session as its connection serves it.
///
/// Invariants:
/// - Requests are answered in the order in which they came.
/// - Writes are numbered 1, 2, 3 … in that order; every send gets exactly one result, in order.
/// - A read is answered when no earlier write of the session is unanswered, and no later write
///   is handed to the door before it is answered: it sees all of the former, none of the latter.
/// - Nothing is sent from a zxid above the published one; a reply as of zxid Z follows every
///   event up to Z and precedes every later one.
/// - `requests` is bounded by [`MAX_PENDING_REQUESTS`] and [`MAX_PENDING_BYTES`].
pub(crate) struct Session<R: Runtime> {
    service: Arc<Service<R>>,
    id: SessionId,
    attachment: u32,
    seat: SeatGuard,
    outbox: Arc<Outbox>,
    heartbeat: Arc<Heartbeat>,
    /// Who the client is: its address, then what it authenticated as.
    identities: Vec<Identity>,
    /// How far its SASL exchange has come.
    negotiation: Negotiation,
    requests: VecDeque<Pending>,
    pending_bytes: usize,
    /// How many of `requests`, from the front, were examined.
    examined: usize,
    /// How many of those are writes that the door has.
    in_flight: usize,
    /// How many of those need a view.
    reads_ahead: usize,
    next_seq: u64,
    /// One entry per write that was sent and has no result, bounced ones included.
    sends: VecDeque<Sent>,
    /// Raised when a bounce makes the results of what was sent behind it meaningless.
    round: u32,
    arrived: VecDeque<Item>,
    /// Up to where authorizers were asked about what arrived.
    judged: Zxid,
    /// The zxid of the last reply or event sent.
    last_zxid: i64,
    syncs: Syncs,
    /// The moment of this wake-up, for latencies.
    now: Instant,
    tally: TurnStats,
    present: ConnectionGuard,
    scope: Scope,
    /// The session's, as it was negotiated.
    timeout: Duration,
    /// Of what the node as a whole has outstanding.
    share: Share,
    /// Room for the answer to the front request, where that is a large one; it may have to wait
    /// for it.
    room: Option<AnswerRoom>,
    /// The log has told of a write that was too long.
    told_too_long: bool,
    /// Input came with the last turn.
    has_input: bool,
    /// The tick at which the expiry asked whether anything is buffered, until that is answered.
    probed_tick: Option<u64>,
    /// What was examined last ends the connection: nothing behind it is examined.
    closing: bool,
    /// The last answer is given: close when it is sent.
    finished: bool,
}

/// A request that is not answered.
struct Pending {
    xid: i32,
    body: Body,
    state: State,
    /// How many of the client's identities it had when the request was first examined. Identities
    /// are only ever added, and a write that bounced must not be judged by those behind it.
    /// (test: `a_bounced_write_is_judged_by_the_credentials_before_it`)
    identities: Option<usize>,
    /// Of its frame.
    bytes: usize,
    received: Instant,
}

/// What is asked.
enum Body {
    /// A request as it was decoded.
    Plain(Request),
    /// setWatches, with how far it has come.
    Rewatch(Rewatch),
    /// A SASL token that was taken; this is the answer.
    Sasl(SaslAnswer),
    /// What cannot be read, or is not served: the answer.
    Refused(ErrorCode),
}

/// How far a request has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Not examined; or examined, and to be answered when its turn comes.
    Waiting,
    /// A write with that number is with the door.
    InFlight(u64),
    /// The answer is this error; nothing is sent to the log. Of a multi, the operation at that
    /// index is at fault.
    Failed(ErrorCode, usize),
    /// A sync that is answered when that many have been confirmed.
    Syncing(u64),
}

/// A write that was sent.
struct Sent {
    seq: u64,
    round: u32,
}

/// The read indexes of this connection's syncs: one call for all that wait.
#[derive(Default)]
struct Syncs {
    /// Syncs that were examined.
    asked: u64,
    /// Those that the call under way covers.
    called: u64,
    /// Those that are confirmed.
    confirmed: u64,
    call: Option<Confirming>,
}

type Confirming = Pin<Box<dyn Future<Output = Result<(), Unavailable>> + Send>>;

/// What a connection brings to the session that it serves.
pub(crate) struct Attached {
    pub(crate) id: SessionId,
    pub(crate) attachment: u32,
    pub(crate) seat: SeatGuard,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) heartbeat: Arc<Heartbeat>,
    /// What the client is before it says anything.
    pub(crate) identities: Vec<Identity>,
    /// What had been applied here when it came: at least what the client has seen.
    pub(crate) zxid: Zxid,
    /// How the service knows it.
    pub(crate) scope: Scope,
    pub(crate) timeout_ms: u32,
}

impl<R: Runtime> Session<R> {
    pub(crate) fn new(
        service: Arc<Service<R>>,
        attached: Attached,
        present: ConnectionGuard,
    ) -> Self {
        let now = service.runtime.now();
        let share = service.outstanding.share();
        Self {
            service,
            id: attached.id,
            attachment: attached.attachment,
            seat: attached.seat,
            outbox: attached.outbox,
            heartbeat: attached.heartbeat,
            identities: attached.identities,
            negotiation: Negotiation::default(),
            requests: VecDeque::new(),
            pending_bytes: 0,
            examined: 0,
            in_flight: 0,
            reads_ahead: 0,
            next_seq: 1,
            sends: VecDeque::new(),
            round: 0,
            arrived: VecDeque::new(),
            judged: Zxid(0),
            last_zxid: attached.zxid.0 as i64,
            syncs: Syncs::default(),
            now,
            tally: TurnStats::default(),
            present,
            scope: attached.scope,
            timeout: Duration::from_millis(u64::from(attached.timeout_ms)),
            share,
            room: None,
            told_too_long: false,
            has_input: false,
            probed_tick: None,
            closing: false,
            finished: false,
        }
    }

    /// Whether no further request is taken for now: by the connection's own bounds, or because
    /// it has its fair share of what the node has outstanding.
    fn is_full(&self) -> bool {
        self.requests.len() >= self.share.budget().min(MAX_PENDING_REQUESTS)
            || self.pending_bytes >= MAX_PENDING_BYTES
    }

    /// Whether it is only the others' requests that keep it from taking more.
    fn waits_its_turn(&self) -> bool {
        self.is_full()
            && self.requests.len() < MAX_PENDING_REQUESTS
            && self.pending_bytes < MAX_PENDING_BYTES
    }

    /// Takes a frame off the client's hands.
    fn take(&mut self, frame: Bytes) -> Result<(), End> {
        let bytes = frame.len();
        if !self.share.admit(bytes) {
            return Err(End::LargeRequests(bytes));
        }
        let (header, decoded) = Request::decode(frame)?;
        // As in ZooKeeper, which does not submit credentials: a client that only tries to log in
        // again and again is silent. (test: `credentials_keep_no_session_alive`)
        if !is_credentials(header.op) {
            self.is_heard();
        }
        let body = match decoded {
            Ok(Request::SetWatches(set) | Request::SetWatches2(set)) => {
                Body::Rewatch(Rewatch::new(set))
            }
            Ok(request) => Body::Plain(request),
            // ZooKeeper reads credentials where it reads the frame, and has no answer then.
            // (test: `a_body_that_cannot_be_read_is_answered_and_the_connection_stays`)
            Err(error) if is_credentials(header.op) => return Err(error.into()),
            Err(error) => {
                tracing::debug!(session = %self.id, "{error}");
                Body::Refused(error.error_code())
            }
        };
        self.tally.received(bytes);
        self.pending_bytes += bytes;
        self.requests.push_back(Pending {
            xid: header.xid,
            body,
            state: State::Waiting,
            identities: None,
            bytes,
            received: self.now,
        });
        Ok(())
    }

    /// The client has given a sign of life.
    fn is_heard(&mut self) {
        self.heartbeat.touch(self.service.expiry.now_tick());
        self.probed_tick = None;
    }

    /// Takes the front request out; its answer is in the output.
    fn pop_front(&mut self) {
        let Some(pending) = self.requests.pop_front() else {
            return;
        };
        self.examined = self.examined.saturating_sub(1);
        self.pending_bytes -= pending.bytes;
        self.share.release(pending.bytes);
        match pending.state {
            State::InFlight(_) => self.in_flight -= 1,
            _ if pending.body.needs_view() => self.reads_ahead -= 1,
            _ => {}
        }
        let (op, request) = match &pending.body {
            Body::Plain(request) => (request.op_code(), Some(request)),
            Body::Rewatch(_) => (OpCode::SetWatches, None),
            Body::Sasl(_) => (OpCode::Sasl, None),
            Body::Refused(_) => (OpCode::Notification, None),
        };
        let xid = pending.reply_xid();
        self.tally.answered(xid, op, request, pending.received);
    }
}

impl Body {
    /// Whether it is answered from a view, behind the session's own writes.
    fn needs_view(&self) -> bool {
        match self {
            Body::Rewatch(_) => true,
            Body::Sasl(_) | Body::Refused(_) => false,
            Body::Plain(request) => matches!(
                request,
                Request::Exists(_)
                    | Request::GetData(_)
                    | Request::GetAcl(_)
                    | Request::GetChildren(_)
                    | Request::GetChildren2(_)
                    | Request::GetAllChildrenNumber(_)
                    | Request::GetEphemerals(_)
                    | Request::MultiRead(_)
                    // What the client is called is what it was called when it asked.
                    | Request::WhoAmI
                    | Request::AddWatch(_)
                    | Request::CheckWatches(_)
                    | Request::RemoveWatches(_)
            ),
        }
    }
}

/// Whether an error is the last thing that a connection hears.
const fn ends_connection(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::AuthFailed | ErrorCode::SessionClosedRequireSaslAuth
    )
}

impl Pending {
    /// Whether its answer is the last one.
    fn ends_connection(&self) -> bool {
        match &self.body {
            Body::Refused(error) => *error == ErrorCode::Unimplemented,
            Body::Plain(Request::CloseSession) => true,
            Body::Sasl(SaslAnswer::Refused(_)) => true,
            _ => matches!(self.state, State::Failed(error, _) if ends_connection(error)),
        }
    }

    /// The xid of the reply. A ping's is always the same, as in ZooKeeper; auth, too, is
    /// answered by the xid that came, which is not the predefined one from every client.
    /// (test: `credentials_sent_with_the_connect_request_count`)
    fn reply_xid(&self) -> i32 {
        match &self.body {
            Body::Plain(Request::Ping) => xid::PING,
            _ => self.xid,
        }
    }
}
