//! Test guest `hostile`: a recipe that misbehaves.
//!
//! Configuration: `{"mode": "loop", "out": "/hostile"}`, the modes being those of
//! [`Misbehaviour`]. Mode `none` counts its reactions in `out`. What it writes before it
//! misbehaves must never be seen: `misbehaved` in `out`.

use innkeeper_recipe::prelude::*;
use test_support::Misbehaviour;

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    mode: Misbehaviour,
    out: String,
}

struct Hostile;

impl Recipe for Hostile {
    type Config = Config;

    fn react(config: Config, tx: &mut dyn Transaction, _events: &[Event]) -> Result<()> {
        if config.mode == Misbehaviour::None {
            let count = tx.number(&config.out)?.unwrap_or(0);
            tx.put(&config.out, (count + 1).to_string().as_bytes())?;
            return Ok(());
        }
        tx.put(&config.out, b"misbehaved")?;
        match config.mode {
            Misbehaviour::Reads => loop {
                tx.get(&config.out)?;
            },
            Misbehaviour::Writes => {
                let data = vec![b'x'; 512 << 10];
                loop {
                    tx.set(&config.out, &data, None)?;
                }
            }
            Misbehaviour::Children => loop {
                tx.children(&config.out)?;
            },
            Misbehaviour::Scan => loop {
                tx.scan(&config.out)?;
            },
            // It has children, so it stays.
            Misbehaviour::Deletes => loop {
                let _ = tx.delete(&config.out, None);
            },
            Misbehaviour::Forbidden => Err(match tx.get("/forbidden") {
                Ok(_) => "I could read /forbidden".into(),
                Err(error) => error,
            }),
            Misbehaviour::Peek => {
                let _ = tx.get("/forbidden");
                Ok(())
            }
            Misbehaviour::Answer => Err("x".repeat(1 << 20).into()),
            mode => mode.act(),
        }
    }
}

innkeeper_recipe::recipe!(Hostile);
