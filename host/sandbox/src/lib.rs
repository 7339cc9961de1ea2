//! Guests: wasmtime, the worlds of `wit/`, limits, and the transaction in progress.
//!
//! A module's way: [`Sandbox::accept`] makes a component of what an author pushed and compiles
//! it; the server keeps the bytes and, on each start, calls [`Sandbox::compile`] for them.
//! A guest's way, by world: [`Sandbox::react`], [`Sandbox::assign`], [`AuthorizerSet::decide`].
//!
//! Architecture invariants:
//! - This crate alone uses wasmtime; it knows the tree's views and transactions, but neither
//!   the log nor sockets: nothing that a guest does has an effect before the server proposes
//!   the transaction.
//! - Guests never run inside apply.
//! - An instance is reset by discarding it. A recipe or an assignor gets a fresh store for
//!   each call; an authorizer's instance is dropped at its first trap.
//! - No compiled code is ever loaded from outside: modules are compiled on the node that
//!   runs them.

// First: its macro is used by the modules below.
#[macro_use]
mod imports;

mod assignor;
mod authorizer;
mod budget;
mod engine;
mod failure;
mod overlay;
mod reads;
mod recipe;
mod settings;
mod wit;

pub use assignor::{
    ActiveAssignor, Assignment, Assignors, Member, NOBODY, Pace, Request, Topic, Unavailable,
    check_request,
};
pub use authorizer::{AuthorizerSet, Decided, Decision, Operation, Undecided};
pub use budget::{LogLevel, LogLine, Usage};
pub use engine::{Module, Sandbox, digest_of};
pub use failure::{FailureKind, GuestFailure, ModuleError};
pub use recipe::{FailedReaction, Invocation, Reaction};
pub use settings::Settings;
