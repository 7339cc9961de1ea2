//! What a guest can do wrong, to be chosen by its configuration.

use std::hint::black_box;

use innkeeper_guest::prelude::*;

/// What the guest does: `{"mode": "loop"}`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Misbehaviour {
    /// Nothing wrong.
    #[default]
    None,
    /// Never returns, and calls nobody.
    Loop,
    /// Takes memory, and touches it, until there is none.
    Bomb,
    /// Panics.
    Trap,
    /// Logs a line that looks like one of the node's own, clears the terminal, and returns the
    /// same as its error.
    Forge,
    /// Calls itself until the stack is used up.
    Stack,
    /// Logs for ever.
    Flood,
    /// Returns err (an authorizer's `decide`: deny).
    Fail,
    /// Recipes: reads for ever.
    Reads,
    /// Recipes: writes a znode of 512 KiB for ever.
    Writes,
    /// Recipes: lists the children of `out` for ever.
    Children,
    /// Recipes: scans all below `out` for ever.
    Scan,
    /// Recipes: tries for ever to delete `out`, which has children.
    Deletes,
    /// Recipes: reads `/forbidden`, and says as its error what came of it.
    Forbidden,
    /// Recipes: reads `/forbidden` and goes on, whatever came of it.
    Peek,
    /// Assignors: answers with an entry too few. Recipes: returns a megabyte as its error.
    Answer,
}

impl Misbehaviour {
    /// Does what any guest can do wrong.
    ///
    /// # Errors
    /// For [`Misbehaviour::Fail`].
    pub fn act(self) -> Result<()> {
        match self {
            Self::Loop => loop {
                black_box(0);
            },
            Self::Bomb => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(vec![1_u8; 1 << 20]);
                    black_box(&hoard);
                }
            }
            Self::Trap => panic!("as told"),
            Self::Stack => {
                black_box(descend(0));
            }
            Self::Flood => loop {
                log::info("x".repeat(1_000));
            },
            Self::Forge => {
                log::info(FORGED);
                return Err(FORGED.into());
            }
            Self::Fail => return Err("I fail, as told".into()),
            _ => {}
        }
        Ok(())
    }
}

/// A second line as the node would write it, then: set the window's title, clear the screen,
/// print from right to left.
pub const FORGED: &str =
    "good\n2026-11-26T00:00:00Z ERROR raft: the disk is full\r\u{1b}]0;x\u{7}\u{1b}[2J\u{202e}";

#[inline(never)]
fn descend(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX {
        return 0;
    }
    black_box(descend(depth + 1)) + 1
}
