//! The demo's guest `confirm`: counts its reactions to each znode, so that anybody can see that there
//! was exactly one.
//!
//! Configuration: `{"out": "/confirmed"}`. For an event of `/orders/o-7` the guest adds one to the
//! number in `/confirmed/o-7`, which it creates at the first event.

use innkeeper_recipe::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    out: String,
}

struct Confirm;

impl Recipe for Confirm {
    type Config = Config;

    fn react(config: Config, tx: &mut dyn Transaction, events: &[Event]) -> Result<()> {
        for event in events {
            // What was there before the binding is not counted.
            let Event::Changed(change) = event else {
                continue;
            };
            let name = change.path.rsplit('/').next().unwrap_or_default();
            let out = format!("{}/{name}", config.out);
            let count = tx.number(&out)?.unwrap_or(0);
            tx.put(&out, (count + 1).to_string().as_bytes())?;
        }
        Ok(())
    }
}

innkeeper_recipe::recipe!(Confirm);

#[cfg(test)]
mod tests {
    use innkeeper_guest::testing::Memory;

    use super::*;

    #[test]
    fn each_event_is_counted_at_its_own_znode() {
        let mut tree = Memory::new();
        tree.make("/confirmed", b"");
        let event = |path: &str| {
            Event::Changed(Change {
                path: path.to_owned(),
                kinds: Kinds::CREATED,
                zxid: 1,
            })
        };
        for events in [
            vec![Event::Resync],
            vec![event("/orders/a"), event("/orders/b")],
            vec![event("/orders/b")],
        ] {
            let config = Config {
                out: "/confirmed".to_owned(),
            };
            tree.attempt(|tx| Confirm::react(config, tx, &events))
                .unwrap();
        }
        assert_eq!(tree.data("/confirmed/a"), Some(b"1".as_slice()));
        assert_eq!(tree.data("/confirmed/b"), Some(b"2".as_slice()));
    }
}
