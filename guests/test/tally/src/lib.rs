//! Test guest `tally`: counts its events, so that a test can see whether each was reacted to
//! exactly once.
//!
//! Configuration: `{"counter": "/tally", "resyncs": "/tally-resyncs"}`. The first znode holds
//! how many events came that name a path, the second how many resyncs; both are decimal
//! numbers, made when first needed. A resync does nothing else: what was there before the
//! binding is not counted, and a test that expects no resync but that of the binding's
//! creation finds `1` in the second znode.

use innkeeper_recipe::prelude::*;

#[derive(Deserialize)]
struct Config {
    counter: String,
    resyncs: String,
}

struct Tally;

impl Recipe for Tally {
    type Config = Config;

    fn react(config: Config, tx: &mut dyn Transaction, events: &[Event]) -> Result<()> {
        let resyncs = events
            .iter()
            .filter(|event| **event == Event::Resync)
            .count();
        add(tx, &config.counter, events.len() - resyncs)?;
        add(tx, &config.resyncs, resyncs)
    }
}

fn add(tx: &mut dyn Transaction, path: &str, events: usize) -> Result<()> {
    if events == 0 {
        return Ok(());
    }
    let count = tx.number(path)?.unwrap_or(0);
    tx.put(path, (count + events as u64).to_string().as_bytes())?;
    Ok(())
}

innkeeper_recipe::recipe!(Tally);

#[cfg(test)]
mod tests {
    use innkeeper_guest::testing::Memory;

    use super::*;

    #[test]
    fn events_and_resyncs_are_counted_apart() {
        let mut tree = Memory::new();
        let event = |path: &str| {
            Event::Changed(Change {
                path: path.to_owned(),
                kinds: Kinds::CREATED,
                zxid: 1,
            })
        };
        for events in [
            vec![Event::Resync],
            vec![event("/a"), event("/b")],
            vec![event("/c")],
        ] {
            let config = Config {
                counter: "/n".to_owned(),
                resyncs: "/r".to_owned(),
            };
            tree.attempt(|tx| Tally::react(config, tx, &events))
                .unwrap();
        }
        assert_eq!(tree.data("/n"), Some(b"3".as_slice()));
        assert_eq!(tree.data("/r"), Some(b"1".as_slice()));
    }
}
