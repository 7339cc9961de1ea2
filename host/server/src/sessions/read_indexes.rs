//! The read indexes of one connection: for its syncs, and for requests that were denied by a view
//! that may be old.
//!
//! 1. A request that comes remembers the number of the first read index that begins after it
//!    ([`ReadIndexes::next`]).
//! 2. If it needs one, that number is wanted ([`ReadIndexes::want`]).
//! 3. Unless a call is under way, one is made ([`ReadIndexes::begin`]). It serves all requests that
//!    came before it, whether they are known to need it or not.
//! 4. When it is answered ([`ReadIndexes::poll`]), what was committed before it is applied here, and
//!    every view that is taken from then on shows it.
//!
//! So a connection has one call under way, whatever its client sends, and the calls of all
//! connections of a node share the node's confirmations ([`Replica::read_index`]).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use innkeeper_raft::Unavailable;

#[cfg(doc)]
use innkeeper_raft::Replica;

/// A read index that is being asked for.
type Call = Pin<Box<dyn Future<Output = Result<(), Unavailable>> + Send>>;

/// The read indexes of a connection, numbered from 1 on in the order in which they begin.
///
/// Invariant: `answered <= begun <= answered + 1`, and `wanted <= begun + 1`.
#[derive(Default)]
pub(super) struct ReadIndexes {
    /// The newest that a request needs.
    wanted: u64,
    /// How many were begun.
    begun: u64,
    /// How many were answered.
    answered: u64,
    call: Option<Call>,
}

impl ReadIndexes {
    /// The number of the first one that begins from now on.
    pub(super) fn next(&self) -> u64 {
        self.begun + 1
    }

    /// The one with that number is needed.
    pub(super) fn want(&mut self, number: u64) {
        self.wanted = self.wanted.max(number);
    }

    /// How many were answered, from the first one on.
    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    /// Whether a call is to be made.
    pub(super) fn wants_call(&self) -> bool {
        self.call.is_none() && self.wanted > self.answered
    }

    /// Makes the call of the next one.
    pub(super) fn begin(&mut self, call: Call) {
        self.begun += 1;
        self.call = Some(call);
    }

    /// Polls the call. Returns true if it was answered.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Result<bool, Unavailable> {
        let Some(call) = &mut self.call else {
            return Ok(false);
        };
        match call.as_mut().poll(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) => {
                self.call = None;
                self.answered = self.begun;
                Ok(true)
            }
            Poll::Ready(Err(unavailable)) => Err(unavailable),
        }
    }
}
