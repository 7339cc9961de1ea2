//! Assignor guest `range`: per topic, contiguous ranges over the sorted members.
//!
//! The binding needs no `config`; see [`innkeeper_assign::range`].

use innkeeper_guest::prelude::*;

struct Range;

impl Assignor for Range {
    type Config = Unconfigured;

    fn assign(_config: &Unconfigured, request: &AssignRequest) -> Result<Vec<u32>> {
        innkeeper_assign::check(request)?;
        Ok(innkeeper_assign::range(request))
    }
}

innkeeper_guest::assignor!(Range);
