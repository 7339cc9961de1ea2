//! What recipes and assignors share: the request.

pub use crate::bindings::innkeeper::guest::assignment::{Member, Request, Topic};

/// In an answer: nobody owns this resource.
pub const NONE: u32 = u32::MAX;
