//! The read indexes of one connection's syncs: one call answers all that wait.
//!
//! 1. A sync that is examined gets a number ([`Syncs::ask`]).
//! 2. Unless a call is under way, one is made that covers all numbers so far ([`Syncs::begin`]).
//! 3. When it is answered ([`Syncs::poll`]) what was committed before it is applied here, and the
//!    syncs that it covers are confirmed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use innkeeper_raft::Unavailable;

/// A read index that is being asked for.
type Call = Pin<Box<dyn Future<Output = Result<(), Unavailable>> + Send>>;

/// The syncs of a connection.
#[derive(Default)]
pub(super) struct Syncs {
    /// Syncs that were examined.
    asked: u64,
    /// Syncs that the current call covers.
    called: u64,
    /// Syncs that are confirmed.
    confirmed: u64,
    call: Option<Call>,
}

impl Syncs {
    /// Numbers a new sync. It is answered once everything that was committed before now is applied
    /// here.
    pub(super) fn ask(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    /// How many are confirmed, from the first one on.
    pub(super) fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// Whether a call is to be made, for syncs that no call covers.
    pub(super) fn wants_call(&self) -> bool {
        self.call.is_none() && self.asked > self.confirmed
    }

    /// Makes the call that covers all syncs so far.
    pub(super) fn begin(&mut self, call: Call) {
        self.called = self.asked;
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
                self.confirmed = self.called;
                Ok(true)
            }
            Poll::Ready(Err(unavailable)) => Err(unavailable),
        }
    }
}
