//! The bindings as the state keeps them: of each the wish and what is active.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Zxid;
use crate::binding::Definition;

/// One binding.
///
/// - `wish` is the mzxid of `/innkeeper/bindings/<name>`; there is a binding exactly while
///   there is that znode.
/// - Only what is `active` has effect: it watches, grants, decides.
#[derive(Clone, PartialEq, Debug)]
pub struct Binding {
    /// The znode's name.
    pub name: Arc<str>,
    /// mzxid of the znode: which document is wished.
    pub wish: Zxid,
    /// The znode's document.
    pub wished: Arc<Definition>,
    /// What has effect, if anything has been activated.
    pub active: Option<Active>,
    /// When the binding, its module or a path that it declares as policy last changed: what
    /// decisions are cached on. Zero before the first activation.
    pub policy_zxid: Zxid,
    /// The assignors that the last reaction called.
    pub called: Vec<Arc<str>>,
}

/// A definition that has effect.
#[derive(Clone, PartialEq, Debug)]
pub struct Active {
    /// The zxid of the Activate command.
    pub activation: Zxid,
    /// mzxid of the document that was activated.
    pub wish: Zxid,
    /// The document.
    pub definition: Arc<Definition>,
}

impl Binding {
    /// Does the document wish for something else than what is active?
    pub fn is_pending(&self) -> bool {
        self.active
            .as_ref()
            .is_none_or(|active| active.wish != self.wish)
    }
}

/// All bindings, by name.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Bindings {
    by_name: BTreeMap<Arc<str>, Arc<Binding>>,
}

impl Bindings {
    /// The binding of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Binding>> {
        self.by_name.get(name)
    }

    /// All, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Binding>> {
        self.by_name.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(crate) fn insert(&mut self, binding: Binding) {
        self.by_name.insert(binding.name.clone(), Arc::new(binding));
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Arc<Binding>> {
        self.by_name.remove(name)
    }
}
