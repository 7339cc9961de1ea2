//! Assignor guest `sticky`: as even as can be, then as few moves as can be.
//!
//! The binding needs no `config`; see [`innkeeper_assign::sticky`].

use innkeeper_assignor::prelude::*;

struct Sticky;

impl Assignor for Sticky {
    type Config = Unconfigured;

    fn assign(_config: &Unconfigured, request: &Request) -> Result<Vec<u32>> {
        innkeeper_assign::check(request)?;
        Ok(innkeeper_assign::sticky(request))
    }
}

innkeeper_assignor::assignor!(Sticky);
