//! The server: sockets, sessions, reads, watches, guests, administration.
//!
//! A client's request, from its socket and back to it:
//! 1. `listener` accepts; `connection` reads frames and connects the client to a session.
//! 2. `session` keeps the order of its requests. Reads are answered from a view; writes pass
//!    the [`gate`] and go to raft's door as numbered commands.
//! 3. Apply comes back through the [`fanout`]: watch events and results are put into each
//!    session's outbox, the new view is published, the connections are woken.
//! 4. The session merges what arrived with what it reads, in zxid order, and one write takes it
//!    to the socket.
//!
//! Beside it: `expiry` ends silent sessions, [`tickets`] tells the node's own parts what
//! became of their proposals, [`node`] puts everything together.

// They panic where nobody reads any more.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod address;
mod admission;
mod answers;
mod auth;
mod clients;
mod connection;
mod connection_throttle;
mod expiry;
mod java;
mod listener;
mod local;
mod metrics;
mod outbox;
mod quota_log;
mod room;
mod sasl;
mod session;
mod streams;
mod sweeper;
mod terminal;
mod throttle;
mod tls;
mod utc;
mod watches;
mod wire;
mod words;

pub mod admin;
pub mod cli;
pub mod core;
pub mod demo;
pub mod embedded;
pub mod fanout;
pub mod figures;
pub mod gate;
pub mod guests;
pub mod hooks;
pub mod node;
pub mod protocol;
pub mod quorum;
pub mod settings;
pub mod tickets;

pub use auth::{AuthError, AuthSettings, BadValue, DigestAlgorithm, Secret};
pub use node::{Node, StartError};
pub use settings::{CompileSettings, NodeSettings};
pub use tls::{ClientAuth, StoreError, StoreSettings, TlsError, TlsSettings};
