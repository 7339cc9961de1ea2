//! **Never two groups.** A term has at most one leader. Two groups that formed side by side would
//! each have a leader of term 1, and so would two halves that both believe to be a majority. And there
//! is one cluster id, in all lives of all replicas.

use std::collections::BTreeMap;

use innkeeper_raft::{RaftRole, Status};
use innkeeper_tree::View;
use innkeeper_tree::group::ClusterId;

/// The leader of each term that was seen.
#[derive(Default)]
pub struct Leaders {
    of_term: BTreeMap<u64, u64>,
    cluster: Option<ClusterId>,
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

    /// Looks at what a replica holds.
    pub fn look_into(&mut self, view: &View) {
        if let Some(group) = view.group() {
            let cluster = *self.cluster.get_or_insert(group.cluster);
            assert!(cluster == group.cluster, "two groups were founded");
        }
    }

    pub fn highest_term(&self) -> u64 {
        let last = self.of_term.last_key_value();
        last.map_or(0, |(term, _)| *term)
    }
}
