//! What the modules of all worlds have: a component whose imports are bound to host functions.

use std::fmt;

use innkeeper_tree::Digest;

use crate::engine::Yielding;

/// A linked component, ready to be instantiated; `P` is wasmtime's type for that, by world.
pub(crate) struct Linked<P> {
    /// The SHA-256 of the component.
    pub(crate) digest: Digest,
    /// How its guests yield.
    pub(crate) yielding: Yielding,
    /// What makes an instance.
    pub(crate) pre: P,
}

impl<P> fmt::Debug for Linked<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linked")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
