//! ZooKeeper's service of one node: sockets, sessions, reads, writes and watches. It knows no guest
//! and no HTTP.
//!
//! A client's request, from its socket and back to it:
//! 1. [`connections`] accepts the client, reads frames, and connects it to a session.
//! 2. `sessions` keeps the order of its requests. Reads are answered from a view. Writes pass the
//!    [`authorization`] and go to raft's [`Proposals`](innkeeper_raft::Proposals) as numbered
//!    commands.
//! 3. Apply's results come back through [`delivery`]: watch events and results are put into each
//!    session's outbox, the new view is published, and the connections are woken.
//! 4. The session merges these with the answers to its reads, in zxid order, and one write takes
//!    them to the `socket`.
//!
//! Beside these, `expiry` finds silent sessions, with the `reports` of other nodes, [`tasks`] run in the background, [`inspect`]
//! answers operators, and the [`service`] is what all parts share.

// They panic where nobody reads any more.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod addresses;
pub mod authorization;
mod clients;
pub mod connections;
pub mod copies;
pub mod delivery;
mod expiry;
pub mod four_letter_words;
pub mod inspect;
mod local_sessions;
pub mod protocol;
pub mod quorum;
pub mod replicated;
mod reports;
pub mod service;
mod sessions;
pub mod settings;
mod socket;
pub mod stats;
pub mod tasks;
mod throttle;
