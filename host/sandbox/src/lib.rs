//! Guests: wasmtime, the worlds of `wit/`, limits, and the transaction in progress.
//!
//! A module's way: a process of its own runs [`compile_from`], which makes a component of what an
//! author pushed and compiles it; the server keeps both, and [`Sandbox::load`] makes a module of
//! the compiled code, now and at the next start.
//! A guest's way, by world: [`Sandbox::react`], [`Sandbox::assign`], [`AuthorizerSet::decide`].
//!
//! Architecture invariants:
//! - This crate alone uses wasmtime; it knows the tree's views and transactions, but neither
//!   the log nor sockets: nothing that a guest does has an effect before the server proposes
//!   the transaction.
//! - Guests never run inside apply.
//! - What the host does for a guest costs its fuel (`meter`), and no invocation outlasts its
//!   time (`clock`).
//! - An instance is reset by discarding it. A recipe or an assignor gets a fresh store for
//!   each call; an authorizer's instance is dropped at its first trap.
//! - What a guest says leaves this crate as a [`GuestText`]: cut and escaped.
//! - Compiled code is loaded in one place (`artifact`), and only what this node's own compiling
//!   process made, out of its pipe or out of a folder that only this node's user can write: what
//!   comes from outside is WebAssembly, and is compiled here.
//!
//! **Invariant:** a guest has no effect but the transaction or the verdict that it returns, and
//! it reaches only what its binding grants, the absence of a znode included. Modules are
//! untrusted, and a retry must cost nothing. (tests:
//! `what_a_hostile_guest_does_ends_at_its_limit`,
//! `a_component_with_an_unknown_import_is_refused`, `a_hostile_authorizer_fails_alone`)

// They panic where nobody reads any more.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod artifact;
mod assignor;
mod authorizer;
mod budget;
mod clock;
mod compile;
mod engine;
mod failure;
mod fair;
mod link;
mod linked;
mod measure;
mod meter;
mod module;
mod overlay;
mod pool;
mod reads;
mod recipe;
mod refused;
mod settings;
mod state;
mod text;
mod trace;
mod wasi;
mod wit;
mod world;
mod writes;

pub use artifact::{ARTIFACT_BYTES_MAX, Artifact, ArtifactError};
pub use assignor::{
    ActiveAssignor, Assignment, AssignorModule, Assignors, FailedAssignment, Member, NOBODY, Pace,
    Request, Topic, Unavailable, check_request,
};
pub use authorizer::{
    AuthorizerModule, AuthorizerSet, Decided, Decision, Load, Loaded, RunLoad, Undecided,
};
pub use budget::{LogLevel, LogLine, Usage};
pub use clock::Clock;
pub use compile::{
    Answer, BadAnswer, Done, Job, check_pushed, compile_from, component_name, is_core_module,
};
pub use engine::{Sandbox, digest_of};
pub use failure::{FailureKind, GuestFailure, ModuleError};
pub use fair::{Account, AssignorPlace, Place};
pub use measure::Measure;
pub use module::Module;
pub use pool::fingerprint;
pub use recipe::{FailedReaction, Invocation, Reaction, RecipeModule};
pub use settings::Settings;
pub use text::{GUEST_TEXT_BYTES_MAX, GuestText};
