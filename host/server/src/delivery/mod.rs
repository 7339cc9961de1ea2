//! From apply to the connections: watch events, results of writes, and what the node's own parts wait for.

pub mod binding_listener;
pub mod fanout;
pub(crate) mod outbox;
pub mod pending_proposals;
pub(crate) mod quota_log;
pub(crate) mod watches;
