//! **No acknowledged write is lost**, and writes of one client are applied in its order.

use std::collections::BTreeMap;

use innkeeper_tree::View;

use super::super::clients::{register, znode};

/// What was acknowledged.
#[derive(Default)]
pub struct Lost {
    /// By client: how many znodes it has created, one after the other.
    created: BTreeMap<usize, u64>,
    /// The zxid of a create by client and number, where the answer told it.
    zxids: BTreeMap<(usize, u64), i64>,
}

impl Lost {
    /// The next create of a client is acknowledged; the zxid is unknown if an earlier attempt made
    /// the znode.
    pub fn created(&mut self, by: usize, number: u64, zxid: Option<i64>) {
        let count = self.created.entry(by).or_default();
        assert_eq!(*count, number, "client {by} has its answers in order");
        *count += 1;
        self.zxids.extend(zxid.map(|zxid| ((by, number), zxid)));
    }

    /// Looks for everything in a node's state at the end.
    pub fn check(&self, node: u64, view: &View, newest: &BTreeMap<u64, i32>) {
        for (by, count) in &self.created {
            let mut last = 0;
            for number in 0..*count {
                let path = znode(*by, number);
                let found = view.exists(&path);
                let (stat, _) = found.unwrap_or_else(|| panic!("{path} is lost on node {node}"));
                assert!(stat.czxid > last, "{path} is out of order");
                last = stat.czxid;
                if let Some(zxid) = self.zxids.get(&(*by, number)) {
                    assert_eq!(stat.czxid, *zxid, "{path} was acknowledged with its zxid");
                }
            }
        }
        for (key, version) in newest {
            let (stat, _) = view.exists(&register(*key)).expect("it is never deleted");
            assert!(
                stat.version >= *version,
                "node {node} has version {} of znode {key}, and {version} was seen",
                stat.version
            );
        }
    }
}
