//! The server: sockets, sessions, reads, watches, guests, administration.
//!
//! A client's request, from its socket and back to it:
//! 1. `listener` accepts; `connection` reads frames and connects the client to a session.
//! 2. `session` keeps the order of its requests. Reads are answered from a view; writes pass
//!    the [`gate`] and go to raft's door as numbered commands.
//! 3. Apply comes back through the [`delivery`]: watch events and results are put into each
//!    session's outbox, the new view is published, the connections are woken.
//! 4. The session merges what arrived with what it reads, in zxid order, and one write takes it
//!    to the socket.
//!
//! Beside it: `expiry` ends silent sessions, [`tickets`] tells the node's own parts what
//! became of their proposals, [`node`] puts everything together.

// They panic where nobody reads any more.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod clients;
mod expiry;
mod local_sessions;
mod sessions;
mod socket;
mod streams;

mod terminal;
mod throttle;

pub mod addresses;
pub mod admin;
pub mod authorization;
pub mod cli;
pub mod connections;
pub mod delivery;
pub mod demo;
pub mod embedded;
pub mod guests;
pub mod node;
pub mod protocol;
pub mod quorum;
pub mod replicated;
pub mod service;
pub mod settings;
pub mod stats;
pub mod tasks;
pub mod words;

pub use node::{Node, StartError};
pub use settings::{CompileSettings, NodeSettings};
