//! Whole nodes of a group in a simulated world, with clients at every door: scenes, and runs that are
//! drawn from a seed.

mod authorizers;
#[path = "../guests.rs"]
mod built;
#[path = "../node/common/mod.rs"]
mod common;
mod denials;
mod drawn;
#[path = "../emptied.rs"]
mod emptied;
mod ends;
mod guests;
mod operators;
mod pushes;
#[path = "../seeds.rs"]
mod seeds;
mod sessions;
mod silences;
mod stage;
