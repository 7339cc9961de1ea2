//! The limits of a session that the whole service does not know, or not yet.
//!
//! 1. A local session's first write makes its record in the log ([`crate::local_sessions`]) and
//!    waits for it; then the write itself is proposed. Until then nothing of the session is in the
//!    log, and its end needs no command either.
//! 2. A local session has no ephemerals: a create of one is answered with EphemeralOnLocalSession,
//!    the whole request, as in ZooKeeper; unless local sessions may be upgraded, which the tree
//!    does.
//! 3. A read-only session is answered NotReadOnly where a quorum would be needed.
//! 4. Where a setting limits how long a request may wait, a request that waited longer is answered
//!    with ThrottledOp.

use std::time::Duration;

use innkeeper_proto::ErrorCode;
use innkeeper_proto::request::{Create, MultiOp, Request};
use innkeeper_runtime::Runtime;
use innkeeper_tree::Operation;
use innkeeper_tree::applied::TicketResult;

use super::Session;
use super::commands::is_write;
use super::pipeline::{Body, Pending, State};
use crate::delivery::outbox::Close;
use crate::local_sessions::LocalSession;
use crate::socket::End;

/// Where a session is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// In the whole service.
    Global,
    /// In the whole service, by a record that is marked as local.
    LocalRecorded,
    /// Only on this node.
    Local,
    /// Only on this node, which has no quorum.
    ReadOnly,
}

impl<R: Runtime> Session<R> {
    /// Whether this node may still serve the session. If the node has been cut off, or was stopped,
    /// the session may have expired elsewhere; a connection may wake up before the task that closes
    /// it. (test: `a_connection_that_wakes_up_first_in_a_node_that_was_stopped_answers_nothing`)
    pub(super) fn is_served(&self) -> Result<(), End> {
        let quorum = &self.service.quorum;
        let is_served = cfg!(innkeeper_break = "cut-off-closes")
            || self.scope == Scope::ReadOnly
            || quorum.is_in_contact(self.timeout, self.now);
        is_served.then_some(()).ok_or(End::Told(Close::Quorum))
    }

    /// The state of the next request, if the session's scope or too long a wait decides it; `None`
    /// if the request is examined like any other.
    pub(super) async fn set_aside(&mut self, request: &Pending) -> Result<Option<State>, End> {
        if self.scope != Scope::Global {
            // Demanded authentication is checked first, as in ZooKeeper.
            if !self.service.auth.admits(&self.identities) {
                return Ok(None);
            }
            if let Body::Plain(request) = &request.body
                && let Some(state) = self.by_scope(request).await?
            {
                return Ok(Some(state));
            }
        }
        self.by_patience(request)
    }

    async fn by_scope(&mut self, request: &Request) -> Result<Option<State>, End> {
        let recorded = self.scope == Scope::LocalRecorded;
        if let Request::CloseSession = request {
            // No other node knows the session, so it ends here.
            return Ok((!recorded).then_some(State::Waiting));
        }
        if self.scope == Scope::ReadOnly {
            let needs_quorum =
                is_write(request) || matches!(request, Request::Sync(_) | Request::Reconfig(_));
            let refused = State::Failed(ErrorCode::NotReadOnly, 0);
            return Ok(needs_quorum.then_some(refused));
        }
        if makes_ephemerals(request) && !self.service.settings.local_sessions_upgrading {
            let refused = State::Failed(ErrorCode::EphemeralOnLocalSession, 0);
            return Ok(Some(refused));
        }
        if !recorded && is_write(request) {
            self.record().await?;
        }
        Ok(None)
    }

    /// Makes a local session's record in the log, before its first write.
    /// (test: `a_local_session_is_recorded_by_its_first_write`)
    async fn record(&mut self) -> Result<(), End> {
        let session = self.id;
        let service = self.service.clone();
        let Some(local) = service.local_sessions.get(session) else {
            return Err(End::SessionOver);
        };
        let LocalSession {
            password,
            timeout_ms,
            recorded,
            ..
        } = local;
        let mut recorded = recorded.lock().await;
        // Another connection may have taken the session over meanwhile.
        self.outbox.is_open().map_err(End::Told)?;
        let create = |ticket| Operation::CreateSession {
            ticket,
            session,
            password,
            timeout_ms,
            local: true,
        };
        let settled = service.propose(create).await;
        let settled = settled.map_err(|error| End::Unavailable(error.to_string()))?;
        match settled.result {
            TicketResult::Attached { .. } => {
                *recorded = true;
                service.local_sessions.record(session);
                self.scope = Scope::LocalRecorded;
                // If the client has reattached on another connection, the write belongs to that
                // one, and this connection must not send it.
                self.outbox.is_open().map_err(End::Told)
            }
            _ => {
                service.local_sessions.end(session, &service.expiry);
                Err(End::SessionOver)
            }
        }
    }

    /// Ends a session that has no record, because its client closed it.
    pub(super) fn end_unrecorded(&mut self) {
        let service = &self.service;
        service.local_sessions.end(self.id, &service.expiry);
    }

    /// How long requests may wait, for the log or behind others of their session. (test:
    /// `requests_that_waited_too_long_are_throttled`)
    fn by_patience(&self, request: &Pending) -> Result<Option<State>, End> {
        let throttle = &self.service.settings.request_throttle;
        let (limit_ms, drops) = (throttle.throttled_op_wait_ms, throttle.drop_stale);
        if limit_ms == 0 && !drops {
            return Ok(None);
        }
        let spared = matches!(
            request.body,
            Body::Plain(
                Request::Ping | Request::CloseSession | Request::Auth(_) | Request::Sasl(_)
            ) | Body::Sasl(_)
        );
        if spared {
            return Ok(None);
        }
        let waited = self.now - request.received;
        if drops && throttle.max_requests != 0 && waited > self.timeout {
            return Err(End::Stale);
        }
        let throttled = limit_ms != 0 && waited > Duration::from_millis(limit_ms);
        if throttled {
            self.service.stats.throttled_ops.add(1);
        }
        Ok(throttled.then_some(State::Failed(ErrorCode::ThrottledOp, 0)))
    }
}

/// Whether an error answers a whole multi, not one of its operations.
pub(super) const fn fails_whole(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::NotReadOnly | ErrorCode::EphemeralOnLocalSession | ErrorCode::ThrottledOp
    )
}

fn makes_ephemerals(request: &Request) -> bool {
    let ephemeral = |create: &Create| create.mode().is_ok_and(|mode| mode.is_ephemeral());
    match request {
        Request::Create(create) | Request::Create2(create) => ephemeral(create),
        Request::Multi(multi) => multi.ops.iter().any(|op| match op {
            MultiOp::Create(create) | MultiOp::Create2(create) => ephemeral(create),
            _ => false,
        }),
        _ => false,
    }
}
