//! Which seeds a drawn test runs.

use std::ops::Range;

/// The seeds that `INNKEEPER_SEEDS=FROM..TO` asks for, or those of `make test`.
pub fn asked(of_make_test: &Range<u64>) -> Range<u64> {
    let Ok(asked) = std::env::var("INNKEEPER_SEEDS") else {
        return of_make_test.clone();
    };
    let numbers = asked.split_once("..").and_then(|(from, to)| {
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        (from < to).then_some(from..to)
    });
    numbers.unwrap_or_else(|| panic!("INNKEEPER_SEEDS={asked} is no range such as 100..200"))
}
