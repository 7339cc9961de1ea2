//! Assignor guest `range`: per topic, contiguous ranges over the sorted members.
//!
//! The binding needs no `config`; see [`innkeeper_assign::range`].

use innkeeper_assignor::prelude::*;

struct Range;

impl Assignor for Range {
    type Config = Unconfigured;

    fn assign(_config: &Unconfigured, request: &Request) -> Result<Vec<u32>> {
        innkeeper_assign::check(request)?;
        Ok(innkeeper_assign::range(request))
    }
}

innkeeper_assignor::assignor!(Range);
