//! The worlds of `wit/`, as wasmtime's macro makes them: the one place of generated code.
//!
//! The interfaces that worlds share are generated once, with `recipe`, and mapped into the
//! others, so that an assignment request crosses from a recipe to an assignor as it is.
//!
//! Of the host's side only the types are used: its functions are linked by hand ([`crate::link`]).
#![allow(missing_docs, dead_code)]

pub(crate) mod assignor;
pub(crate) mod authorizer;
pub(crate) mod recipe;

pub(crate) use authorizer::innkeeper::guest::authorization;
pub(crate) use recipe::innkeeper::guest::{assignment, assignors, events, log, transaction, types};
