//! How far the silence of a session was looked into on this node.
//!
//! 1. A session that is due, or that the leader asks about, is suspected: its connection is asked to
//!    read its socket ([`Probe::asks`]).
//! 2. The connection answers that nothing is there ([`Probe::is_answered`]), or takes a request.
//! 3. The answer is told to the leader, or the leader decides by it ([`Probe::tells`]). What the
//!    client says from then on comes [`TooLate`].
//! 4. This ends when the client reattaches, and when this node begins to lead: it has applied
//!    everything that earlier leaders had proposed, and gives each session its full timeout
//!    ([`Probe::ends`]). A report of another node does not end it: it may be from before.

use std::sync::atomic::{AtomicU8, Ordering};

/// The session is not suspected.
const NONE: u8 = 0;
/// Its connection was asked to read its socket.
const ASKED: u8 = 1;
/// Its connection found nothing to read, or it has no connection.
const ANSWERED: u8 = 2;
/// The leader knows that, or has decided by it.
const TOLD: u8 = 3;

/// The client has spoken after its silence was told to the leader: its connection must close, and
/// must not answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the client spoke after its session was found silent for its whole timeout: it must take the session up again"
)]
pub(crate) struct TooLate;

/// The state of the look into a session's silence.
///
/// Invariant: an answer is either taken back by what the connection hears, or told, never both.
/// The task that serves the connection gives the answer. What this task hears later finds the
/// answer there, and takes it back or comes too late.
#[derive(Debug, Default)]
pub(super) struct Probe(AtomicU8);

impl Probe {
    /// The session is suspected. Returns false if it was already.
    pub(super) fn asks(&self) -> bool {
        self.moves(NONE, ASKED)
    }

    /// The question has no answer: it is to be asked again.
    pub(super) fn asks_again(&self) {
        self.moves(ASKED, NONE);
    }

    /// Nothing was there to read.
    pub(super) fn answers(&self) {
        // The answer counts only while the question is open: a request in between has closed it.
        self.moves(ASKED, ANSWERED);
    }

    /// Whether there is an answer. What the connection had done before it gave the answer is seen
    /// by the caller.
    pub(super) fn is_answered(&self) -> bool {
        self.0.load(Ordering::Acquire) >= ANSWERED
    }

    /// An answer that was not told is too old.
    pub(super) fn forgets(&self) {
        self.moves(ANSWERED, NONE);
    }

    /// The answer is told, or was before. Returns false if there is none.
    pub(super) fn tells(&self) -> bool {
        self.moves(ANSWERED, TOLD) || self.is_told()
    }

    /// Whether the silence was told, and nothing has ended that.
    pub(super) fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed) == TOLD
    }

    /// An error if the silence was told.
    pub(super) fn is_in_time(&self) -> Result<(), TooLate> {
        in_time(self.0.load(Ordering::Relaxed))
    }

    /// The client speaks: it is not suspected any more, or it comes too late.
    pub(super) fn speaks(&self) -> Result<(), TooLate> {
        loop {
            // The common case is a load: storing each time would take the cache line from other
            // cores. It does not miss that the silence was told, since the connection had to give
            // its answer first.
            let state = self.0.load(Ordering::Relaxed);
            in_time(state)?;
            if state == NONE || self.moves(state, NONE) {
                return Ok(());
            }
        }
    }

    /// Whatever was found counts no more.
    pub(super) fn ends(&self) {
        self.0.store(NONE, Ordering::Relaxed);
    }

    fn moves(&self, from: u8, to: u8) -> bool {
        let moved = self
            .0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed);
        moved.is_ok()
    }
}

fn in_time(state: u8) -> Result<(), TooLate> {
    // Without this a client is answered whose session has ended on other nodes, and a test must fail.
    let is_told = cfg!(not(innkeeper_break = "told-silence")) && state == TOLD;
    if is_told { Err(TooLate) } else { Ok(()) }
}
