//! The replicated state: znodes, sessions, ACLs, bindings and their event queues.

pub mod acl;
pub mod applied;
pub mod binding;
pub mod bindings;
pub mod command;
pub mod ids;
pub mod modules;
mod names;
pub mod path;
pub mod pattern;
pub mod queue;
pub mod record;
pub mod session;
pub mod transaction;

pub use ids::{Digest, SessionId, Ticket, Zxid};
pub use names::{NameError, World};
pub use queue::QueueEntry;
pub use record::{Record, Table};
