//! Writes of clients: numbered ones in a session, and those of administrators without a session.
//!
//! **Invariant:** a write commits only under the policy under which the authorizers decided it.
//! (test: `no_write_slips_past_a_thousand_policy_flips`; script `policies`)

use innkeeper_proto::ErrorCode;

use super::Cause;
use super::change::Asker;
use crate::applied::{Applied, OpReply, Reply, SessionResult, TicketResult};
use crate::command::{Identity, SessionRequest, Write};
use crate::{SessionId, Tree, Zxid};

impl Tree {
    /// Runs a session's request if it is the next one of its newest attachment.
    pub(super) fn session_request(
        &mut self,
        session: SessionId,
        attachment: u32,
        seq: u64,
        request: &SessionRequest,
        applied: &mut Applied,
    ) -> SessionResult {
        let store = self.store.clone();
        let local = {
            let mut sessions = store.sessions.write();
            let Some(known) = sessions.get(session) else {
                return SessionResult::Expired;
            };
            if known.attachment() != attachment {
                return SessionResult::Moved;
            }
            if seq <= known.seq {
                return SessionResult::Duplicate;
            }
            if seq - known.seq > 1 {
                return SessionResult::Gap;
            }
            if let SessionRequest::Write {
                policy_zxid: Some(decided),
                write,
                ..
            } = request
            {
                // The session's number stays, so that its later writes wait for this one.
                if self.policy_moved(*decided, write) {
                    return SessionResult::Bounced;
                }
            }
            let local = known.is_local();
            sessions.advance(session, seq);
            local
        };
        match request {
            SessionRequest::Close => {
                self.end_session(session, applied);
                SessionResult::Done(Reply::Closed)
            }
            SessionRequest::Write {
                identities,
                write,
                enforce_quota,
                upgrade_local,
                ..
            } => {
                // A create of an ephemeral may make the session global first.
                let upgrades = local && *upgrade_local && write.makes_ephemerals();
                if upgrades {
                    self.upgrade(session);
                }
                let asker = Asker {
                    identities,
                    session: Some(session),
                    local: local && !upgrades,
                    enforce_quota: *enforce_quota,
                };
                SessionResult::Done(self.write(write, asker, applied))
            }
        }
    }

    /// Runs an administrator's write.
    pub(super) fn admin_write(
        &mut self,
        identities: &[Identity],
        write: &Write,
        enforce_quota: bool,
        applied: &mut Applied,
    ) -> TicketResult {
        let asker = Asker {
            identities,
            session: None,
            local: false,
            enforce_quota,
        };
        TicketResult::Admin(self.write(write, asker, applied))
    }

    /// Makes a local session a session of the whole service, which may have ephemerals. (test:
    /// script `host/tree/tests/scripts/state/local_sessions`)
    fn upgrade(&mut self, session: SessionId) {
        let store = self.store.clone();
        let mut sessions = store.sessions.write();
        sessions.upgrade(self.zxid, session, &self.horizon);
        drop(sessions);
        self.mix(b"upgrade");
        self.mix(&session.0.to_le_bytes());
    }

    fn write(&mut self, write: &Write, asker: Asker<'_>, applied: &mut Applied) -> Reply {
        let store = self.store.clone();
        let mut change = self.change(&store);
        let reply = match write {
            Write::Single(operation) => Reply::Single(change.run(operation, asker)),
            Write::Multi(operations) => {
                let mut replies: Vec<OpReply> = Vec::with_capacity(operations.len());
                let mut failed = None;
                for (index, operation) in operations.iter().enumerate() {
                    match change.run(operation, asker) {
                        Ok(reply) => replies.push(reply),
                        Err(error) => {
                            failed = Some(Reply::MultiFailed { index, error });
                            break;
                        }
                    }
                }
                failed.unwrap_or(Reply::Multi(replies))
            }
        };
        applied.over_quota = std::mem::take(&mut change.over_quota);
        if let Some(error) = failure(&reply) {
            change.undo();
            drop(change);
            self.mix(&error.code().to_le_bytes());
            return reply;
        }
        let done = change.commit(&store, &self.horizon);
        self.finish(done, Cause::default(), applied);
        reply
    }

    /// Has a policy for one of the write's paths changed since the authorizers decided?
    fn policy_moved(&self, decided: Zxid, write: &Write) -> bool {
        let moved = || {
            if !self.bindings.has_authorizers() {
                return decided != Zxid(0);
            }
            let now = write
                .paths()
                .map(|path| self.bindings.policy_zxid_of(path))
                .max();
            now.unwrap_or_default() != decided
        };
        // Without this comparison a write could commit that a newer policy forbids.
        cfg!(not(innkeeper_break = "policy-check")) && moved()
    }
}

fn failure(reply: &Reply) -> Option<ErrorCode> {
    match reply {
        Reply::Single(Err(error)) | Reply::MultiFailed { error, .. } => Some(*error),
        _ => None,
    }
}
