//! A definition: a binding's document after it was parsed and checked.

use std::sync::Arc;

use crate::pattern::PathPattern;
use crate::{Digest, World, path};

use super::limits::Limits;

/// The content of a document in normal form: documents with the same meaning have equal
/// definitions.
///
/// Invariants:
/// - Patterns are sorted, each once.
/// - Fields without a meaning for the world are empty: only recipes have `read` and `write`, only
///   authorizers have `policy`, and assignors have no `watch`.
/// - No pattern of `write`, and none of a recipe's `watch`, lies within `/innkeeper` or
///   `/zookeeper`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Definition {
    /// The kind of guest.
    pub world: World,
    /// The module's name.
    pub module: Digest,
    /// The paths whose changes are a recipe's events, or whose requests an authorizer decides.
    pub watch: Vec<PathPattern>,
    /// The paths that a recipe may read, beside those that it watches and writes.
    pub read: Vec<PathPattern>,
    /// The paths that a recipe may write.
    pub write: Vec<PathPattern>,
    /// The paths that an authorizer's `load` may read.
    pub policy: Vec<PathPattern>,
    /// The configuration that the guest gets, as JSON in canonical form (sorted keys, no spaces);
    /// `null` if the document has none.
    pub config: Arc<str>,
    /// The bounds on what the guest may use.
    pub limits: Limits,
    /// The decision if an authorizer fails.
    pub on_failure: OnFailure,
}

/// The decision if an authorizer fails: by a trap, a limit or an error of `load`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum OnFailure {
    /// The request is refused.
    #[default]
    Deny,
    /// This authorizer does not stop the request.
    Allow,
}

impl OnFailure {
    /// The word in documents.
    pub const fn name(self) -> &'static str {
        match self {
            OnFailure::Deny => "deny",
            OnFailure::Allow => "allow",
        }
    }
}

/// Does this path belong to Innkeeper or ZooKeeper? No guest may watch or write it, even if its
/// patterns match.
pub fn is_system(path: &str) -> bool {
    path::is_at_or_below(path, path::INNKEEPER) || path::is_at_or_below(path, path::ZOOKEEPER)
}

fn any_matches(patterns: &[PathPattern], path: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(path))
}

fn any_matches_subtree(patterns: &[PathPattern], root: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches_subtree(root))
}

impl Definition {
    /// May a recipe read this znode and list its children? It may also read the paths that it
    /// watches or writes.
    pub fn may_read(&self, path: &str) -> bool {
        self.world == World::Recipe
            && [&self.read, &self.watch, &self.write]
                .into_iter()
                .any(|patterns| any_matches(patterns, path))
    }

    /// May a recipe read everything at and below this path? One pattern must grant all of it.
    pub fn may_scan(&self, root: &str) -> bool {
        self.world == World::Recipe
            && [&self.read, &self.watch, &self.write]
                .into_iter()
                .any(|patterns| any_matches_subtree(patterns, root))
    }

    /// May a recipe create, set and delete this znode?
    pub fn may_write(&self, path: &str) -> bool {
        !is_system(path) && any_matches(&self.write, path)
    }

    /// May an authorizer's `load` read this znode and list its children?
    pub fn may_load(&self, path: &str) -> bool {
        any_matches(&self.policy, path)
    }

    /// May an authorizer's `load` read everything at and below this path?
    pub fn may_load_all(&self, root: &str) -> bool {
        any_matches_subtree(&self.policy, root)
    }

    /// Are changes of this path events for the recipe, or does the authorizer decide requests to
    /// it? ([`crate::Bindings`] answers this for all bindings at once.)
    pub fn watches(&self, path: &str) -> bool {
        !(self.world == World::Recipe && is_system(path)) && any_matches(&self.watch, path)
    }
}
