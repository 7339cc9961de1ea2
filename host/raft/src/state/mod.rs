//! The state: the tree in memory, and `state.redb`, which follows it.
//!
//! See [`StateMachine`] for how entries become changes, and the checkpointer for how changes
//! reach the disk.

pub(crate) mod backend;
mod checkpoint;
mod machine;
mod snapshot;
mod store;

pub(crate) use checkpoint::Checkpointer;
pub(crate) use machine::StateShared;
pub use machine::{CheckpointBuilder, StateMachine};
pub use snapshot::SnapshotData;
