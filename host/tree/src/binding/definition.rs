//! A binding's document, read and checked.

use std::sync::Arc;

use crate::pattern::PathPattern;
use crate::{Digest, World, path};

use super::limits::Limits;

/// What a document says, in normal form: two documents that mean the same are equal.
///
/// Invariants:
/// - Patterns are sorted and without repetition.
/// - What means nothing for the world is empty: `read` and `write` are a recipe's, `policy`
///   an authorizer's, `watch` not an assignor's.
/// - No pattern of `write`, and none of a recipe's `watch`, lies within `/innkeeper` or
///   `/zookeeper`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Definition {
    /// What kind of guest it is.
    pub world: World,
    /// Its module.
    pub module: Digest,
    /// A recipe's: changes of which paths are its events. An authorizer's: requests to which
    /// paths it decides.
    pub watch: Vec<PathPattern>,
    /// A recipe's: what it may read, beside what it watches and writes.
    pub read: Vec<PathPattern>,
    /// A recipe's: what it may write.
    pub write: Vec<PathPattern>,
    /// An authorizer's: what its `load` may read.
    pub policy: Vec<PathPattern>,
    /// What the guest is told, as JSON in canonical form (keys sorted, no spaces); `null`
    /// if the document has none.
    pub config: Arc<str>,
    /// What it may use up.
    pub limits: Limits,
    /// What a failure of an authorizer means.
    pub on_failure: OnFailure,
}

/// What a failure of an authorizer (a trap, a limit, an error of `load`) means.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum OnFailure {
    /// The request is refused.
    #[default]
    Deny,
    /// The request passes, as far as this authorizer is concerned.
    Allow,
}

impl OnFailure {
    /// As documents write it.
    pub const fn name(self) -> &'static str {
        match self {
            OnFailure::Deny => "deny",
            OnFailure::Allow => "allow",
        }
    }
}

/// Is this path Innkeeper's or ZooKeeper's own? No guest watches or writes there, however
/// wide its patterns are.
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
    /// May a recipe read this znode and list its children? What it watches and writes it may
    /// read.
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

    /// Are a change of this path events for the recipe, or requests to it the authorizer's to
    /// decide? (Many bindings at once: [`crate::Bindings`].)
    pub fn watches(&self, path: &str) -> bool {
        !(self.world == World::Recipe && is_system(path)) && any_matches(&self.watch, path)
    }
}
