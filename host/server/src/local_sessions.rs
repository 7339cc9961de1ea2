//! Sessions that only this node knows: local sessions (`localSessionsEnabled`), and sessions of
//! clients that are served without a quorum ([`crate::quorum`]).
//!
//! 1. A connect request makes one here, without a command: its id and password are as random as any
//!    other's. Reads, watches and pings need no command, and neither does its end, by closeSession
//!    or by expiry.
//! 2. Its first write makes a record of it in the log, with the same id and password, since the
//!    record orders a session's writes ([`LocalSessions::record`]). From then on it is a session
//!    like any other, except for ephemerals: the record is marked as local, and the tree refuses
//!    them with EphemeralOnLocalSession, or upgrades the session first
//!    (`localSessionsUpgradingEnabled`).
//! 3. A client that reconnects finds its session for as long as this node runs and the session has
//!    not expired. Any other node refuses it, and so does this one after a restart.
//!
//! A ZooKeeper server that runs alone ignores `localSessionsEnabled`; this one does not.
//!
//! **Invariant:** a local session is in the log only from its first write on, because its record
//! orders its writes; it has ephemerals only after an upgrade. (tests:
//! `a_local_session_costs_no_command_until_it_writes`,
//! `a_local_session_is_recorded_by_its_first_write`, `a_local_session_has_no_ephemerals`)

use std::sync::Arc;

use innkeeper_proto::connect::PASSWORD_LEN;
use innkeeper_tree::SessionId;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use subtle::ConstantTimeEq;
use tokio::sync::Mutex as AsyncMutex;

use crate::expiry::Expiry;
use crate::settings::MAX_LOCAL_SESSIONS;

/// The attachment in a local session's record and in its seat in the fan-out, which is the
/// session's first one.
pub(crate) const ATTACHMENT: u32 = 1;

/// A session's password.
pub(crate) type Password = [u8; PASSWORD_LEN];

/// A session that only this node knows.
#[derive(Clone, Debug)]
pub(crate) struct LocalSession {
    pub(crate) password: Password,
    pub(crate) timeout_ms: u32,
    /// It was made without a quorum, and may not write.
    pub(crate) read_only: bool,
    /// Locked while its record is made, and by a connection that reattaches meanwhile. True when
    /// the record is in the log.
    pub(crate) recorded: Arc<AsyncMutex<bool>>,
}

impl LocalSession {
    /// Whether this is its password. The time of the comparison tells nothing of the password.
    pub(crate) fn has_password(&self, password: &Password) -> bool {
        self.password.ct_eq(password).into()
    }
}

/// All sessions that only this node knows.
///
/// Invariants:
/// - A session is here or in the tree; it is in both only while its record is made.
/// - There are at most [`MAX_LOCAL_SESSIONS`].
#[derive(Debug, Default)]
pub(crate) struct LocalSessions {
    sessions: Mutex<FxHashMap<SessionId, LocalSession>>,
}

impl LocalSessions {
    /// Adds a session. Returns false if the id is taken or there are too many.
    pub(crate) fn begin(
        &self,
        session: SessionId,
        password: Password,
        timeout_ms: u32,
        read_only: bool,
        expiry: &Expiry,
    ) -> bool {
        let mut sessions = self.sessions.lock();
        if sessions.len() >= MAX_LOCAL_SESSIONS || sessions.contains_key(&session) {
            return false;
        }
        let local = LocalSession {
            password,
            timeout_ms,
            read_only,
            recorded: Arc::default(),
        };
        sessions.insert(session, local);
        expiry.opened_local(session, ATTACHMENT, timeout_ms);
        true
    }

    /// The session with this id.
    pub(crate) fn get(&self, session: SessionId) -> Option<LocalSession> {
        self.sessions.lock().get(&session).cloned()
    }

    /// Whether there is a session with this id.
    pub(crate) fn contains(&self, session: SessionId) -> bool {
        self.sessions.lock().contains_key(&session)
    }

    /// How many sessions there are.
    pub(crate) fn len(&self) -> usize {
        self.sessions.lock().len()
    }

    /// A client reattached to a session, with this timeout. Returns false if the session has ended.
    pub(crate) fn renew(&self, session: SessionId, timeout_ms: u32, expiry: &Expiry) -> bool {
        let mut sessions = self.sessions.lock();
        let Some(local) = sessions.get_mut(&session) else {
            return false;
        };
        local.timeout_ms = timeout_ms;
        expiry.opened_local(session, ATTACHMENT, timeout_ms);
        true
    }

    /// The session's record is in the log: it is removed here, and lives on in the tree.
    pub(crate) fn record(&self, session: SessionId) {
        self.sessions.lock().remove(&session);
    }

    /// Ends a session that was closed or has expired. Returns false if there is none with this id.
    pub(crate) fn end(&self, session: SessionId, expiry: &Expiry) -> bool {
        let ended = self.sessions.lock().remove(&session).is_some();
        if ended {
            expiry.ended(session);
        }
        ended
    }

    /// Ends a session that was silent for its whole timeout, unless its client has just taken it up
    /// again; returns whether it ended. `None` if there is none with this id.
    pub(crate) fn expire(&self, session: SessionId, expiry: &Expiry) -> Option<bool> {
        let mut sessions = self.sessions.lock();
        sessions.get(&session)?;
        let is_silent = expiry.is_told(session);
        if is_silent {
            sessions.remove(&session);
            expiry.ended(session);
        }
        Some(is_silent)
    }

    /// Ends all sessions that were made without a quorum.
    pub(crate) fn end_read_only(&self, expiry: &Expiry) {
        self.sessions.lock().retain(|session, local| {
            if local.read_only {
                expiry.ended(*session);
            }
            !local.read_only
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expiry::Step;

    /// The client is faster than the task that ends the session.
    #[test]
    fn a_silent_session_lives_on_if_its_client_takes_it_up_again() {
        let (sessions, expiry) = (LocalSessions::default(), Expiry::new(100, true));
        let session = SessionId(7);
        assert!(sessions.begin(session, [0; PASSWORD_LEN], 1000, false, &expiry));
        let expires = || {
            let step = (0..40).find_map(|_| match expiry.tick(false).pop()? {
                Step::Probe(session) => {
                    expiry.heartbeat(session).unwrap().nothing_buffered();
                    None
                }
                expires => Some(expires),
            });
            assert_eq!(step, Some(Step::Expire(session, ATTACHMENT)));
        };
        expires();
        assert!(sessions.renew(session, 1000, &expiry));
        assert_eq!(sessions.expire(session, &expiry), Some(false));
        assert!(sessions.contains(session) && expiry.len() == 1);
        expires();
        assert_eq!(sessions.expire(session, &expiry), Some(true));
        assert!(!sessions.contains(session) && expiry.len() == 0);
        assert_eq!(sessions.expire(session, &expiry), None);
    }
}
