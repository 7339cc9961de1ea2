//! Limits that all clients share: connect requests, unanswered requests, and large answers.

pub(crate) mod answers;
pub(crate) mod connections;
pub(crate) mod requests;
