//! Quotas in a change: limits are checked before an operation, statistics follow it.
//!
//! Limits and statistics are read as they were before the command, even in the middle of a
//! multi: so it is in ZooKeeper, which checks all of a multi before it applies any of it.

use std::sync::Arc;

use innkeeper_proto::ErrorCode;
use parking_lot::RwLockWriteGuard;

use super::change::Change;
use crate::applied::{OverQuota, Quantity};
use crate::path;
use crate::quota::{Quotas, STATS, Track, limits_path, stats_path, subject};
use crate::store::Data;

/// How many znodes are counted before views that wait are let in.
const COUNT_RUN: usize = 1_024;

impl Change<'_> {
    /// Would so many more znodes and bytes at this path go beyond a limit?
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

    /// The numbers that stood in a znode before the command, if there was one. A text that
    /// cannot be read fails the write, as it does in ZooKeeper.
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
                self.quotas_now().add(subject);
            }
            if let Some(subject) = subject(path, STATS) {
                self.count_anew(subject);
            }
        }
        self.quota_moved(path, 1, bytes as i64);
    }

    /// A znode was deleted.
    pub(super) fn quota_deleted(&mut self, path: &str, bytes: usize) {
        if let Some(subject) = Quotas::limited_by(path) {
            self.quotas_now().remove(subject);
        }
        self.quota_moved(path, -1, -(bytes as i64));
    }

    /// So many more znodes and bytes are at this path.
    pub(super) fn quota_moved(&mut self, path: &str, more_znodes: i64, more_bytes: i64) {
        let quotas = self.quotas_after.as_ref().unwrap_or(self.quotas_before);
        let Some(stats) = quotas.of(path).map(stats_path) else {
            return;
        };
        let Some(slot) = self.nodes.find(&stats) else {
            return;
        };
        let body = self.nodes.body(slot).expect("found as existing");
        // ZooKeeper stops for good at a text that it cannot read; here it is left alone.
        let Some(mut track) = body.data.as_slice().and_then(Track::parse) else {
            return;
        };
        track.set(
            track.count().wrapping_add(more_znodes),
            track.bytes().wrapping_add(more_bytes),
        );
        self.write_track(&stats, slot, &track);
    }

    /// Statistics begin: what they count is counted, whatever the client has put there.
    fn count_anew(&mut self, subject: &str) {
        let root = if subject.is_empty() {
            path::ROOT
        } else {
            subject
        };
        let (mut count, mut bytes) = (0, 0);
        let mut stack: Vec<u32> = self.nodes.find(root).into_iter().collect();
        while let Some(slot) = stack.pop() {
            let Some(body) = self.nodes.body(slot) else {
                continue;
            };
            count += 1;
            bytes += body.data.len();
            if body.num_children > 0 {
                stack.extend_from_slice(self.nodes.children(slot));
            }
            if count % COUNT_RUN == 0 {
                RwLockWriteGuard::bump(&mut self.nodes);
            }
        }
        let stats = stats_path(subject);
        if let Some(slot) = self.nodes.find(&stats) {
            self.write_track(&stats, slot, &Track::new(count as i64, bytes as i64));
        }
    }

    /// Only the data change: neither version nor mzxid, and no watch fires.
    fn write_track(&mut self, path: &str, slot: u32, track: &Track) {
        let text = bytes::Bytes::from(track.text());
        self.mix(b'q', path, Some(&text));
        let body = self.nodes.touch(slot, self.zxid.0);
        body.data = Data::new(Some(&text));
    }

    fn quotas_now(&mut self) -> &mut Quotas {
        let before = self.quotas_before;
        Arc::make_mut(self.quotas_after.get_or_insert_with(|| before.clone()))
    }
}
