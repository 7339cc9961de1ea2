//! One guest in as many builds as there are constants.

use innkeeper_recipe::prelude::*;

/// The configuration of a [`Stamp`].
#[derive(Deserialize)]
pub struct Config {
    out: String,
}

/// Test guest `stamp`, in a build of its own for each `CONSTANT`, so that a test can see
/// which module reacted.
///
/// Configuration: `{"out": "/stamps"}`. For each event that names a path, it sets the znode of
/// the same name below `out` (made if there is none) to the constant, even if it holds it
/// already: its mzxid says when. A resync does nothing.
pub struct Stamp<const CONSTANT: u64>;

impl<const CONSTANT: u64> Recipe for Stamp<CONSTANT> {
    type Config = Config;

    fn react(config: Config, tx: &mut dyn Transaction, events: &[Event]) -> Result<()> {
        let constant = CONSTANT.to_string();
        for event in events {
            let Event::Changed(change) = event else {
                continue;
            };
            let name = change.path.rsplit('/').next().unwrap_or_default();
            let path = format!("{}/{name}", config.out);
            if tx.exists(&path)?.is_some() {
                tx.set(&path, constant.as_bytes(), None)?;
            } else {
                tx.create(&path, constant.as_bytes(), &CreateOptions::default())?;
            }
        }
        Ok(())
    }
}
