//! Limits that all clients share: connect requests, unanswered requests, large answers, and turns.

pub(crate) mod answers;
pub(crate) mod connections;
pub(crate) mod requests;
pub(crate) mod turns;
