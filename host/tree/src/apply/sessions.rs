//! The creation, reattachment and end of sessions.

use crate::applied::{Applied, TicketResult};
use crate::owner::is_session;
use crate::session::Restored;
use crate::{SessionId, Tree};

use super::Cause;

impl Tree {
    pub(super) fn create_session(
        &mut self,
        session: SessionId,
        password: [u8; 16],
        timeout_ms: u32,
        local: bool,
    ) -> TicketResult {
        let restored = Restored {
            password,
            timeout_ms,
            attachment: 1,
            seq: 0,
            local,
        };
        let store = self.store.clone();
        let mut sessions = store.sessions.write();
        if !is_session(session) || !sessions.create(self.zxid, session, restored, &self.horizon) {
            // The id is taken. The node draws another random one.
            return TicketResult::NoSession;
        }
        drop(sessions);
        self.mix_session(b'+', session, timeout_ms);
        if local {
            self.mix(b"local");
        }
        TicketResult::Attached {
            session,
            attachment: 1,
            timeout_ms,
        }
    }

    pub(super) fn reattach(
        &mut self,
        session: SessionId,
        password: [u8; 16],
        timeout_ms: u32,
    ) -> TicketResult {
        let store = self.store.clone();
        let mut sessions = store.sessions.write();
        match sessions.get(session) {
            Some(known) if known.has_password(&password) => {
                let attachment = sessions.reattach(self.zxid, session, timeout_ms, &self.horizon);
                drop(sessions);
                self.mix_session(b'^', session, timeout_ms);
                TicketResult::Attached {
                    session,
                    attachment,
                    timeout_ms,
                }
            }
            _ => TicketResult::NoSession,
        }
    }

    /// Ends a silent session, unless it was reattached meanwhile.
    pub(super) fn expire(&mut self, session: SessionId, attachment: u32, applied: &mut Applied) {
        let silent = self
            .store
            .sessions
            .read()
            .get(session)
            .is_some_and(|known| known.attachment() == attachment);
        if silent {
            self.end_session(session, applied);
        }
    }

    /// Ends a session and deletes its ephemerals, in the order of their paths, under one zxid.
    pub(super) fn end_session(&mut self, session: SessionId, applied: &mut Applied) {
        let store = self.store.clone();
        let slots = {
            let mut sessions = store.sessions.write();
            sessions.reclaim(&self.horizon);
            sessions.end(self.zxid, session, &self.horizon);
            sessions.ephemerals(session)
        };
        self.mix_session(b'-', session, 0);
        applied.ended.push(session);
        if slots.is_empty() {
            return;
        }
        let mut change = self.change(&store);
        let mut ephemerals: Vec<(String, u32)> = slots
            .into_iter()
            .map(|slot| (change.nodes.path_of(slot), slot))
            .collect();
        ephemerals.sort_unstable();
        for (path, slot) in ephemerals {
            change.delete_unasked(path, slot);
        }
        let done = change.commit(&store, &self.horizon);
        self.finish(done, Cause::default(), applied);
    }

    fn mix_session(&mut self, kind: u8, session: SessionId, timeout_ms: u32) {
        let mut bytes = [kind; 13];
        bytes[1..9].copy_from_slice(&session.0.to_le_bytes());
        bytes[9..].copy_from_slice(&timeout_ms.to_le_bytes());
        self.mix(&bytes);
    }
}
