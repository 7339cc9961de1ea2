//! Hostile guests, documents and modules: each harms only its own binding.
//!
//! There is one file for each kind of harm. It holds a table of cases, and one node runs all cases
//! of the table, beside a harmless binding and a plain client (`arena.rs`). Guests are text
//! (`wat.rs`), or test guests of `guests/test` that do what their configuration says.

#![allow(
    clippy::disallowed_methods,
    reason = "a test is a client and an operator, not a node"
)]

#[path = "../guests.rs"]
mod guests;
#[path = "../guarantees/support.rs"]
mod support;

mod abi;
mod arena;
mod assignors;
mod authorizers;
mod bombs;
mod case;
mod compiling;
mod cpu;
mod documents;
mod failures;
mod host_work;
mod logs;
mod memory;
mod modules;
mod paths;
mod records;
mod shares;
mod sizes;
mod traps;
mod wat;
mod writes;
