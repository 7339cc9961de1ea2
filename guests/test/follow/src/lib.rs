//! Test guest `follow`: whatever is ephemeral gets a companion that dies with it.
//!
//! Configuration: `{"out": "/mirror"}`. For each event of a path that holds an ephemeral, it
//! creates an ephemeral of the same name below `out`, owned by the same session. What is not
//! ephemeral, and what has a companion, is left alone.

use innkeeper_recipe::prelude::*;

#[derive(Deserialize)]
struct Config {
    out: String,
}

struct Follow;

impl Recipe for Follow {
    type Config = Config;

    fn react(config: Config, tx: &mut dyn Transaction, events: &[Event]) -> Result<()> {
        for event in events {
            let Event::Changed(change) = event else {
                continue;
            };
            let Some(owner) = tx.owner(&change.path)? else {
                continue;
            };
            let name = change.path.rsplit('/').next().unwrap_or_default();
            let companion = format!("{}/{name}", config.out);
            if tx.exists(&companion)?.is_none() {
                let options = CreateOptions {
                    ephemeral: Some(owner),
                    ..CreateOptions::default()
                };
                tx.create(&companion, b"", &options)?;
            }
        }
        Ok(())
    }
}

innkeeper_recipe::recipe!(Follow);
