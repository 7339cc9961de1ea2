//! The demo's guest `runaway`: a recipe that never ends, to show what the host does about it, and
//! that works once its binding says so.
//!
//! Configuration: `{"loops": true, "out": "/runaway/out"}`. Without `loops` it counts its
//! reactions in `out`; with it, what it writes before it loops must never be seen.

use innkeeper_recipe::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    loops: bool,
    out: String,
}

struct Runaway;

impl Recipe for Runaway {
    type Config = Config;

    fn react(config: Config, tx: &mut dyn Transaction, _events: &[Event]) -> Result<()> {
        let count = tx.number(&config.out)?.unwrap_or(0);
        tx.put(&config.out, (count + 1).to_string().as_bytes())?;
        if config.loops {
            let mut turns = 0_u64;
            loop {
                turns = std::hint::black_box(turns.wrapping_add(1));
            }
        }
        Ok(())
    }
}

innkeeper_recipe::recipe!(Runaway);
