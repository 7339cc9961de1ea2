//! Tells the expiry that a connection's client gave a sign of life, or that nothing of it is
//! buffered.
//!
//! 1. A request without credentials is a sign of life when its frame is taken; a part of such a
//!    request is one when it is read.
//! 2. A session that is due is suspected first: the expiry asks its connection, through the outbox,
//!    to read what its socket has ([`Liveness::asked`]).
//! 3. The connection reads even while it takes no further requests. If nothing was there, or only
//!    credentials for a whole tick, it answers so, and the session expires. Anything else keeps the
//!    session.
//! 4. Once the leader has been told of the silence, whatever the client sends ends the connection,
//!    credentials included, and is not answered. Until then requests that were taken before are.

use std::sync::Arc;

use innkeeper_runtime::Stream;

use crate::expiry::{Expiry, Heartbeat, TooLate};
use crate::socket::{Socket, Turn};

/// A session's signs of life on its connection.
pub(super) struct Liveness {
    heartbeat: Arc<Heartbeat>,
    expiry: Arc<Expiry>,
    /// Input came with the last turn.
    has_input: bool,
    /// The tick at which the expiry asked, until the question is answered.
    asked_tick: Option<u64>,
}

impl Liveness {
    /// Nothing has come yet.
    pub(super) fn new(heartbeat: Arc<Heartbeat>, expiry: Arc<Expiry>) -> Self {
        Self {
            heartbeat,
            expiry,
            has_input: false,
            asked_tick: None,
        }
    }

    /// The client gave a sign of life.
    pub(super) fn heard(&mut self) -> Result<(), TooLate> {
        self.expiry.heard(&self.heartbeat)?;
        self.asked_tick = None;
        Ok(())
    }

    /// The client sent credentials, which are no sign of life.
    pub(super) fn sent_credentials(&self) -> Result<(), TooLate> {
        self.heartbeat.is_in_time()
    }

    /// Looks at input that is not a whole request yet: a request that arrives slowly keeps its
    /// session alive, too. (test: `a_request_that_arrives_slowly_keeps_its_session_alive`)
    pub(super) fn look_at_the_rest<S: Stream>(
        &mut self,
        socket: &Socket<S>,
    ) -> Result<(), TooLate> {
        if std::mem::take(&mut self.has_input) && socket.holds_a_request() {
            self.heard()?;
        }
        // A client that sends nothing but credentials for a whole tick counts as silent, even if
        // other requests follow.
        let now_tick = self.expiry.now_tick();
        if self.asked_tick.is_some_and(|tick| tick < now_tick) {
            self.nothing_buffered();
        }
        Ok(())
    }

    /// The expiry asks whether anything is buffered.
    pub(super) fn asked(&mut self) {
        self.asked_tick = Some(self.expiry.now_tick());
    }

    /// Whether the expiry waits for the answer.
    pub(super) fn is_asked(&self) -> bool {
        self.asked_tick.is_some()
    }

    /// The socket had its turn; it was read if `asked` says so.
    pub(super) fn turned(&mut self, turn: Turn, asked: bool) {
        self.has_input |= turn.input;
        if asked && turn.nothing_buffered && !turn.input {
            self.nothing_buffered();
        }
    }

    fn nothing_buffered(&mut self) {
        self.heartbeat.nothing_buffered();
        self.asked_tick = None;
    }
}

impl Drop for Liveness {
    /// A connection that ends while it is asked gives no answer; nobody else would, and its session
    /// would never expire. (test: `a_session_expires_whose_connection_ends_while_it_is_asked`)
    fn drop(&mut self) {
        self.heartbeat.ask_again();
    }
}
