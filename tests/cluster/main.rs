//! Whole nodes of a group in a simulated world, with clients at every door.

#[path = "../guests.rs"]
mod built;
#[path = "../node/common/mod.rs"]
mod common;
mod guests;
mod sessions;
mod stage;
