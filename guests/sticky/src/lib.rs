//! Assignor guest `sticky`: as even as can be, then as few moves as can be.
//!
//! The binding needs no `config`; see [`innkeeper_assign::sticky`].

use innkeeper_guest::prelude::*;

struct Sticky;

impl Assignor for Sticky {
    type Config = Unconfigured;

    fn assign(_config: &Unconfigured, request: &AssignRequest) -> Result<Vec<u32>> {
        innkeeper_assign::check(request)?;
        Ok(innkeeper_assign::sticky(request))
    }
}

innkeeper_guest::assignor!(Sticky);
