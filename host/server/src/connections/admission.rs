//! Decides on a connect request: the client gets a session, or none.
//!
//! 1. The connection throttle lets the request pass, or the connection is closed without an answer.
//! 2. A client may have seen a newer state than this node has. The node waits until it has caught
//!    up; if it does not, the client is refused before any session is touched, so that the
//!    connection that serves the named session stays.
//! 3. Without a quorum, only a client that agreed to be read-only gets a session, and only this
//!    node knows that session ([`crate::quorum`]).
//! 4. A client that names no session gets a new one: a local session where they are enabled, else a
//!    session that a command creates. A client that names a session gets that one: from this node
//!    if it is local, else by a command.

use std::sync::Arc;

use innkeeper_proto::connect::{ConnectRequest, PASSWORD_LEN};
use innkeeper_runtime::Runtime;
use innkeeper_tree::applied::TicketResult;
use innkeeper_tree::owner::is_session;
use innkeeper_tree::{Operation, SessionId};

use crate::delivery::outbox::Close;
use crate::local_sessions::{self, Password};
use crate::service::Service;
use crate::socket::End;
use crate::throttle::connections::Wanted;

/// The session that a client gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admitted {
    pub(crate) session: SessionId,
    pub(crate) attachment: u32,
    pub(crate) password: Password,
    pub(crate) timeout_ms: u32,
    /// Only this node knows the session.
    pub(crate) local: bool,
    /// The client may not write.
    pub(crate) read_only: bool,
    /// How often the quorum had changed when the client was admitted.
    quorum_changes: u64,
}

/// Why a client gets no session.
#[derive(Debug)]
pub(crate) enum NotAdmitted {
    /// The client is told that its session has expired.
    Refused,
    /// The connection is closed without an answer.
    Closed(End),
}

impl From<End> for NotAdmitted {
    fn from(end: End) -> Self {
        Self::Closed(end)
    }
}

/// Decides on a connect request.
pub(crate) async fn admit<R: Runtime>(
    service: &Arc<Service<R>>,
    request: &ConnectRequest,
) -> Result<Admitted, NotAdmitted> {
    throttle(service, request)?;
    let quorum_changes = service.quorum.moment().1;
    let timeout_ms = service.settings.negotiate_timeout_ms(request.timeout_ms);
    let serves = service.quorum.serves(timeout_ms, service.runtime.now());
    let asks = Asks {
        timeout_ms,
        quorum_changes,
    };
    if is_ahead(service, request) && serves {
        let fresh = service.read_index().await;
        fresh.map_err(|error| End::Unavailable(error.to_string()))?;
    }
    // A client that has seen a newer state is refused before anything is proposed, so that the
    // other connection of its session stays. (tests:
    // `a_client_that_has_seen_the_future_is_sent_away`,
    // `a_client_from_the_future_takes_no_session_over`)
    if is_ahead(service, request) {
        let here = service.reader.last_zxid().0;
        let seen = request.last_zxid_seen;
        return Err(End::Ahead { seen, here }.into());
    }
    match (serves, request.session_id) {
        (false, _) => read_only(service, request, asks),
        (true, 0) => new_session(service, asks).await,
        (true, _) => old_session(service, request, asks).await,
    }
}

impl Admitted {
    /// Whether the client may still be served as it was admitted. The connection asks this after it
    /// has taken its seat: from then on a change of the quorum closes it.
    pub(crate) fn still_holds<R: Runtime>(&self, service: &Service<R>) -> Result<(), End> {
        let holds = match self.read_only {
            true => service.quorum.moment().1 == self.quorum_changes,
            false => service
                .quorum
                .serves(self.timeout_ms, service.runtime.now()),
        };
        if holds {
            Ok(())
        } else {
            Err(End::Told(Close::Quorum))
        }
    }
}

/// What every way of admission needs.
#[derive(Clone, Copy)]
struct Asks {
    timeout_ms: u32,
    quorum_changes: u64,
}

impl Asks {
    fn local(self, session: SessionId, password: Password, read_only: bool) -> Admitted {
        Admitted {
            session,
            attachment: local_sessions::ATTACHMENT,
            password,
            timeout_ms: self.timeout_ms,
            local: true,
            read_only,
            quorum_changes: self.quorum_changes,
        }
    }
}

fn throttle<R: Runtime>(service: &Service<R>, request: &ConnectRequest) -> Result<(), End> {
    let wanted = match (request.session_id, service.settings.local_sessions) {
        (0, false) => Wanted::Session,
        (0, true) => Wanted::LocalSession,
        _ => Wanted::OldSession,
    };
    let chance = || service.runtime.random_u64() as f64 / u64::MAX as f64;
    let now = service.runtime.now();
    if service.connection_throttle.admits(wanted, now, chance) {
        return Ok(());
    }
    service.stats.connections_rejected.add(1);
    Err(End::Throttled)
}

fn is_ahead<R: Runtime>(service: &Service<R>, request: &ConnectRequest) -> bool {
    request.last_zxid_seen > service.reader.last_zxid().0 as i64
}

/// Without a quorum, admits only a client that agreed to be read-only, to a session that only this
/// node knows. While the node has its quorum and is not ready yet, it admits nobody: a read-only
/// session would stay one until the quorum is lost. (test: `a_node_without_its_quorum_serves_reads_to_those_who_agreed`)
fn read_only<R: Runtime>(
    service: &Service<R>,
    request: &ConnectRequest,
    asks: Asks,
) -> Result<Admitted, NotAdmitted> {
    if !service.is_read_only() || request.read_only != Some(true) {
        return Err(End::NoQuorum.into());
    }
    if request.session_id == 0 {
        return begin_local(service, asks, true).ok_or(NotAdmitted::Closed(End::NoQuorum));
    }
    let session = SessionId(request.session_id as u64);
    // A session that the whole service knows goes on where there is a quorum.
    if service.reader.view().session(session).is_some() {
        return Err(End::NoQuorum.into());
    }
    let password = password_of(request)?;
    match service.local_sessions.get(session) {
        Some(known) if known.read_only && known.has_password(&password) => {
            if !service
                .local_sessions
                .renew(session, asks.timeout_ms, &service.expiry)
            {
                return Err(NotAdmitted::Refused);
            }
            Ok(asks.local(session, password, true))
        }
        // A local session has no ephemerals, and ZooKeeper's read-only server does not know it either:
        // its client begins another one, which is served. One whose record is being made may be of
        // the whole service.
        // (test: `a_local_session_ends_where_its_client_asks_to_read_without_a_quorum`)
        Some(known) if known.has_password(&password) => match known.recorded.try_lock() {
            Ok(recorded) if !*recorded => {
                service.local_sessions.end(session, &service.expiry);
                Err(NotAdmitted::Refused)
            }
            _ => Err(End::NoQuorum.into()),
        },
        _ => Err(NotAdmitted::Refused),
    }
}

fn begin_local<R: Runtime>(service: &Service<R>, asks: Asks, read_only: bool) -> Option<Admitted> {
    let (session, password) = (draw_id(service), draw_password(service));
    let local_sessions = &service.local_sessions;
    local_sessions
        .begin(
            session,
            password,
            asks.timeout_ms,
            read_only,
            &service.expiry,
        )
        .then(|| asks.local(session, password, read_only))
}

async fn new_session<R: Runtime>(
    service: &Service<R>,
    asks: Asks,
) -> Result<Admitted, NotAdmitted> {
    let local = service.settings.local_sessions;
    if local && let Some(admitted) = begin_local(service, asks, false) {
        return Ok(admitted);
    }
    let (session, password) = (draw_id(service), draw_password(service));
    let timeout_ms = asks.timeout_ms;
    let create = |ticket| Operation::CreateSession {
        ticket,
        session,
        password,
        timeout_ms,
        local,
    };
    by_command(service, password, asks, create).await
}

async fn old_session<R: Runtime>(
    service: &Service<R>,
    request: &ConnectRequest,
    asks: Asks,
) -> Result<Admitted, NotAdmitted> {
    let session = SessionId(request.session_id as u64);
    let password = password_of(request)?;
    let timeout_ms = asks.timeout_ms;
    if let Some(known) = service.local_sessions.get(session) {
        if !known.has_password(&password) || known.read_only {
            return Err(NotAdmitted::Refused);
        }
        // If another connection is writing the session's record, it has finished when this lock is
        // taken.
        let recorded = known.recorded.lock().await;
        if !*recorded
            && service
                .local_sessions
                .renew(session, timeout_ms, &service.expiry)
        {
            return Ok(asks.local(session, password, false));
        }
    }
    let reattach = |ticket| Operation::Reattach {
        ticket,
        session,
        password,
        timeout_ms,
    };
    by_command(service, password, asks, reattach).await
}

async fn by_command<R: Runtime>(
    service: &Service<R>,
    password: Password,
    asks: Asks,
    operation: impl FnOnce(innkeeper_tree::Ticket) -> Operation,
) -> Result<Admitted, NotAdmitted> {
    let settled = service.propose(operation).await;
    let settled = settled.map_err(|error| End::Unavailable(error.to_string()))?;
    match settled.result {
        TicketResult::Attached {
            session,
            attachment,
            timeout_ms,
        } => Ok(Admitted {
            session,
            attachment,
            password,
            timeout_ms,
            local: false,
            read_only: false,
            quorum_changes: asks.quorum_changes,
        }),
        _ => Err(NotAdmitted::Refused),
    }
}

fn password_of(request: &ConnectRequest) -> Result<Password, NotAdmitted> {
    let password = request.password.as_ref().try_into();
    password.map_err(|_| NotAdmitted::Refused)
}

fn draw_id<R: Runtime>(service: &Service<R>) -> SessionId {
    id_of(service.settings.session_prefix(), || {
        service.runtime.random_u64()
    })
}

/// Makes an id from the low byte of the node's number, which becomes the top byte, and random bits
/// below it. Some prefixes with a small number below them mark containers or times to live; those
/// are no ids. (test: `an_id_is_never_one_that_stands_for_something_else`)
fn id_of(prefix: u8, mut random: impl FnMut() -> u64) -> SessionId {
    loop {
        let session = SessionId(u64::from(prefix) << 56 | random() >> 8);
        if is_session(session) {
            return session;
        }
    }
}

fn draw_password<R: Runtime>(service: &Service<R>) -> Password {
    let mut password = [0; PASSWORD_LEN];
    service.runtime.fill_random(&mut password);
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_never_one_that_stands_for_something_else() {
        // Server numbers 0, 128 and 255 give ids that begin like the owner of a znode that is no
        // ephemeral, like a container or like a time to live.
        for (prefix, taken) in [(0x00, 0), (0x80, 0), (0xff, 0), (0xff, 0xff_ffff_ffff)] {
            let mut drawn = [taken << 8, 5 << 56].into_iter();
            let id = id_of(prefix, || drawn.next().unwrap_or_default());
            assert_eq!(id.0, u64::from(prefix) << 56 | 5 << 48, "{prefix}");
            assert!(drawn.next().is_none());
        }
        assert_eq!(id_of(1, || 0), SessionId(1 << 56));
    }
}
