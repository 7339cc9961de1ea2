//! Counts which operation was answered with which error code, and compares that with the pairs that
//! are possible.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::answer::{Pair, code};

/// The pairs that a server can be made to answer, and those that it cannot, with the reasons.
const PAIRS: &str = include_str!("../pairs.txt");

/// How often each pair occurred.
#[derive(Default)]
pub struct Coverage {
    pairs: BTreeMap<Pair, u64>,
}

impl Coverage {
    /// Adds the pairs of a case.
    pub fn add(&mut self, pairs: HashMap<Pair, u64>) {
        for (pair, count) in pairs {
            *self.pairs.entry(pair).or_default() += count;
        }
    }

    /// The reachable pairs that never occurred.
    pub fn missing(&self) -> Vec<Pair> {
        reachable()
            .into_iter()
            .filter(|pair| !self.pairs.contains_key(pair))
            .collect()
    }

    /// The pairs that occurred and are not listed as reachable.
    pub fn unlisted(&self) -> Vec<Pair> {
        let listed = reachable();
        self.pairs
            .keys()
            .filter(|pair| !listed.contains(pair))
            .cloned()
            .collect()
    }
}

/// `operation: code code …` on each line that is no comment.
fn reachable() -> Vec<Pair> {
    PAIRS
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .filter_map(|line| line.rsplit_once(": "))
        .flat_map(|(operation, codes)| {
            codes
                .split_whitespace()
                .filter_map(|code| code.parse().ok())
                .map(move |code| (operation.to_owned(), code))
        })
        .collect()
}

/// The table: one line per operation.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = "";
        for ((operation, error), count) in &self.pairs {
            if operation != last {
                if !last.is_empty() {
                    writeln!(f)?;
                }
                write!(f, "{operation:<28}")?;
                last = operation;
            }
            write!(f, " {}×{count}", code(*error))?;
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_that_never_came_is_missed_and_one_that_nobody_listed_is_named() {
        let mut coverage = Coverage::default();
        coverage.add(HashMap::from([(("ping".to_owned(), -127), 1)]));
        assert_eq!(coverage.missing(), reachable());
        assert_eq!(coverage.unlisted(), [("ping".to_owned(), -127)]);
        coverage.add(reachable().into_iter().map(|pair| (pair, 1)).collect());
        assert_eq!(coverage.missing(), []);
    }

    #[test]
    fn every_line_of_the_list_is_read() {
        let listed = reachable();
        assert!(listed.contains(&("create".to_owned(), 0)));
        for line in PAIRS.lines() {
            let is_text = line.starts_with('#') || line.trim().is_empty();
            assert!(
                is_text
                    || line.rsplit_once(": ").is_some_and(|(_, codes)| codes
                        .split_whitespace()
                        .all(|code| code.parse::<i32>().is_ok())),
                "{line:?} is neither a comment nor a list of codes"
            );
        }
    }
}
