//! Quotas: the subtrees that have one, and the texts of their limits and statistics.
//!
//! 1. A client creates `/zookeeper/quota/<path>/zookeeper_limits`: from then on [`Quotas`] has
//!    `<path>`.
//! 2. It creates `zookeeper_stats` beside it: at the end of the command apply counts the
//!    subtree and writes the znodes and bytes there as a [`Track`], whatever the client had put.
//! 3. With each change of a znode below `<path>`, apply adds the difference to the statistics of
//!    the deepest quota above it. The Stat of the statistics' znode stays as it was.
//! 4. A write that enforces quotas is compared with the limits first. Beyond a hard limit it is
//!    refused with QuotaExceeded; beyond a soft limit it is reported.
//!
//! The forms and rules are those of ZooKeeper's `StatsTrack`, `Quotas` and `PathTrie`.
//!
//! **Invariant:** the statistics of a quota equal a recount of its subtree, whichever way znodes
//! were created and deleted there. The quotas depend on the znodes alone, so a restart changes
//! none of them. (tests: `statistics_agree_with_a_recount`,
//! `a_multi_is_held_against_the_limits_before_it`)

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::path;

/// The name of the znode with the limits.
pub(crate) const LIMITS: &str = "zookeeper_limits";
/// The name of the znode with the statistics.
pub(crate) const STATS: &str = "zookeeper_stats";

const COUNT: &str = "count";
const COUNT_HARD_LIMIT: &str = "countHardLimit";
const BYTES: &str = "bytes";
const BYTES_HARD_LIMIT: &str = "byteHardLimit";

/// The longest text, in bytes, that is read as limits or statistics. It is bounded because each
/// write below a quota reads them. ZooKeeper's own texts have fewer than 200 bytes.
const TEXT_BYTES: usize = 4 * 1024;

/// The subtree whose limits or statistics a znode with this path and name holds: the part of its
/// parent's path after `/zookeeper/quota`. It is not empty for limits.
pub(crate) fn subject<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    path.strip_prefix(path::QUOTA)?
        .strip_suffix(name)?
        .strip_suffix('/')
}

/// The path of a quota's limits.
pub(crate) fn limits_path(prefix: &str) -> String {
    format!("{}{prefix}/{LIMITS}", path::QUOTA)
}

/// The path of a quota's statistics.
pub(crate) fn stats_path(prefix: &str) -> String {
    format!("{}{prefix}/{STATS}", path::QUOTA)
}

/// The subtrees that have limits.
///
/// - A subtree is in it exactly while there is a znode with its limits.
/// - `lengths` counts the paths in `by_path` by their lengths in bytes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Quotas {
    /// How many znodes hold limits for each path. There can be several, since ZooKeeper ignores
    /// segments that have only spaces.
    by_path: BTreeMap<String, u32>,
    /// The lengths of the paths with a quota. Only prefixes of these lengths are looked up,
    /// because a deep path has many prefixes.
    lengths: BTreeMap<usize, usize>,
}

/// The changes of one command to [`Quotas`]. They are made after the command has succeeded.
#[derive(Default, Debug)]
pub(crate) struct QuotaEdits {
    /// How many znodes will hold limits for a path; zero if the last one is deleted.
    by_path: BTreeMap<String, u32>,
    /// The lengths of these paths.
    lengths: BTreeSet<usize>,
}

static NO_EDITS: QuotaEdits = QuotaEdits {
    by_path: BTreeMap::new(),
    lengths: BTreeSet::new(),
};

impl QuotaEdits {
    /// One more znode holds limits for the subject.
    pub(crate) fn add(&mut self, subject: &str, before: &Quotas) {
        *self.count(subject, before) += 1;
    }

    /// One znode less holds limits for the subject.
    pub(crate) fn remove(&mut self, subject: &str, before: &Quotas) {
        let count = self.count(subject, before);
        *count = count.saturating_sub(1);
    }

    fn count(&mut self, subject: &str, before: &Quotas) -> &mut u32 {
        let subject = plain(subject);
        self.lengths.insert(subject.len());
        let now = before.by_path.get(&*subject).copied().unwrap_or(0);
        self.by_path.entry(subject.into_owned()).or_insert(now)
    }

    /// Drops the changes, because the command failed.
    pub(crate) fn clear(&mut self) {
        self.by_path.clear();
        self.lengths.clear();
    }
}

impl Quotas {
    /// Is there none? Then nothing is to be looked up.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    /// The subtree for which a znode would state limits; the root can have none.
    pub(crate) fn limited_by(path: &str) -> Option<&str> {
        subject(path, LIMITS).filter(|subject| !subject.is_empty())
    }

    /// One more znode holds limits for the subject.
    pub(crate) fn add(&mut self, subject: &str) {
        let mut edits = QuotaEdits::default();
        edits.add(subject, self);
        self.apply(edits);
    }

    /// The command has succeeded.
    pub(crate) fn apply(&mut self, edits: QuotaEdits) {
        for (path, count) in edits.by_path {
            let len = path.len();
            let of_len = self.lengths.entry(len).or_default();
            match count {
                0 => *of_len -= usize::from(self.by_path.remove(&path).is_some()),
                count => *of_len += usize::from(self.by_path.insert(path, count).is_none()),
            }
            if *of_len == 0 {
                self.lengths.remove(&len);
            }
        }
    }

    /// The deepest subtree with a quota that the path is in.
    pub(crate) fn of(&self, path: &str) -> Option<&str> {
        self.of_after(&NO_EDITS, path)
    }

    /// The path of the quota that holds for a path, as it will be after these edits of quotas.
    /// (test: `edits_are_seen_as_if_applied`)
    pub(crate) fn of_after<'q>(&'q self, edits: &'q QuotaEdits, path: &str) -> Option<&'q str> {
        if self.by_path.is_empty() && edits.by_path.is_empty() {
            return None;
        }
        let path = plain(path);
        let mut longest = path.len();
        loop {
            let ours = self.lengths.range(..=longest).next_back();
            let theirs = edits.lengths.range(..=longest).next_back();
            let len = ours.map(|(len, _)| len).max(theirs).copied()?;
            if len == 0 {
                return None;
            }
            if path.as_bytes().get(len).is_none_or(|next| *next == b'/') {
                let prefix = &path[..len];
                let found = match edits.by_path.get_key_value(prefix) {
                    Some((_, 0)) => None,
                    Some((found, _)) => Some(found),
                    None => self.by_path.get_key_value(prefix).map(|(found, _)| found),
                };
                if let Some(found) = found {
                    return Some(found);
                }
            }
            longest = len - 1;
        }
    }
}

/// The path as ZooKeeper's trie sees it: without segments of nothing but spaces, and with a
/// slash before each.
fn plain(path: &str) -> Cow<'_, str> {
    let is_blank = |segment: &&str| segment.chars().all(|char| char <= ' ');
    let mut segments = path.split('/');
    if segments.next() == Some("") && !segments.any(|segment| is_blank(&segment)) {
        return Cow::Borrowed(path);
    }
    let segments = path.split('/').filter(|segment| !is_blank(segment));
    Cow::Owned(segments.fold(String::new(), |plain, segment| plain + "/" + segment))
}

/// Named numbers in a text: `count=4,bytes=5=;byteHardLimit=10;countHardLimit=10`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Track {
    numbers: BTreeMap<String, i64>,
}

impl Track {
    /// Reads a text; `None` where ZooKeeper's parser fails, or where it is absurdly long.
    /// (tests: `tracks_are_read_and_written_as_zookeeper_does`, `a_long_text_is_no_track`)
    pub(crate) fn parse(text: &[u8]) -> Option<Track> {
        if text.len() > TEXT_BYTES {
            return None;
        }
        let text = String::from_utf8_lossy(text);
        let mut numbers = BTreeMap::new();
        // Java's split: runs of separators are one, and only empty pieces at the end are dropped.
        let text = text.trim_end_matches([',', ';']);
        if text.is_empty() {
            return Some(Track { numbers });
        }
        let mut rest = text;
        loop {
            let (pair, more) = match rest.find([',', ';']) {
                Some(end) => (&rest[..end], rest[end..].trim_start_matches([',', ';'])),
                None => (rest, ""),
            };
            let mut parts = pair.trim_end_matches('=').split('=');
            let key = parts.next()?;
            let number = match parts.next()? {
                "" => -1,
                digits => digits.parse().ok()?,
            };
            numbers.insert(key.to_owned(), number);
            if more.is_empty() {
                return Some(Track { numbers });
            }
            rest = more;
        }
    }

    /// The text, which older parsers can read the beginning of.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{COUNT}={},{BYTES}={}", self.count(), self.bytes());
        let others = self
            .numbers
            .iter()
            .filter(|(key, _)| *key != COUNT && *key != BYTES);
        for (at, (key, number)) in others.enumerate() {
            text += if at == 0 { "=;" } else { ";" };
            text += &format!("{key}={number}");
        }
        text
    }

    pub(crate) fn new(count: i64, bytes: i64) -> Track {
        let mut track = Track::default();
        track.set(count, bytes);
        track
    }

    pub(crate) fn set(&mut self, count: i64, bytes: i64) {
        self.numbers.insert(COUNT.to_owned(), count);
        self.numbers.insert(BYTES.to_owned(), bytes);
    }

    /// -1 where it is not stated, as everywhere here.
    pub(crate) fn count(&self) -> i64 {
        self.get(COUNT)
    }

    pub(crate) fn bytes(&self) -> i64 {
        self.get(BYTES)
    }

    pub(crate) fn count_hard_limit(&self) -> i64 {
        self.get(COUNT_HARD_LIMIT)
    }

    pub(crate) fn bytes_hard_limit(&self) -> i64 {
        self.get(BYTES_HARD_LIMIT)
    }

    fn get(&self, key: &str) -> i64 {
        self.numbers.get(key).copied().unwrap_or(-1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tracks_are_read_and_written_as_zookeeper_does() {
        // Left: what stands in a znode; right: what ZooKeeper 3.9.5's StatsTrack makes of it.
        for (text, again) in [
            ("", Some("count=-1,bytes=-1")),
            ("count=4,bytes=5", Some("count=4,bytes=5")),
            ("bytes=5;count=4", Some("count=4,bytes=5")),
            (
                "count=4,bytes=5=;countHardLimit=10;byteHardLimit=11",
                Some("count=4,bytes=5=;byteHardLimit=11;countHardLimit=10"),
            ),
            ("count==4,bytes=5", Some("count=-1,bytes=5")),
            ("count=+4,,;bytes=-5;;", Some("count=4,bytes=-5")),
            (";;,", Some("count=-1,bytes=-1")),
            ("x=1", Some("count=-1,bytes=-1=;x=1")),
            ("=7", Some("count=-1,bytes=-1=;=7")),
            ("count=1,count=2", Some("count=2,bytes=-1")),
            ("count", None),
            ("count=", None),
            ("=", None),
            (",count=1", None),
            ("count=x", None),
            ("count=1 ", None),
            ("count=9223372036854775808", None),
        ] {
            let track = Track::parse(text.as_bytes()).map(|track| track.text());
            assert_eq!(track.as_deref(), again, "{text:?}");
        }
    }

    #[test]
    fn a_long_text_is_no_track() {
        let longest = format!("count=4,{}=5", "x".repeat(TEXT_BYTES - "count=4,=5".len()));
        assert_eq!(longest.len(), TEXT_BYTES);
        let track = Track::parse(longest.as_bytes()).expect("so long it may be");
        assert_eq!(track.count(), 4);
        assert_eq!(Track::parse(format!("{longest}0").as_bytes()), None);
    }

    #[test]
    fn the_deepest_quota_counts() {
        let mut quotas = Quotas::default();
        assert!(quotas.is_empty() && quotas.of("/a").is_none());
        for path in ["/a", "/a/b/c", "/a/b/c"] {
            quotas.add(path);
        }
        for (path, of) in [
            ("/", None),
            ("/ab", None),
            ("/a", Some("/a")),
            ("/a/b", Some("/a")),
            ("/a/b/c", Some("/a/b/c")),
            ("/a/ /b/c/d", Some("/a/b/c")),
            ("/a/b/cd", Some("/a")),
        ] {
            assert_eq!(quotas.of(path), of, "{path}");
        }
        let remove = |quotas: &mut Quotas, path: &str| {
            let mut edits = QuotaEdits::default();
            edits.remove(path, quotas);
            quotas.apply(edits);
        };
        remove(&mut quotas, "/a/b/c");
        assert_eq!(quotas.of("/a/b/c"), Some("/a/b/c"));
        remove(&mut quotas, "/a/ /b/c");
        assert_eq!(quotas.of("/a/b/c"), Some("/a"));
        remove(&mut quotas, "/x");
        remove(&mut quotas, "/a");
        assert_eq!(quotas, Quotas::default());
    }

    /// What is found by looking at one prefix after the other.
    fn of_slowly(counts: &BTreeMap<String, u32>, path: &str) -> Option<String> {
        let path = plain(path);
        let ends = path.match_indices('/').map(|(at, _)| at);
        let ends: Vec<usize> = ends.chain([path.len()]).filter(|end| *end > 0).collect();
        let prefixes = ends.into_iter().rev().map(|end| &path[..end]);
        let mut limited = prefixes.filter(|prefix| counts.get(*prefix).is_some_and(|n| *n > 0));
        limited.next().map(str::to_owned)
    }

    proptest! {
        #[test]
        fn edits_are_seen_as_if_applied(
            steps in prop::collection::vec((any::<bool>(), "(/(a|bb|é| )){1,4}", any::<bool>()), 0..30),
            paths in prop::collection::vec("/|(/(a|bb|é|b| )){1,6}", 1..10),
        ) {
            let (mut quotas, mut edits) = (Quotas::default(), QuotaEdits::default());
            let mut counts: BTreeMap<String, u32> = BTreeMap::new();
            for (adds, path, ends) in steps {
                let count = counts.entry(plain(&path).into_owned()).or_default();
                if adds {
                    *count += 1;
                    edits.add(&path, &quotas);
                } else {
                    *count = count.saturating_sub(1);
                    edits.remove(&path, &quotas);
                }
                let before = quotas.clone();
                for path in &paths {
                    let after = quotas.of_after(&edits, path).map(str::to_owned);
                    prop_assert_eq!(after, of_slowly(&counts, path), "{}", path);
                }
                prop_assert_eq!(&quotas, &before);
                if ends {
                    quotas.apply(std::mem::take(&mut edits));
                }
            }
            quotas.apply(edits);
            counts.retain(|_, count| *count > 0);
            prop_assert_eq!(&quotas.by_path, &counts);
            let in_lengths: usize = quotas.lengths.values().sum();
            prop_assert_eq!(in_lengths, counts.len());
            for path in &paths {
                let found = quotas.of(path).map(str::to_owned);
                prop_assert_eq!(found, of_slowly(&counts, path), "{}", path);
            }
        }
    }

    #[test]
    fn a_quotas_znodes_name_their_subtree() {
        for (path, of) in [
            ("/zookeeper/quota/a/b/zookeeper_limits", Some("/a/b")),
            ("/zookeeper/quota/zookeeper_limits", None),
            ("/zookeeper/quota/a/zookeeper_stats", None),
            ("/zookeeper/quota/a/xzookeeper_limits", None),
            ("/other/a/zookeeper_limits", None),
        ] {
            assert_eq!(Quotas::limited_by(path), of, "{path}");
        }
        assert_eq!(subject("/zookeeper/quota/zookeeper_stats", STATS), Some(""));
        assert_eq!(
            (limits_path("/a"), stats_path("")),
            (
                "/zookeeper/quota/a/zookeeper_limits".to_owned(),
                "/zookeeper/quota/zookeeper_stats".to_owned()
            )
        );
    }
}
