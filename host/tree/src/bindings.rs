//! The bindings as the state keeps them: of each the wish and what is active.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::binding::{Definition, is_system};
use crate::pattern::PatternIndex;
use crate::{Digest, World, Zxid, path};

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

    /// The modules that it names: the one that acts, then the one that its document wishes for if
    /// that is another.
    pub fn modules(&self) -> impl Iterator<Item = Digest> {
        let active = self.active.as_ref().map(|active| active.definition.module);
        let wished = Some(self.wished.module).filter(|wished| Some(*wished) != active);
        active.into_iter().chain(wished)
    }

    /// Whether it names that module.
    pub fn names(&self, module: Digest) -> bool {
        self.modules().any(|named| named == module)
    }
}

/// All bindings, by name, and which of the active ones a path concerns.
#[derive(Clone, Default, Debug)]
pub struct Bindings {
    by_name: BTreeMap<Arc<str>, Arc<Binding>>,
    active: Arc<ActiveIndex>,
}

/// The patterns of all active definitions. It changes with activations only, so that a new
/// policy_zxid copies no more than the map of names.
#[derive(Default, Debug)]
struct ActiveIndex {
    recipes: PatternIndex<Arc<str>>,
    authorizers: PatternIndex<Arc<str>>,
    policies: PatternIndex<Arc<str>>,
}

impl Bindings {
    /// The binding of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Binding>> {
        self.by_name.get(name)
    }

    /// What is active under that name.
    pub fn active(&self, name: &str) -> Option<&Active> {
        self.by_name.get(name)?.active.as_ref()
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

    /// Is any authorizer active? If not, no path has one.
    pub fn has_authorizers(&self) -> bool {
        !self.active.authorizers.is_empty()
    }

    /// Is any recipe active?
    pub fn has_recipes(&self) -> bool {
        !self.active.recipes.is_empty()
    }

    /// Does any active authorizer have a policy in the tree?
    pub fn has_policies(&self) -> bool {
        !self.active.policies.is_empty()
    }

    /// The active authorizers whose paths cover this one, by name.
    pub fn authorizers_of(&self, path: &str) -> SmallVec<[&Arc<Binding>; 4]> {
        self.named(&self.active.authorizers, path)
    }

    /// The active recipes that watch this path, by name.
    pub fn recipes_of(&self, path: &str) -> SmallVec<[&Arc<Binding>; 4]> {
        if is_system(path) {
            return SmallVec::new();
        }
        self.named(&self.active.recipes, path)
    }

    /// The active authorizers to whose policy a path belongs: one of their policy patterns
    /// matches it or a znode above it. By name.
    pub fn policies_of(&self, path: &str) -> SmallVec<[&Arc<Binding>; 4]> {
        let mut found: SmallVec<[&Arc<Binding>; 4]> = SmallVec::new();
        if self.has_policies() {
            let mut above = path;
            loop {
                found.extend(self.named(&self.active.policies, above));
                if above == path::ROOT {
                    break;
                }
                above = path::parent(above);
            }
            found.sort_unstable_by(|a: &&Arc<Binding>, b| a.name.cmp(&b.name));
            found.dedup_by(|a, b| a.name == b.name);
        }
        found
    }

    /// The greatest policy_zxid among the active authorizers whose paths cover this one; zero
    /// where none does.
    pub fn policy_zxid_of(&self, path: &str) -> Zxid {
        if !self.has_authorizers() {
            return Zxid(0);
        }
        self.authorizers_of(path)
            .iter()
            .map(|binding| binding.policy_zxid)
            .max()
            .unwrap_or_default()
    }

    fn named(&self, index: &PatternIndex<Arc<str>>, path: &str) -> SmallVec<[&Arc<Binding>; 4]> {
        index
            .find(path)
            .into_iter()
            .filter_map(|name| self.by_name.get(name))
            .collect()
    }

    /// Stores a binding whose active definition is what it was.
    pub(crate) fn insert(&mut self, binding: Binding) {
        self.by_name.insert(binding.name.clone(), Arc::new(binding));
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Arc<Binding>> {
        self.by_name.remove(name)
    }

    /// To be called when an active definition came, changed or went.
    pub(crate) fn reindex(&mut self) {
        let mut index = ActiveIndex::default();
        for binding in self.by_name.values() {
            let Some(Active { definition, .. }) = &binding.active else {
                continue;
            };
            let into = match definition.world {
                World::Recipe => &mut index.recipes,
                World::Authorizer => &mut index.authorizers,
                World::Assignor => continue,
            };
            for pattern in &definition.watch {
                into.insert(pattern, binding.name.clone());
            }
            for pattern in &definition.policy {
                index.policies.insert(pattern, binding.name.clone());
            }
        }
        self.active = Arc::new(index);
    }
}
