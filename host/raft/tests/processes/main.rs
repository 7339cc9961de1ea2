//! Three replicas in three processes on loopback, with real sockets, files and signals.
//!
//! This test program starts itself as the processes ([`child`]), and a [`driver`] talks to them by
//! lines. [`faults`] kills, stops and cuts them off, in
//! [`refusals`] they refuse each other; [`measure`] is what `make bench-raft` runs.

mod child;
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod driver;
mod faults;
mod measure;
mod orders;
mod proxy;
mod refusals;
mod stranger;
