//! **Never two groups.** A term has at most one leader. Two groups that formed side by side would
//! each have a leader of term 1, and so would two halves that both believe to be a majority.

use std::collections::BTreeMap;

use innkeeper_raft::{RaftRole, Status};

/// The leader of each term that was seen.
#[derive(Default)]
pub struct Leaders {
    of_term: BTreeMap<u64, u64>,
}

impl Leaders {
    /// Looks at a replica.
    pub fn look(&mut self, status: &Status) {
        if status.role == RaftRole::Leader {
            let leader = *self.of_term.entry(status.term).or_insert(status.node_id);
            assert_eq!(
                leader, status.node_id,
                "two replicas lead in term {}",
                status.term
            );
        }
    }

    pub fn highest_term(&self) -> u64 {
        let last = self.of_term.last_key_value();
        last.map_or(0, |(term, _)| *term)
    }
}
