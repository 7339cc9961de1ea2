//! **Nothing acknowledged is lost.** In the end each replica holds exactly the znodes that the
//! applied operations make, each with its data, the zxid of its creation and that of its last
//! change. What was acknowledged is among them, because an answer names its zxid truthfully.

use std::sync::Arc;

use crate::common::dump;
use crate::history::History;
use crate::stage::Member;

/// Compares what all replicas hold.
pub fn check(members: &[Arc<Member>], history: &History) {
    let expected = history.znodes();
    let mut first = None;
    for member in members {
        let replica = member.replica().expect("it runs");
        let shown = dump(&replica.reader().view());
        let ours = shown
            .iter()
            .filter(|znode| znode.0.starts_with("/n") || znode.0.starts_with("/r"));
        let ours = ours.map(|(path, data, created, changed, _)| {
            let data = data.clone().unwrap_or_default();
            (path.clone(), (data, *created as u64, *changed as u64))
        });
        let missing = ours.clone().collect::<std::collections::BTreeMap<_, _>>();
        for (path, znode) in &expected {
            assert_eq!(missing.get(path), Some(znode), "node {}: {path}", member.id);
        }
        assert_eq!(missing.len(), expected.len(), "node {}", member.id);
        // Times, too, are the same everywhere.
        let first = first.get_or_insert_with(|| shown.clone());
        assert!(*first == shown, "node {} shows something else", member.id);
    }
}
