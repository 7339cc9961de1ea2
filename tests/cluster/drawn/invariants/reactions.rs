//! **Each reaction happens exactly once.** Where a recipe counts what the creators make, no state
//! that a node shows has counted more than there is, and at the end everything is counted.

use innkeeper_tree::View;

use super::super::clients::{CREATED, TALLY};

/// What the recipe has counted, and what there is.
fn counted(view: &View) -> (u64, u64) {
    let there = view
        .exists(CREATED)
        .map_or(0, |(stat, _)| stat.num_children);
    let tally = view.get(TALLY).and_then(|znode| znode.data);
    let text = tally.map(|data| String::from_utf8_lossy(&data).into_owned());
    let counted = text.map_or(0, |text| text.parse().expect("a number"));
    (counted, there as u64)
}

/// Looks at a node's state.
pub fn look(node: u64, view: &View) {
    let (counted, there) = counted(view);
    assert!(
        counted <= there,
        "node {node} has {there} znodes, and {counted} are counted"
    );
}

/// How many reactions there were, once everything is counted; `None` before.
pub fn all(view: &View) -> Option<u64> {
    let (counted, there) = counted(view);
    (counted == there).then_some(counted)
}
