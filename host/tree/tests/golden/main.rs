//! Runs the golden scripts of `tests/scripts`. Those in `client/` use only what a ZooKeeper
//! client can do and see: `make golden-check` replays them against a real ZooKeeper
//! (`tests/golden_check.py`), so their expected output is ZooKeeper's as well as ours.
//!
//! Zxids are printed as `z1`, `z2` … in the order in which a script first shows them, sessions
//! by the prefix of the commands that they run. `UPDATE_GOLDENFILES=1` writes the output anew.

mod guests;
mod show;
mod state;
mod world;

use std::error::Error;
use std::path::Path;

use goldenscript::{Command, Context, Runner};

use world::World;

impl Runner for World {
    type Command = Command;

    fn run(&mut self, command: &Command, context: &Context) -> Result<String, Box<dyn Error>> {
        self.command(command, context.prefix.as_deref().unwrap_or("s"))
    }
}

fn run_folder(folder: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/scripts")
        .join(folder);
    let mut scripts: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of scripts is there")
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.is_file())
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "no scripts in {}", folder.display());
    for script in scripts {
        println!("{}", script.display());
        goldenscript::run(&mut World::new(), &script)
            .unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    }
}

#[test]
fn client_scripts() {
    run_folder("client");
}

#[test]
fn state_scripts() {
    run_folder("state");
}
