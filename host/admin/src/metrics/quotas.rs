//! Limits and usage by quota, summed up by the first name of the path, as ZooKeeper shows them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use innkeeper_server::stats::top;
use innkeeper_tree::{View, path};

/// The znode of a path's limits.
const LIMITS: &str = "/zookeeper_limits";

/// The znode of its usage.
const STATS: &str = "/zookeeper_stats";

/// At most how many znodes below `/zookeeper/quota` are looked at for one answer.
const MAX_LOOKED_AT: usize = 10_000;

/// By first name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Quotas {
    pub(super) count_limit: BTreeMap<String, i64>,
    pub(super) bytes_limit: BTreeMap<String, i64>,
    pub(super) count_usage: BTreeMap<String, i64>,
    pub(super) bytes_usage: BTreeMap<String, i64>,
}

impl Quotas {
    /// As a view has them.
    pub(super) fn of(view: &View) -> Self {
        let mut quotas = Self::default();
        let mut left = MAX_LOOKED_AT;
        view.scan(path::QUOTA, &mut |found, znode| {
            let below = found.strip_prefix(path::QUOTA).unwrap_or_default();
            quotas.note(below, znode.data.as_deref().unwrap_or_default());
            left -= 1;
            if left == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        quotas
    }

    fn note(&mut self, below: &str, data: &[u8]) {
        let (Some(name), Ok(text)) = (top(below), std::str::from_utf8(data)) else {
            return;
        };
        let field = |key: &str| field(text, key);
        // A hard limit goes before a soft one.
        let limit = |soft, hard| field(hard).filter(|hard| *hard > -1).or(field(soft));
        let (count, bytes, of_count, of_bytes) = if below.ends_with(LIMITS) {
            (
                limit("count", "countHardLimit"),
                limit("bytes", "byteHardLimit"),
                &mut self.count_limit,
                &mut self.bytes_limit,
            )
        } else if below.ends_with(STATS) {
            (
                field("count"),
                field("bytes"),
                &mut self.count_usage,
                &mut self.bytes_usage,
            )
        } else {
            return;
        };
        // Clients choose the numbers of quotas, so their sum need not fit.
        let add = |sums: &mut BTreeMap<String, i64>, number: Option<i64>| {
            let sum = sums.entry(name.to_owned()).or_default();
            *sum = sum.saturating_add(number.unwrap_or(-1));
        };
        add(of_count, count);
        add(of_bytes, bytes);
    }
}

/// One of `count=5,bytes=-1=;byteHardLimit=-1;countHardLimit=7`: commas, semicolons and a stray
/// equals sign come from different releases.
fn field(text: &str, key: &str) -> Option<i64> {
    text.split([',', ';'])
        .filter_map(|field| field.split_once('='))
        .find(|(name, _)| name.trim() == key)
        .and_then(|(_, value)| value.trim_end_matches('=').trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_usage_are_summed_by_first_name() {
        let mut quotas = Quotas::default();
        let limits = b"count=5,bytes=100=;byteHardLimit=-1;countHardLimit=7";
        quotas.note("/a/b/zookeeper_limits", limits);
        quotas.note("/a/c/zookeeper_limits", b"count=1,bytes=10");
        quotas.note("/a/b/zookeeper_stats", b"count=2,bytes=9");
        quotas.note("/a/b", b"count=1000,bytes=1000");
        let one = |value| BTreeMap::from([("a".to_owned(), value)]);
        assert_eq!(quotas.count_limit, one(8));
        assert_eq!(quotas.bytes_limit, one(110));
        assert_eq!(quotas.count_usage["a"], 2);
        assert_eq!(quotas.bytes_usage["a"], 9);
    }

    #[test]
    fn sums_that_do_not_fit_end_at_the_largest_number() {
        let mut quotas = Quotas::default();
        let limits = format!("count={0},bytes={0}", i64::MAX);
        quotas.note("/a/b/zookeeper_limits", limits.as_bytes());
        quotas.note("/a/c/zookeeper_limits", limits.as_bytes());
        assert_eq!(quotas.count_limit["a"], i64::MAX);
        assert_eq!(quotas.bytes_limit["a"], i64::MAX);
    }
}
