//! Test guest `hostile-assignor`: an assignor that misbehaves.
//!
//! Configuration: `{"mode": "loop"}`, the modes being those of [`Misbehaviour`]. Mode `none`
//! gives everything to the first member.

use innkeeper_assignor::prelude::*;
use test_support::Misbehaviour;

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    mode: Misbehaviour,
}

struct Hostile;

impl Assignor for Hostile {
    type Config = Config;

    fn assign(config: &Config, request: &Request) -> Result<Vec<u32>> {
        config.mode.act()?;
        let resources: u32 = request.topics.iter().map(|topic| topic.count).sum();
        let short = u32::from(config.mode == Misbehaviour::Answer);
        let owner = if request.members.is_empty() { NONE } else { 0 };
        Ok(vec![owner; resources.saturating_sub(short) as usize])
    }
}

innkeeper_assignor::assignor!(Hostile);
