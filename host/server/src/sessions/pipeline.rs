//! The requests of one session between their arrival and their answers: pure bookkeeping, without
//! a socket, a clock or a task.
//!
//! 1. A request that came stands at the end ([`Pipeline::push`]).
//! 2. Requests are examined in order ([`Pipeline::next`]): each is put into its [`State`]
//!    ([`Next::decided`]), or it is a write that goes to the log with the next number
//!    ([`Next::sent`]).
//! 3. The request at the front, once examined, is answered ([`Pipeline::front`]) and leaves
//!    ([`Pipeline::answered`]).
//! 4. Each write that was sent gets one result, in order ([`Pipeline::result`]). It is the answer
//!    when its request is at the front, and waits until then.
//! 5. A write that bounced was not run ([`Pipeline::bounced`]): it and all requests behind it are
//!    examined again, and the writes among them are sent again with the same numbers. The results
//!    of what was sent behind it the first time are stale, and are forgotten as they come.

use std::collections::VecDeque;

use innkeeper_auth::SaslAnswer;
use innkeeper_proto::request::Request;
use innkeeper_proto::{ErrorCode, OpCode, xid};
use innkeeper_runtime::Instant;

use super::commands::is_write;
use super::former_watches::FormerWatches;
use crate::settings::{MAX_PENDING_BYTES, MAX_PENDING_REQUESTS};

/// A request that is not answered.
pub(super) struct Pending {
    /// The number that the client gave it.
    pub(super) xid: i32,
    /// What is asked.
    pub(super) body: Body,
    /// How many of the client's identities it had when the request was first examined. Identities
    /// are only added, and a write that bounced must not be allowed by those that came behind it.
    /// (test: `a_bounced_write_is_judged_by_the_credentials_before_it`)
    pub(super) identities: Option<usize>,
    /// When its frame was taken.
    pub(super) received: Instant,
    /// The number of the first read index that begins after that.
    pub(super) read_index: u64,
    /// Of its frame.
    pub(super) bytes: usize,
    state: State,
}

/// What is asked.
pub(super) enum Body {
    /// A request as it was decoded.
    Plain(Request),
    /// setWatches, with how far it has come.
    Rewatch(FormerWatches),
    /// A SASL token that was taken; this is the answer.
    Sasl(SaslAnswer),
    /// What cannot be read, or is not served: the answer.
    Refused(ErrorCode),
}

/// How far a request has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Not examined; or examined, and to be answered when its turn comes.
    Waiting,
    /// A write with that number is on its way to the log.
    InFlight(u64),
    /// The answer is this error; nothing is sent to the log. Of a multi, the operation at that
    /// index is at fault.
    Failed(ErrorCode, usize),
    /// It was denied, but by a view that may be too old. It is not examined yet: that is done again
    /// when its read index was answered and nothing of the session is in flight.
    Denied,
    /// A sync that is answered when its read index was.
    Syncing,
}

/// The requests of a session that are not answered, in the order in which they came.
///
/// Invariants, each a property of the pipeline alone, without the rest of a session:
/// - Requests leave in the order in which they came, and none before it was examined.
///   (test: `any_run_of_requests_and_results_keeps_the_order`)
/// - `examined`, `in_flight`, `reads_ahead` and `bytes` are what counting would find.
/// - A write is sent with the number behind the last one's. Each is run once, in order, whatever
///   bounces; of the sends of this round, the unanswered ones are the requests in flight.
///   (tests: `any_run_of_requests_and_results_keeps_the_order`,
///   `what_was_sent_behind_a_bounce_is_sent_again_with_its_number`)
/// - Behind an examined request that needs a view no write is sent, and no credentials are
///   examined; so where such a request is at the front nothing of the session is in flight, and a
///   view shows all of the session's earlier writes and none of its later ones.
///   (test: `any_run_of_requests_and_results_keeps_the_order`)
/// - Behind a request whose answer ends the connection nothing is examined.
///
/// The session takes no further request while [`Pipeline::is_full`], so the queue is bounded by
/// [`MAX_PENDING_REQUESTS`] and [`MAX_PENDING_BYTES`].
/// (test: `the_bounds_of_a_connection_and_its_share_of_the_nodes`)
#[derive(Default)]
pub(super) struct Pipeline {
    requests: VecDeque<Pending>,
    /// Of all their frames.
    bytes: usize,
    progress: Progress,
    sends: Sends,
}

/// How far the requests were examined, and what was found.
#[derive(Default)]
struct Progress {
    /// How many requests, from the front, were examined.
    examined: usize,
    /// How many of those are writes in flight.
    in_flight: usize,
    /// How many of those need a view.
    reads_ahead: usize,
    /// What was examined last ends the connection.
    closing: bool,
}

/// The numbers of the session's writes, and which results are to come.
pub(super) struct Sends {
    next_seq: u64,
    /// One entry per write that was sent and has no result, bounced ones included.
    unanswered: VecDeque<Sent>,
    /// Raised when a bounce makes the results of what was sent behind it meaningless.
    round: u32,
}

/// A write that was sent.
#[derive(Clone, Copy)]
struct Sent {
    seq: u64,
    round: u32,
}

/// A result that does not belong where it came: the session and the log are not of one mind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum OutOfOrder {
    /// No write was sent that has no result.
    #[error("a result came that nobody asked for")]
    NotSent,
    /// Another write's result comes first.
    #[error("the result of write {seq} came where that of {due} was due")]
    NotDue {
        /// The number of the write whose result came.
        seq: u64,
        /// The number of the write whose result comes next.
        due: u64,
    },
    /// A read is being answered that must not see the write.
    #[error("the result of write {0} came before a read ahead of it was answered")]
    TooEarly(u64),
}

/// Whose turn it is when a result comes.
pub(super) enum Due<'a> {
    /// Nobody's: its write was sent before an earlier one bounced, and is sent again.
    Stale,
    /// The request at the front, which it answers.
    Front(&'a Pending),
    /// Of requests ahead of its own.
    Later,
}

/// The request at the front, which nothing holds up but what its answer is made of.
pub(super) struct Front<'a> {
    /// The request.
    pub(super) request: &'a mut Pending,
    /// It failed with this error; of a multi, the operation at that index did.
    pub(super) failed: Option<(ErrorCode, usize)>,
    /// For the stale results that come before its answer.
    pub(super) sends: &'a mut Sends,
}

/// The first request that was not examined.
pub(super) struct Next<'a> {
    /// The request.
    pub(super) request: &'a mut Pending,
    progress: &'a mut Progress,
    sends: &'a mut Sends,
}

impl Pipeline {
    /// Takes a request on.
    pub(super) fn push(
        &mut self,
        xid: i32,
        body: Body,
        bytes: usize,
        received: Instant,
        read_index: u64,
    ) {
        self.bytes += bytes;
        self.requests.push_back(Pending {
            xid,
            body,
            identities: None,
            received,
            read_index,
            bytes,
            state: State::Waiting,
        });
    }

    /// How many requests are not answered.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether no further request is to be taken for now, by the connection's own bounds or
    /// because it has `budget` requests, its share of what the node takes on.
    pub(super) fn is_full(&self, budget: usize) -> bool {
        self.is_at_its_bounds() || self.requests.len() >= budget
    }

    /// Whether it is only the others' requests that keep it from taking more.
    pub(super) fn waits_for_others(&self, budget: usize) -> bool {
        self.is_full(budget) && !self.is_at_its_bounds()
    }

    fn is_at_its_bounds(&self) -> bool {
        self.requests.len() >= MAX_PENDING_REQUESTS || self.bytes >= MAX_PENDING_BYTES
    }

    /// The next request to be examined, unless something ahead of it must be answered first: what
    /// ends the connection, or, of a write or of credentials, a read that must not see them.
    /// (test: `a_read_is_judged_by_the_credentials_before_it`)
    pub(super) fn next(&mut self) -> Option<Next<'_>> {
        let request = self.requests.get_mut(self.progress.examined)?;
        if self.progress.closing
            || (self.progress.reads_ahead > 0 && request.changes_what_is_read())
        {
            return None;
        }
        Some(Next {
            request,
            progress: &mut self.progress,
            sends: &mut self.sends,
        })
    }

    /// How many requests, from the front, were examined.
    pub(super) fn examined(&self) -> usize {
        self.progress.examined
    }

    /// The request at the front, once nothing but a view is needed for its answer; so many read
    /// indexes were `answered`.
    pub(super) fn front(&mut self, answered: u64) -> Option<Front<'_>> {
        let examined = self.progress.examined > 0;
        let request = self.requests.front_mut().filter(|_| examined)?;
        let failed = match request.state {
            State::InFlight(_) => return None,
            State::Syncing if request.read_index > answered => return None,
            // It is not examined.
            State::Denied => return None,
            State::Failed(error, index) => Some((error, index)),
            State::Syncing | State::Waiting => None,
        };
        Some(Front {
            request,
            failed,
            sends: &mut self.sends,
        })
    }

    /// Whether the request at the front is answered without a view and without an apply.
    pub(super) fn front_waits_for_nothing(&self, answered: u64) -> bool {
        let examined = self.progress.examined > 0;
        let front = self.requests.front().filter(|_| examined);
        front.is_some_and(|front| match front.state {
            State::InFlight(_) | State::Denied => false,
            State::Failed(..) => true,
            State::Syncing => front.read_index <= answered,
            State::Waiting => !front.body.needs_view(),
        })
    }

    /// The request at the front was answered, and leaves. `None` if nothing was examined.
    pub(super) fn answered(&mut self) -> Option<Pending> {
        self.progress.examined = self.progress.examined.checked_sub(1)?;
        let request = self.requests.pop_front()?;
        self.bytes -= request.bytes;
        if let State::InFlight(_) = request.state {
            self.progress.in_flight -= 1;
            self.sends.unanswered.pop_front();
        }
        if request.body.needs_view() {
            self.progress.reads_ahead -= 1;
        }
        Some(request)
    }

    /// The result of a write has come. It is to be dealt with before the next one: a stale one is,
    /// and forgotten; any other by [`Pipeline::answered`] or [`Pipeline::bounced`].
    pub(super) fn result(&mut self, seq: u64) -> Result<Due<'_>, OutOfOrder> {
        if self.sends.takes_stale(seq)? {
            return Ok(Due::Stale);
        }
        let front = self.requests.front();
        let front = front.filter(|front| front.state == State::InFlight(seq));
        Ok(front.map_or(Due::Later, Due::Front))
    }

    /// The write `seq`, whose result has come, was not run: it and all behind it are to be examined
    /// again.
    pub(super) fn bounced(&mut self, seq: u64) {
        self.sends.unanswered.pop_front();
        self.sends.round += 1;
        self.sends.next_seq = seq;
        // All sent before it have their results, so the first one in flight is the one that bounced.
        let in_flight = |request: &Pending| matches!(request.state, State::InFlight(_));
        let examined = self.progress.examined;
        let from = self.requests.iter().position(in_flight).unwrap_or(examined);
        for request in self.requests.range_mut(from..examined) {
            request.state = State::Waiting;
        }
        // And no read is ahead of it, or it would not have been sent.
        self.progress = Progress {
            examined: from,
            ..Progress::default()
        };
    }
}

impl Default for Sends {
    fn default() -> Self {
        Self {
            next_seq: 1,
            unanswered: VecDeque::new(),
            round: 0,
        }
    }
}

impl Sends {
    /// Forgets a result that is stale; false if it is not.
    fn takes_stale(&mut self, seq: u64) -> Result<bool, OutOfOrder> {
        let sent = *self.unanswered.front().ok_or(OutOfOrder::NotSent)?;
        if sent.seq != seq {
            return Err(OutOfOrder::NotDue { seq, due: sent.seq });
        }
        let stale = sent.round != self.round;
        if stale {
            self.unanswered.pop_front();
        }
        Ok(stale)
    }

    /// Forgets a result that comes while a request at the front is answered from a view: it can
    /// only be stale.
    pub(super) fn forget_stale(&mut self, seq: u64) -> Result<(), OutOfOrder> {
        match self.takes_stale(seq)? {
            true => Ok(()),
            false => Err(OutOfOrder::TooEarly(seq)),
        }
    }
}

impl Next<'_> {
    /// Whether a denial of it counts that a view gives which was taken after so many read indexes were
    /// `answered`. Such a view may lack what earlier writes of the session do, which are on their
    /// way, and what other clients had been told when the request came.
    pub(super) fn denial_counts(&self, answered: u64) -> bool {
        // By an older view a node denies what another client was told to be allowed.
        let is_current =
            cfg!(innkeeper_break = "fresh-denial") || self.request.read_index <= answered;
        self.progress.in_flight == 0 && is_current
    }

    /// Whether it was denied and still has no view by which that counts.
    pub(super) fn is_held_up(&self, answered: u64) -> bool {
        self.request.state == State::Denied && !self.denial_counts(answered)
    }

    /// It was denied, and that does not count.
    pub(super) fn denied(self) {
        self.request.state = State::Denied;
    }

    /// The number that it gets if it is sent.
    pub(super) fn seq(&self) -> u64 {
        self.sends.next_seq
    }

    /// It is a write, and goes to the log with the number that [`Next::seq`] says.
    pub(super) fn sent(self) {
        let (seq, round) = (self.sends.next_seq, self.sends.round);
        self.sends.next_seq += 1;
        self.sends.unanswered.push_back(Sent { seq, round });
        self.progress.in_flight += 1;
        self.decided(State::InFlight(seq));
    }

    /// It was examined.
    pub(super) fn decided(self, state: State) {
        self.request.state = state;
        if self.request.body.needs_view() {
            self.progress.reads_ahead += 1;
        }
        self.progress.closing = self.request.ends_connection();
        self.progress.examined += 1;
    }
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

    /// Whether a read ahead of it must be answered first: it would see the write, or be judged by
    /// the credentials.
    fn changes_what_is_read(&self) -> bool {
        match &self.body {
            Body::Plain(Request::Auth(_) | Request::Sasl(_)) => true,
            Body::Plain(request) => is_write(request),
            Body::Rewatch(_) | Body::Sasl(_) | Body::Refused(_) => false,
        }
    }

    /// The xid of the reply. For a ping it is always the same, as in ZooKeeper; for auth it is the
    /// one in the request, which is not the predefined one with every client.
    /// (test: `credentials_sent_with_the_connect_request_count`)
    pub(super) fn reply_xid(&self) -> i32 {
        match &self.body {
            Body::Plain(Request::Ping) => xid::PING,
            _ => self.xid,
        }
    }
}

impl Body {
    /// Whether it is answered from a view, behind the session's own writes.
    pub(super) fn needs_view(&self) -> bool {
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

    /// The operation, for statistics, and the request if there is one.
    pub(super) fn operation(&self) -> (OpCode, Option<&Request>) {
        match self {
            Body::Plain(request) => (request.op_code(), Some(request)),
            Body::Rewatch(_) => (OpCode::SetWatches, None),
            Body::Sasl(_) => (OpCode::Sasl, None),
            Body::Refused(_) => (OpCode::Notification, None),
        }
    }
}

/// Whether an error is the last thing that a connection hears.
pub(super) const fn ends_connection(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::AuthFailed | ErrorCode::SessionClosedRequireSaslAuth
    )
}

#[cfg(test)]
mod tests;
