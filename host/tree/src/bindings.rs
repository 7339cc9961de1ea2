//! The bindings in the state: for each its wish and its active definition.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::binding::{Definition, is_system};
use crate::pattern::PatternIndex;
use crate::{Digest, World, Zxid, path};

/// The most authorizers that are active at a time. Every node keeps places for as many as there may
/// be, so the number is part of the state's rules: apply refuses to activate a further one, whoever
/// proposes it and whatever was activated meanwhile.
pub const AUTHORIZERS_MAX: usize = 32;

/// One binding.
///
/// - `wish` is the mzxid of `/innkeeper/bindings/<name>`. The binding exists exactly while this
///   znode exists.
/// - Only the `active` definition has an effect: it watches, grants and decides.
#[derive(Clone, PartialEq, Debug)]
pub struct Binding {
    /// The znode's name.
    pub name: Arc<str>,
    /// The znode's mzxid, which names the version of the document.
    pub wish: Zxid,
    /// The definition in the znode's document.
    pub wished: Arc<Definition>,
    /// The definition that has an effect; `None` before the first activation.
    pub active: Option<Active>,
    /// The zxid of the last change of the active definition or of a policy path. Cached decisions
    /// hold for one `policy_zxid`. Zero before the first activation.
    pub policy_zxid: Zxid,
    /// The names of the assignors that the binding's last reaction called.
    pub called: Vec<Arc<str>>,
}

/// A definition that has an effect.
#[derive(Clone, PartialEq, Debug)]
pub struct Active {
    /// The zxid of the Activate command.
    pub activation: Zxid,
    /// The znode's mzxid of the activated document.
    pub wish: Zxid,
    /// The activated definition.
    pub definition: Arc<Definition>,
}

impl Binding {
    /// Does the document differ from the active definition?
    pub fn is_pending(&self) -> bool {
        self.active
            .as_ref()
            .is_none_or(|active| active.wish != self.wish)
    }

    /// The active module, then the module in the document if it is another one.
    pub fn modules(&self) -> impl Iterator<Item = Digest> {
        let active = self.active.as_ref().map(|active| active.definition.module);
        let wished = Some(self.wished.module).filter(|wished| Some(*wished) != active);
        active.into_iter().chain(wished)
    }

    /// Is this one of the binding's [modules](Binding::modules)?
    pub fn names(&self, module: Digest) -> bool {
        self.modules().any(|named| named == module)
    }
}

/// All bindings by their names, and an index that finds the active ones for a path.
#[derive(Clone, Default, Debug)]
pub struct Bindings {
    by_name: BTreeMap<Arc<str>, Arc<Binding>>,
    active: Arc<ActiveIndex>,
}

/// The patterns of all active definitions. They change with activations only, so a new policy_zxid
/// copies only the map of names.
#[derive(Default, Debug)]
struct ActiveIndex {
    recipes: PatternIndex<Arc<str>>,
    authorizers: PatternIndex<Arc<str>>,
    policies: PatternIndex<Arc<str>>,
}

impl Bindings {
    /// The binding with this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Binding>> {
        self.by_name.get(name)
    }

    /// The active definition of the binding with this name.
    pub fn active(&self, name: &str) -> Option<&Active> {
        self.by_name.get(name)?.active.as_ref()
    }

    /// All bindings in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Binding>> {
        self.by_name.values()
    }

    /// The number of bindings.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Is there no binding?
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Is an authorizer active? If not, no path has one.
    pub fn has_authorizers(&self) -> bool {
        !self.active.authorizers.is_empty()
    }

    /// How many authorizers are active besides the binding with this name.
    pub fn authorizers_beside(&self, name: &str) -> usize {
        let authorizes = |binding: &&Arc<Binding>| {
            let active = binding.active.as_ref();
            active.is_some_and(|active| active.definition.world == World::Authorizer)
        };
        let others = self.iter().filter(|binding| &*binding.name != name);
        others.filter(authorizes).count()
    }

    /// Is a recipe active?
    pub fn has_recipes(&self) -> bool {
        !self.active.recipes.is_empty()
    }

    /// Does an active authorizer have policy paths?
    pub fn has_policies(&self) -> bool {
        !self.active.policies.is_empty()
    }

    /// The active authorizers that decide requests to this path, in the order of their names.
    pub fn authorizers_of(&self, path: &str) -> SmallVec<[&Arc<Binding>; 4]> {
        self.named(&self.active.authorizers, path)
    }

    /// The active recipes that watch this path, in the order of their names.
    pub fn recipes_of(&self, path: &str) -> SmallVec<[&Arc<Binding>; 4]> {
        if is_system(path) {
            return SmallVec::new();
        }
        self.named(&self.active.recipes, path)
    }

    /// The active authorizers with a policy pattern that matches the path or a path above it, in
    /// the order of their names.
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

    /// The greatest policy_zxid of the active authorizers that decide requests to this path; zero
    /// if there is none.
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

    /// Stores a binding whose active definition did not change.
    pub(crate) fn insert(&mut self, binding: Binding) {
        self.by_name.insert(binding.name.clone(), Arc::new(binding));
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Arc<Binding>> {
        self.by_name.remove(name)
    }

    /// Builds the index anew, after a definition was activated, changed or removed.
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
