//! The registered modules: names that bindings may use, since a quorum holds their bytes.

use std::collections::BTreeMap;

use crate::{Digest, World};

/// What the state knows of a module; its bytes are not in the state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ModuleInfo {
    /// Of the component, in bytes.
    pub size: u64,
    /// What it exports.
    pub world: World,
}

/// All of them, by name.
pub type Modules = BTreeMap<Digest, ModuleInfo>;
