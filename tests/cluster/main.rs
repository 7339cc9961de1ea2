//! Whole nodes of a group in a simulated world, with clients at every door.

#[path = "../node/common/mod.rs"]
mod common;
mod sessions;
mod stage;
