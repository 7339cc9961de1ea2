//! What a guest finds of WASI 0.2: enough for a language runtime to start, and nothing outside.
//!
//! Runtimes of Python, JavaScript, C and others import clocks, randomness, streams, files and
//! sockets whether a guest uses them or not. Their imports meet this stub:
//!
//! 1. [`link()`] looks at what a component imports of the interfaces in [`known`], and defines
//!    each function under the very name and version that it asks for. An interface that is not
//!    known stays undefined, so that linking refuses the component and names it.
//! 2. [`answers`] gives each function that has something to say its answer; any other function
//!    of a known interface can be imported and is a trap that names it when it is called.
//! 3. Each store carries a [`Wasi`]: the time, the randomness and the unfinished lines of
//!    standard output and standard error, which go to the guest's log.
//!
//! Invariants:
//! - Nothing here comes from outside the reaction: the same module with the same events, view
//!   and binding gets the same answers, byte by byte.
//! - Every call is charged, like every other call of the host ([`crate::meter`]).
//! - No handle stands for anything: the rep of a stream says which one it is, all others are 0.
//!
//! **Invariant:** what a guest gets from WASI depends only on what its invocation saw: the same
//! events, view and binding give it the same time and the same random bytes, because decisions are
//! cached and a reaction may run again. (tests:
//! `wasi_shows_the_reactions_time_and_nothing_outside`,
//! `randomness_repeats_for_what_a_reaction_saw_and_differs_for_the_next`,
//! `wasi_is_held_to_the_limits_of_the_binding`)

mod answers;
mod chance;
mod known;
mod lines;
mod link;
mod place;

use crate::budget::{Budget, LogLevel};

use chance::Chance;
use lines::Lines;

pub(crate) use chance::Seed;
pub(crate) use link::link;

/// What the stub knows of one store.
pub(crate) struct Wasi {
    now_ms: u64,
    chance: Chance,
    stdout: Lines,
    stderr: Lines,
}

impl Wasi {
    /// A clock that stands at `now_ms` (milliseconds since 1970), and randomness from `seed`.
    pub(crate) fn new(now_ms: u64, seed: Seed) -> Wasi {
        Wasi {
            now_ms,
            chance: Chance::new(seed),
            stdout: Lines::new(LogLevel::Info),
            stderr: Lines::new(LogLevel::Warn),
        }
    }

    /// Logs what was written without a newline at the end: a call of the guest is over.
    pub(crate) fn end_call(&mut self, budget: &mut Budget) {
        self.stdout.end(budget);
        self.stderr.end(budget);
    }
}
