//! **Bounds are kept**, as `docs/bounds.md` states them, at every moment of the run:
//!
//! - a door holds at most `queued_operations` operations that it has taken and not answered, on
//!   the leader and elsewhere: what was sent to a leader that is gone keeps its room;
//! - an established leader has at most `batches_in_flight` batches in its log that are not applied,
//!   and the entry with which its term began.

use innkeeper_raft::{RaftRole, Settings, Status};

use crate::history::Door;

/// The bounds of a run.
pub struct Bounds {
    held: u64,
    in_flight: u64,
}

impl Bounds {
    pub fn of(settings: &Settings) -> Self {
        let in_flight = settings.batch_commands * settings.batches_in_flight;
        Self {
            held: settings.queued_operations as u64,
            in_flight: in_flight as u64 + 1,
        }
    }

    /// Looks at a replica and its door. Is the door full?
    pub fn look(&self, status: &Status, door: &Door) -> bool {
        let held = door.held().unwrap_or(0);
        assert!(
            held <= self.held,
            "the door of node {} holds {held} operations",
            status.node_id
        );
        let is_established =
            status.role == RaftRole::Leader && status.applied_term == Some(status.term);
        if let (true, Some(last), Some(applied)) = (is_established, status.last_log, status.applied)
        {
            let in_flight = last.saturating_sub(applied);
            assert!(
                in_flight <= self.in_flight,
                "node {} leads with {in_flight} entries in flight",
                status.node_id
            );
        }
        held == self.held
    }
}
