//! **zxids never fall or skip.** A replica applies the commands with the zxids that follow each
//! other. A new life begins at its checkpoint, and from there on it leaves none out either. Only a
//! snapshot takes it further, and never back.

/// The zxids of one life of a replica.
#[derive(Default)]
pub struct Zxids {
    last: Option<u64>,
}

impl Zxids {
    pub fn next(&mut self, node: u64, zxid: u64) {
        if let Some(last) = self.last {
            assert_eq!(zxid, last + 1, "a zxid of node {node}");
        }
        self.last = Some(zxid);
    }

    /// A snapshot takes a replica forward.
    pub fn jump(&mut self, node: u64, from: u64, to: u64) {
        assert!(from < to, "node {node} jumps from {from} to {to}");
        assert!(
            self.last.is_none_or(|last| last == from),
            "node {node} jumps from {from}"
        );
        self.last = Some(to);
    }
}
