//! Bounds that clients share: connections, outstanding requests, and large answers.

pub(crate) mod answers;
pub(crate) mod connections;
pub(crate) mod requests;
