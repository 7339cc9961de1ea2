//! Quotas in a change: limits are checked before an operation, and statistics are updated after it.
//!
//! Limits and statistics are read as of before the command, also in the middle of a multi, because
//! ZooKeeper checks the whole multi before it applies any operation.
//!
//! When the statistics of a subtree begin, it is counted at the end of the command, and only once:
//! a multi may begin the same statistics thousands of times.

use innkeeper_proto::ErrorCode;
use parking_lot::RwLockWriteGuard;

use super::change::Change;
use crate::applied::{OverQuota, Quantity};
use crate::path;
use crate::quota::{Quotas, STATS, Track, limits_path, stats_path, subject};
use crate::store::Data;

/// After so many counted znodes the writer lets waiting views take the lock.
const COUNT_RUN: usize = 1_024;

impl Change<'_> {
    /// Checks that so many more znodes and bytes at this path exceed no limit.
    pub(super) fn check_quota(
        &mut self,
        path: &str,
        more_znodes: i64,
        more_bytes: i64,
    ) -> Result<(), ErrorCode> {
        if !self.enforce_quota || self.quotas_before.is_empty() {
            return Ok(());
        }
        let Some(prefix) = self.quotas_before.of(path) else {
            return Ok(());
        };
        let Some(limits) = self.track_before(&limits_path(prefix))? else {
            return Ok(());
        };
        let counts = more_znodes != 0 && (limits.count() > -1 || limits.count_hard_limit() > -1);
        let weighs = more_bytes != 0 && (limits.bytes() > -1 || limits.bytes_hard_limit() > -1);
        if !counts && !weighs {
            return Ok(());
        }
        let Some(stats) = self.track_before(&stats_path(prefix))? else {
            return Ok(());
        };
        let wanted = [
            (
                counts,
                Quantity::Count,
                stats.count().wrapping_add(more_znodes),
                limits.count_hard_limit(),
                limits.count(),
            ),
            (
                weighs,
                Quantity::Bytes,
                stats.bytes().wrapping_add(more_bytes),
                limits.bytes_hard_limit(),
                limits.bytes(),
            ),
        ];
        for (checked, of, wanted, hard_limit, soft_limit) in wanted {
            let hard = hard_limit > -1;
            let limit = if hard { hard_limit } else { soft_limit };
            if checked && wanted > limit {
                self.over_quota.push(OverQuota {
                    path: prefix.into(),
                    of,
                    wanted,
                    limit,
                    hard,
                });
                if hard {
                    return Err(ErrorCode::QuotaExceeded);
                }
            }
        }
        Ok(())
    }

    /// The numbers in a znode before the command; `None` if the znode did not exist. If its text
    /// cannot be read, the write fails, as in ZooKeeper.
    fn track_before(&self, path: &str) -> Result<Option<Track>, ErrorCode> {
        match self.nodes.before(path, self.zxid.0) {
            None => Ok(None),
            Some(body) => {
                let track = body.data.as_slice().and_then(Track::parse);
                track.map(Some).ok_or(ErrorCode::MarshallingError)
            }
        }
    }

    /// A znode was created.
    pub(super) fn quota_created(&mut self, path: &str, bytes: usize) {
        if path.starts_with(path::QUOTA) {
            if let Some(subject) = Quotas::limited_by(path) {
                self.quota_edits.add(subject, self.quotas_before);
            }
            if let Some(subject) = subject(path, STATS) {
                self.to_count.insert(subject.to_owned());
            }
        }
        self.quota_moved(path, 1, bytes as i64);
    }

    /// A znode was deleted.
    pub(super) fn quota_deleted(&mut self, path: &str, bytes: usize) {
        if let Some(subject) = Quotas::limited_by(path) {
            self.quota_edits.remove(subject, self.quotas_before);
        }
        self.count_no_more(path);
        self.quota_moved(path, -1, -(bytes as i64));
    }

    /// The data of a znode were set.
    pub(super) fn quota_set(&mut self, path: &str, more_bytes: i64) {
        // If a client sets statistics after they began, its numbers stay.
        self.count_no_more(path);
        self.quota_moved(path, 0, more_bytes);
    }

    /// If this is the path of statistics, its subtree need not be counted any more.
    fn count_no_more(&mut self, path: &str) {
        if !self.to_count.is_empty()
            && let Some(subject) = subject(path, STATS)
        {
            self.to_count.remove(subject);
        }
    }

    /// Adds so many znodes and bytes at this path to the statistics.
    pub(super) fn quota_moved(&mut self, path: &str, more_znodes: i64, more_bytes: i64) {
        let Some(prefix) = self.quotas_before.of_after(&self.quota_edits, path) else {
            return;
        };
        if self.to_count.contains(prefix) {
            return;
        }
        let stats = stats_path(prefix);
        let Some(slot) = self.nodes.find(&stats) else {
            return;
        };
        let body = self.nodes.body(slot).expect("found as existing");
        // ZooKeeper stops for ever at a text that it cannot read. Here the text stays as it is.
        let Some(mut track) = body.data.as_slice().and_then(Track::parse) else {
            return;
        };
        track.set(
            track.count().wrapping_add(more_znodes),
            track.bytes().wrapping_add(more_bytes),
        );
        self.write_track(&stats, slot, &track);
    }

    /// Counts the subtrees whose statistics the command began, and overwrites the client's numbers.
    /// Called after the command has succeeded.
    /// (test: `statistics_begun_many_times_are_counted_once`)
    pub(super) fn count_begun(&mut self) {
        for subject in std::mem::take(&mut self.to_count) {
            self.count_anew(&subject);
        }
    }

    fn count_anew(&mut self, subject: &str) {
        let root = if subject.is_empty() {
            path::ROOT
        } else {
            subject
        };
        let (mut count, mut bytes) = (0i64, 0i64);
        let mut stack: Vec<u32> = self.nodes.find(root).into_iter().collect();
        while let Some(slot) = stack.pop() {
            let Some(body) = self.nodes.body(slot) else {
                continue;
            };
            count += 1;
            bytes += body.data.len() as i64;
            if body.num_children > 0 {
                stack.extend_from_slice(self.nodes.children(slot));
            }
            self.counted += 1;
            if self.counted.is_multiple_of(COUNT_RUN) {
                RwLockWriteGuard::bump(&mut self.nodes);
            }
        }
        let stats = stats_path(subject);
        if let Some(slot) = self.nodes.find(&stats) {
            self.write_track(&stats, slot, &Track::new(count, bytes));
        }
    }

    /// Writes statistics. Only the data change: version and mzxid stay, and there is no event.
    fn write_track(&mut self, path: &str, slot: u32, track: &Track) {
        let text = bytes::Bytes::from(track.text());
        self.mix(b'q', path, Some(&text));
        let body = self.nodes.touch(slot, self.zxid.0);
        body.data = Data::new(Some(&text));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use innkeeper_proto::CreateMode;

    use super::super::change::Asker;
    use crate::command::WriteOp;
    use crate::{Tree, Zxid, acl};

    const BELOW: usize = 40;
    const STATS_OF_A: &str = "/zookeeper/quota/a/zookeeper_stats";

    fn create(path: &str) -> WriteOp {
        WriteOp::Create {
            path: path.to_owned(),
            data: Some(Bytes::from_static(b"12")),
            acl: acl::open(),
            mode: CreateMode::Persistent,
            ttl_ms: 0,
        }
    }

    fn delete(path: &str) -> WriteOp {
        WriteOp::Delete {
            path: path.to_owned(),
            version: -1,
        }
    }

    /// Runs the operations as one command; says how many znodes were counted, and what stands
    /// in the statistics of `/a` then.
    fn run(tree: &mut Tree, operations: &[WriteOp]) -> (usize, Option<String>) {
        tree.zxid = Zxid(tree.zxid.0 + 1);
        let store = tree.store.clone();
        let mut change = tree.change(&store);
        let asker = Asker {
            identities: &[],
            session: None,
            local: false,
            enforce_quota: false,
        };
        for operation in operations {
            change.run(operation, asker).expect("nothing is in its way");
        }
        change.count_begun();
        let counted = change.counted;
        let slot = change.nodes.find(STATS_OF_A);
        let text = slot.and_then(|slot| change.nodes.body(slot)?.data.to_bytes());
        let done = change.commit(&store, &tree.horizon);
        tree.quotas.apply(done.quotas);
        (
            counted,
            text.map(|text| String::from_utf8_lossy(&text).into_owned()),
        )
    }

    #[test]
    fn statistics_begun_many_times_are_counted_once() {
        let mut tree = Tree::new();
        let mut tell: Vec<WriteOp> = ["/a", "/zookeeper/quota/a"].map(create).into();
        tell.extend((0..BELOW).map(|at| create(&format!("/a/{at}"))));
        tell.push(create("/zookeeper/quota/a/zookeeper_limits"));
        assert_eq!(run(&mut tree, &tell), (0, None));

        let mut pairs = Vec::new();
        for at in 0..100 {
            pairs.extend([create(STATS_OF_A), delete(STATS_OF_A)]);
            pairs.push(create(&format!("/a/0/{at}")));
        }
        assert_eq!(
            run(&mut tree, &pairs),
            (0, None),
            "there are none at the end"
        );

        pairs = vec![create(STATS_OF_A)];
        for at in 0..100 {
            pairs.extend([delete(STATS_OF_A), create(STATS_OF_A)]);
            pairs.push(create(&format!("/a/1/{at}")));
        }
        let all = 1 + BELOW + 200;
        let text = format!("count={all},bytes={}", 2 * all);
        assert_eq!(run(&mut tree, &pairs), (all, Some(text)));

        // What a client sets after it has begun them stays, and is added to.
        let set = WriteOp::SetData {
            path: STATS_OF_A.to_owned(),
            data: Some(Bytes::from_static(b"count=7,bytes=7")),
            version: -1,
        };
        let again = [delete(STATS_OF_A), create(STATS_OF_A), set, create("/a/z")];
        assert_eq!(
            run(&mut tree, &again),
            (0, Some("count=8,bytes=9".to_owned()))
        );
    }
}
