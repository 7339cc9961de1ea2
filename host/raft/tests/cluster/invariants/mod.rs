//! What holds whatever happens, one invariant in each file.

pub mod answers;
pub mod bounds;
pub mod groups;
pub mod healed;
pub mod lost;
pub mod members;
pub mod model;
pub mod once;
pub mod one_history;
pub mod real_time;
pub mod zxids;
