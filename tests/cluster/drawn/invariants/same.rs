//! **All nodes apply the same.** The rolling hash of all changes is equal on all nodes and in all
//! their lives wherever it is kept, and at the end they show the same znodes and sessions.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use innkeeper_tree::View;

/// The rolling hash by zxid, as some node had it.
#[derive(Default)]
pub struct Same {
    digests: BTreeMap<u64, u64>,
}

impl Same {
    pub fn look(&mut self, node: u64, view: &View) {
        if let Some((zxid, digest)) = view.last_digest() {
            let known = self.digests.entry(zxid.0).or_insert(digest);
            assert_eq!(*known, digest, "node {node} has applied something else");
        }
    }

    /// Compares the nodes when all have applied everything.
    pub fn check(&mut self, views: &[(u64, View)]) {
        for (node, view) in views {
            for (zxid, digest) in view.digests() {
                let known = self.digests.entry(zxid.0).or_insert(digest);
                assert_eq!(*known, digest, "node {node} has applied something else");
            }
        }
        let shown = |view: &View| {
            let mut all = Vec::new();
            view.scan("/", &mut |path, znode| {
                all.push((path.to_owned(), znode));
                ControlFlow::Continue(())
            });
            all
        };
        let (first, others) = views.split_first().expect("there are nodes");
        let expected = shown(&first.1);
        for (node, view) in others {
            let found = shown(view);
            for (its, known) in found.iter().zip(&expected) {
                assert_eq!(its, known, "node {node} and node {}", first.0);
            }
            assert_eq!(found.len(), expected.len(), "node {node} has other znodes");
            assert_eq!(view.sessions(), first.1.sessions(), "node {node}");
        }
    }

    /// A number that differs if anything was applied that was not the same.
    pub fn sum(&self) -> u64 {
        self.digests
            .iter()
            .fold(0, |sum, (zxid, digest)| sum.rotate_left(5) ^ zxid ^ digest)
    }
}
