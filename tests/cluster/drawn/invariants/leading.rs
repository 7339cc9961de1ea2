//! **A recipe runs on the leader alone.** A node that follows in the same term at two looks has not
//! led in between, so it has begun no reaction.

use std::collections::BTreeMap;

use innkeeper_server::service::Standing;

/// The nodes that followed when they were looked at last: in which term, and how many reactions
/// each had begun by then.
#[derive(Default)]
pub struct Leading {
    followed: BTreeMap<u64, (u64, u64)>,
}

impl Leading {
    /// A node has begun so many reactions since it started.
    pub fn look(&mut self, node: u64, standing: Standing, reactions: u64) {
        let Standing::Follows { term, .. } = standing else {
            self.followed.remove(&node);
            return;
        };
        if let Some((before, begun)) = self.followed.insert(node, (term, reactions))
            && before == term
        {
            assert!(
                reactions <= begun,
                "node {node} follows in term {term} and has begun {} reactions",
                reactions - begun
            );
        }
    }
}
