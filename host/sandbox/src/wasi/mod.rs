//! What a guest finds of WASI 0.2: enough for a language runtime to start, and nothing outside.
//!
//! Runtimes of Python, JavaScript, C and others import clocks, randomness, streams, files and
//! sockets whether a guest uses them or not. Their imports meet this stub:
//!
//! 1. [`link`] looks at what a component imports of the interfaces in [`known`], and defines
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
//! **Invariant:** what a guest finds of WASI depends on nothing but what its invocation saw: the
//! same events, view and binding give it the same time and the same random bytes. Decisions are
//! cached, and a reaction may run again. (tests:
//! `wasi_shows_the_reactions_time_and_nothing_outside`,
//! `randomness_repeats_for_what_a_reaction_saw_and_differs_for_the_next`,
//! `wasi_is_held_to_the_limits_of_the_binding`)

mod answers;
mod chance;
mod known;
mod lines;
mod place;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

use crate::budget::{Budget, LogLevel};
use crate::state::State;

use chance::Chance;
use known::Interface;
use lines::Lines;
use place::Place;

pub(crate) use chance::Seed;

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

/// The linker of a world, with what `component` imports of WASI besides.
pub(crate) fn link<T: State>(
    linker: &Linker<T>,
    component: &Component,
) -> wasmtime::Result<Linker<T>> {
    let mut linker = linker.clone();
    let engine = component.engine();
    for (name, import) in component.component_type().imports(engine) {
        let (Some(interface), ComponentItem::ComponentInstance(instance)) =
            (Interface::named(name), import.ty)
        else {
            continue;
        };
        let mut defined = linker.instance(name)?;
        for (item, export) in instance.exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(_) => {
                    let mut at = Place {
                        instance: &mut defined,
                        interface: interface.name(),
                        name: item,
                    };
                    if !answers::define(&mut at)? {
                        at.refuse(name)?;
                    }
                }
                // A resource that another interface owns comes from there.
                ComponentItem::Resource(_) => {
                    if let Some(resource) = interface.resource(item) {
                        defined.resource(item, resource, |_, _| Ok(()))?;
                    }
                }
                _ => {}
            }
        }
    }
    Ok(linker)
}
