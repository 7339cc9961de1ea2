//! Sessions in the state: which are alive, and the number of the last applied write of each.
//!
//! A session's writes have the numbers 1, 2, 3 … on each attachment (connect). After a change of
//! leader a node sends those again that it has not seen applied.
//!
//! **Invariant:** apply runs only the write after a session's last one, on its newest attachment.
//! So a write that is sent again is not applied twice or out of order. (script `sessions`)

use hashbrown::{HashMap, HashSet};
use smallvec::{SmallVec, smallvec};
use subtle::ConstantTimeEq;

use crate::horizon::Horizon;
use crate::owner::OwnerChange;
use crate::{SessionId, Zxid};

/// A live session, as a view shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionInfo {
    /// The session's id.
    pub session: SessionId,
    /// The timeout in milliseconds, negotiated at the last connect.
    pub timeout_ms: u32,
    /// How often clients have connected with the session.
    pub attachment: u32,
    /// True for a local session, which may not own ephemerals.
    pub local: bool,
}

/// A session in the state, with what older views see of it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) password: [u8; 16],
    /// The number of the last applied write on the newest attachment.
    pub(crate) seq: u64,
    /// The versions that views see, the newest last. Never empty.
    phases: SmallVec<[Phase; 1]>,
    /// Slots of the session's present ephemerals.
    ephemerals: HashSet<u32>,
    /// Former ephemerals with the zxid of the command that deleted them, in the order of the
    /// zxids: older views still show them. The next change drops those that no view can see.
    gone: Vec<(u64, u32)>,
    dirty: bool,
}

/// A version of a session, valid from one command on.
#[derive(Clone, Copy, Debug)]
struct Phase {
    from: u64,
    attachment: u32,
    timeout_ms: u32,
    alive: bool,
    local: bool,
}

impl Session {
    /// Whether this is its password, in a time that tells nothing of it.
    pub(crate) fn has_password(&self, password: &[u8; 16]) -> bool {
        self.password.ct_eq(password).into()
    }

    pub(crate) fn attachment(&self) -> u32 {
        self.newest().attachment
    }

    pub(crate) fn timeout_ms(&self) -> u32 {
        self.newest().timeout_ms
    }

    /// How many ephemerals it has.
    pub(crate) fn owned(&self) -> usize {
        self.ephemerals.len()
    }

    pub(crate) fn is_local(&self) -> bool {
        self.newest().local
    }

    fn newest(&self) -> &Phase {
        self.phases.last().expect("a session begins with a phase")
    }

    fn at(&self, zxid: Zxid) -> Option<&Phase> {
        self.phases
            .iter()
            .rev()
            .find(|phase| phase.from <= zxid.0)
            .filter(|phase| phase.alive)
    }

    /// Begins a phase, and drops the phases that no view can see.
    fn push(&mut self, phase: Phase, horizon: &Horizon) {
        let oldest = horizon.oldest_visible();
        let past = self.phases.iter().rposition(|phase| phase.from <= oldest);
        self.phases.drain(..past.unwrap_or(0));
        self.phases.push(phase);
    }
}

/// All sessions: the live ones, and ended ones that an older view still shows.
#[derive(Default)]
pub(crate) struct Sessions {
    by_id: HashMap<SessionId, Session>,
    /// Ended sessions in the order of their ends.
    ended: Vec<SessionId>,
    dirty: Vec<SessionId>,
    live: usize,
    ephemerals: usize,
}

impl Sessions {
    /// A live session.
    pub(crate) fn get(&self, id: SessionId) -> Option<&Session> {
        self.by_id.get(&id).filter(|session| session.newest().alive)
    }

    /// The number of live sessions.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// The number of ephemerals of all sessions.
    pub(crate) fn ephemeral_count(&self) -> usize {
        self.ephemerals
    }

    /// Creates a session; false if a session with this id is alive.
    pub(crate) fn create(
        &mut self,
        zxid: Zxid,
        id: SessionId,
        new: Restored,
        horizon: &Horizon,
    ) -> bool {
        if self.get(id).is_some() {
            return false;
        }
        match self.by_id.get_mut(&id) {
            // The id was used before, and a view may still show the former session.
            Some(session) => {
                (session.password, session.seq) = (new.password, new.seq);
                session.push(new.phase(zxid), horizon);
                self.ended.retain(|ended| *ended != id);
                self.live += 1;
            }
            None => self.restore(zxid, id, new),
        }
        self.mark(id);
        true
    }

    /// Restores a session from a checkpoint.
    pub(crate) fn restore(&mut self, from: Zxid, id: SessionId, restored: Restored) {
        let session = Session {
            password: restored.password,
            seq: restored.seq,
            phases: smallvec![restored.phase(from)],
            ephemerals: HashSet::new(),
            gone: Vec::new(),
            dirty: false,
        };
        self.by_id.insert(id, session);
        self.live += 1;
    }

    /// Reattaches a session to a new connection and returns the number of the attachment.
    pub(crate) fn reattach(
        &mut self,
        zxid: Zxid,
        id: SessionId,
        timeout_ms: u32,
        horizon: &Horizon,
    ) -> u32 {
        self.mark(id);
        let session = self.by_id.get_mut(&id).expect("the caller found it");
        let attachment = session.attachment().wrapping_add(1);
        session.seq = 0;
        session.push(
            Phase {
                from: zxid.0,
                attachment,
                timeout_ms,
                ..*session.newest()
            },
            horizon,
        );
        attachment
    }

    /// Makes a local session global; false if it was global.
    pub(crate) fn upgrade(&mut self, zxid: Zxid, id: SessionId, horizon: &Horizon) -> bool {
        let Some(session) = self.by_id.get_mut(&id).filter(|known| known.is_local()) else {
            return false;
        };
        let phase = Phase {
            from: zxid.0,
            local: false,
            ..*session.newest()
        };
        session.push(phase, horizon);
        self.mark(id);
        true
    }

    /// Notes the number of the session's last applied write.
    pub(crate) fn advance(&mut self, id: SessionId, seq: u64) {
        self.mark(id);
        if let Some(session) = self.by_id.get_mut(&id) {
            session.seq = seq;
        }
    }

    /// Ends a session. The caller deletes its ephemerals.
    pub(crate) fn end(&mut self, zxid: Zxid, id: SessionId, horizon: &Horizon) {
        self.mark(id);
        if let Some(session) = self
            .by_id
            .get_mut(&id)
            .filter(|session| session.newest().alive)
        {
            let phase = Phase {
                from: zxid.0,
                alive: false,
                ..*session.newest()
            };
            session.push(phase, horizon);
            self.ended.push(id);
            self.live -= 1;
        }
    }

    /// Updates the session's list of ephemerals after the command `zxid`.
    pub(crate) fn own(&mut self, zxid: Zxid, change: OwnerChange, horizon: &Horizon) {
        let Some(session) = self.by_id.get_mut(&change.owner) else {
            return;
        };
        let oldest = horizon.oldest_visible();
        let unseen = session.gone.partition_point(|(until, _)| *until <= oldest);
        session.gone.drain(..unseen);
        if change.owns {
            self.ephemerals += usize::from(session.ephemerals.insert(change.slot));
        } else if session.ephemerals.remove(&change.slot) {
            self.ephemerals -= 1;
            session.gone.push((zxid.0, change.slot));
        }
    }

    /// Restores a session's ephemeral from a checkpoint; false if there is no such session.
    pub(crate) fn restore_owned(&mut self, owner: SessionId, slot: u32) -> bool {
        let session = self.by_id.get_mut(&owner);
        let inserted = session.is_some_and(|session| session.ephemerals.insert(slot));
        self.ephemerals += usize::from(inserted);
        inserted
    }

    /// The slots of a session's ephemerals at a zxid, each once and in no order. Some may have
    /// been created since; the caller checks each.
    pub(crate) fn ephemerals_at(&self, id: SessionId, at: Zxid) -> HashSet<u32> {
        let Some(session) = self.by_id.get(&id) else {
            return HashSet::new();
        };
        let first = session.gone.partition_point(|(until, _)| *until <= at.0);
        let gone = session.gone[first..].iter().map(|(_, slot)| *slot);
        session.ephemerals.iter().copied().chain(gone).collect()
    }

    /// The slots of a session's present ephemerals, in no order.
    pub(crate) fn ephemerals(&self, id: SessionId) -> Vec<u32> {
        self.by_id.get(&id).map_or_else(Vec::new, |session| {
            session.ephemerals.iter().copied().collect()
        })
    }

    /// Forgets ended sessions that no view shows.
    pub(crate) fn reclaim(&mut self, horizon: &Horizon) {
        let oldest = horizon.oldest_visible();
        let gone = self
            .ended
            .iter()
            .take_while(|id| {
                self.by_id
                    .get(*id)
                    .is_none_or(|session| session.newest().from <= oldest)
            })
            .count();
        for id in self.ended.drain(..gone) {
            self.by_id.remove(&id);
        }
    }

    /// The sessions that changed since the last call.
    pub(crate) fn take_dirty(&mut self) -> Vec<SessionId> {
        let mut dirty = std::mem::take(&mut self.dirty);
        // An id that was used again may be in the list twice.
        dirty.sort_unstable();
        dirty.dedup();
        for id in &dirty {
            if let Some(session) = self.by_id.get_mut(id) {
                session.dirty = false;
            }
        }
        dirty
    }

    fn mark(&mut self, id: SessionId) {
        if let Some(session) = self.by_id.get_mut(&id).filter(|session| !session.dirty) {
            session.dirty = true;
            self.dirty.push(id);
        }
    }

    pub(crate) fn at(&self, id: SessionId, zxid: Zxid) -> Option<SessionInfo> {
        info(id, self.by_id.get(&id)?, zxid)
    }

    pub(crate) fn all_at(&self, zxid: Zxid) -> Vec<SessionInfo> {
        let mut all: Vec<_> = self
            .by_id
            .iter()
            .filter_map(|(id, session)| info(*id, session, zxid))
            .collect();
        all.sort_unstable_by_key(|info| info.session);
        all
    }
}

/// A session at its creation or in a checkpoint.
pub(crate) struct Restored {
    pub(crate) password: [u8; 16],
    pub(crate) timeout_ms: u32,
    pub(crate) attachment: u32,
    pub(crate) seq: u64,
    pub(crate) local: bool,
}

impl Restored {
    fn phase(&self, from: Zxid) -> Phase {
        Phase {
            from: from.0,
            attachment: self.attachment,
            timeout_ms: self.timeout_ms,
            alive: true,
            local: self.local,
        }
    }
}

fn info(id: SessionId, session: &Session, zxid: Zxid) -> Option<SessionInfo> {
    let Phase {
        attachment,
        timeout_ms,
        local,
        ..
    } = *session.at(zxid)?;
    Some(SessionInfo {
        session: id,
        timeout_ms,
        attachment,
        local,
    })
}
