//! Assignor guest `round-robin`: all resources dealt in a circle over the sorted members.
//!
//! The binding needs no `config`; see [`innkeeper_assign::round_robin`].

use innkeeper_assignor::prelude::*;

struct RoundRobin;

impl Assignor for RoundRobin {
    type Config = Unconfigured;

    fn assign(_config: &Unconfigured, request: &Request) -> Result<Vec<u32>> {
        innkeeper_assign::check(request)?;
        Ok(innkeeper_assign::round_robin(request))
    }
}

innkeeper_assignor::assignor!(RoundRobin);
