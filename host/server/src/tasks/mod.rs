//! What a node does by itself, beside its clients: one module for each task.

pub(crate) mod disk_room;
pub(crate) mod sweeper;
