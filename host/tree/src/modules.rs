//! The registered modules. Bindings may name them, because a quorum of nodes stores their bytes.

use std::collections::BTreeMap;

use crate::{Digest, World};

/// A registered module. The module's bytes are not part of the state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ModuleInfo {
    /// The component's size in bytes.
    pub size: u64,
    /// The world that the module exports.
    pub world: World,
}

/// All registered modules by their names.
pub type Modules = BTreeMap<Digest, ModuleInfo>;
