//! A session on its connection: the order of its requests, and of their answers.
//!
//! Two structs share the work. [`SessionLoop`] runs: it owns the [`Pipeline`] of unanswered
//! requests, which is pure bookkeeping, and decides what comes next. [`Session`] holds the client's
//! identities and what has arrived from apply; it makes one answer, or one decision, at a time.
//!
//! One wake-up of the connection's task ([`run`]):
//! 1. A view is taken, then the outbox is drained: what the view contains has arrived.
//! 2. What arrived up to the view is sent in zxid order: events as they are, a write's result when
//!    its request is the next to be answered ([`results`]).
//! 3. Requests at the front that need no result are answered ([`answers`]): reads from the view
//!    ([`reads`]), setWatches ([`rewatch`]), addWatch, checkWatches and removeWatches
//!    ([`watching`]), ping, auth, and a sync whose read index has come
//!    ([`read_indexes`]).
//! 4. Requests behind them are examined in order: credentials are checked, read indexes begun, and
//!    writes authorized, numbered and proposed in one batch ([`writes`]).
//! 5. This repeats until nothing moves; then the connection writes its output and sleeps.
//!
//! **Invariant:** replies come only from apply, or from a view. A session's requests are answered
//! in order, and a read sees all of its session's earlier writes and none of its later ones.
//! (tests: `pipelined_reads_see_what_was_written_before_them_and_nothing_later`,
//! `failed_writes_answer_in_their_place`)

mod answers;
mod commands;
mod former_watches;
mod liveness;
mod lookup;
mod outcome;
mod pipeline;
mod read_indexes;
mod reads;
mod results;
mod rewatch;
mod run;
mod scope;
mod watching;
mod writes;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_auth::Negotiation;
use innkeeper_runtime::{Instant, Runtime};
use innkeeper_tree::{Identity, SessionId, Zxid};

use crate::clients::TurnStats;
use crate::delivery::fanout::SeatGuard;
use crate::delivery::outbox::{Item, Outbox};
use crate::expiry::Heartbeat;
use crate::service::Service;
use crate::throttle::answers::AnswerRoom;

#[cfg(doc)]
use pipeline::Pipeline;
pub(crate) use run::SessionLoop;
pub(crate) use scope::Scope;

/// A session as its connection serves it: the client's identities, and what has arrived from apply.
///
/// Invariants:
/// - Nothing is sent from a zxid above the published one; a reply as of zxid Z follows every
///   event up to Z and precedes every later one.
/// - Identities are only ever added.
pub(crate) struct Session<R: Runtime> {
    service: Arc<Service<R>>,
    id: SessionId,
    attachment: u32,
    seat: SeatGuard,
    outbox: Arc<Outbox>,
    /// The client's identities: its address, then each that it authenticated as.
    identities: Vec<Identity>,
    /// The state of its SASL exchange.
    negotiation: Negotiation,
    scope: Scope,
    /// The session's timeout, as it was negotiated.
    timeout: Duration,
    arrived: VecDeque<Item>,
    /// Authorizers were asked about the items that arrived up to this zxid.
    filtered: Zxid,
    /// The zxid of the last reply or event sent.
    last_zxid: i64,
    /// Room for the answer to the front request, if that is a large one; the session may have to
    /// wait for it.
    room: Option<AnswerRoom>,
    /// Whether the log already tells of a write that was too long.
    told_too_long: bool,
    /// The moment of this wake-up, for latencies.
    now: Instant,
    /// The counters of this wake-up.
    turn_stats: TurnStats,
}

/// A session as it is handed to the loop that serves it.
pub(crate) struct Attached {
    pub(crate) id: SessionId,
    /// How often clients have attached to the session: apply takes only writes of the last
    /// attachment.
    pub(crate) attachment: u32,
    pub(crate) seat: SeatGuard,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) heartbeat: Arc<Heartbeat>,
    /// The identities that the client has before it authenticates.
    pub(crate) identities: Vec<Identity>,
    /// The zxid that was applied here when the client was admitted: at least the last one that it
    /// has seen.
    pub(crate) zxid: Zxid,
    /// The scope in which the session is known.
    pub(crate) scope: Scope,
    pub(crate) timeout_ms: u32,
}
