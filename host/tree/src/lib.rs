//! The replicated state: znodes, sessions, ACLs, bindings and their event queues. This crate is
//! pure: it has no clock, no randomness and no I/O. Times and random bytes come in the commands.
//!
//! 1. A [`command::Command`] comes out of the log.
//! 2. [`Tree::apply`] changes the state under the next zxid. It returns an [`applied::Applied`]:
//!    the answer, the watch events, and the guests to wake.
//! 3. [`Tree::publish`] makes the changes visible to [`Reader`]s. A reader gives out [`View`]s,
//!    and each view shows the whole state at one zxid.
//! 4. [`Tree::capture`] lists the records that a checkpoint must write; [`Tree::restore`] reads
//!    them back.
//!
//! **Invariant:** apply is deterministic and total, and every command takes exactly one zxid,
//! failures included. A client's mistake is a reply; a panic in apply stops the node. Otherwise
//! replicas would diverge, and a gap in the zxids would be one more state to handle. (tests:
//! `nothing_breaks_the_state`, `clients_see_what_the_model_says`)
//!
//! **Invariant:** a view is of one zxid, whatever is applied meanwhile, and taking one costs no
//! lock. (test: `every_view_is_of_one_moment`)

// `println!` and its like panic when the reader of the output has closed it.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod access;
pub mod acl;
pub mod applied;
mod apply;
pub mod binding;
pub mod bindings;
mod capture;
pub mod command;
pub mod encoding;
pub mod footprint;
pub mod group;
mod horizon;
pub mod ids;
pub mod modules;
mod names;
pub mod owner;
pub mod path;
pub mod pattern;
pub mod queue;
mod quota;
pub mod record;
pub mod session;
mod store;
pub mod text;
pub mod transaction;
mod tree;
mod view;
mod znode;

pub use access::Access;
pub use acl::AclRef;
pub use applied::Applied;
pub use bindings::{Active, Binding, Bindings};
pub use capture::{Capture, RestoreError};
pub use command::{Command, Identity, Operation};
pub use ids::{Digest, SessionId, Ticket, Zxid};
pub use modules::{ModuleInfo, Modules};
pub use names::{NameError, World};
pub use queue::QueueEntry;
pub use record::{Record, Table};
pub use session::SessionInfo;
pub use transaction::Transaction;
pub use tree::{Stats, Tree};
pub use view::{Listing, Place, Reader, View};
pub use znode::{Children, Znode};
