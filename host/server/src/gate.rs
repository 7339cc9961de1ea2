//! The gate: what a request must pass besides the ACLs before it is served or proposed.
//!
//! 1. The session asks [`Guard::check`] with a view, the client's identities and what it wants.
//! 2. A view without active authorizers answers at once: one branch, and writes carry
//!    policy_zxid 0.
//! 3. Otherwise the operations that bypass authorizers (guests 9) are set aside, and the
//!    installed [`Gate`] decides on the others.
//! 4. A write carries the greatest policy_zxid among the active authorizers that cover it;
//!    apply compares it and bounces the write on a difference, and the session asks again.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use innkeeper_tree::pattern::PathPattern;
use innkeeper_tree::{Binding, Bindings, Identity, View, World, Zxid, acl, path};

/// What a request wants to do with a path: the operations of the WIT world `authorizer`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// Create the znode.
    Create,
    /// Delete the znode.
    Delete,
    /// See whether it exists.
    Exists,
    /// Read its data.
    GetData,
    /// Set its data.
    SetData,
    /// List its children.
    GetChildren,
    /// Read its ACL.
    GetAcl,
    /// Set its ACL.
    SetAcl,
    /// Compare its version inside a multi.
    Check,
    /// Bring the serving node up to date.
    Sync,
}

/// One operation to decide on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask<'a> {
    /// What is wanted.
    pub access: Access,
    /// Of which path; of a sequential create, without the number.
    pub path: &'a str,
}

/// What the gate answers: all are allowed, or the index of the first that is not.
pub type Deciding<'a> = Pin<Box<dyn Future<Output = Result<(), usize>> + Send + 'a>>;

/// Decides in the active authorizers' name. The guests' side of the node installs one.
///
/// Invariants asked of an implementation:
/// - It decides by the authorizers that are active in `view` and by their policy as of `view`.
/// - An operation passes when every active authorizer whose paths cover it allows it; all of
///   `asks` must pass. An authorizer that cannot decide denies, unless its binding says
///   otherwise. Lack of an instance makes the caller wait and is never a denial.
pub trait Gate: Send + Sync + 'static {
    /// Whether all of `asks` are allowed, in order.
    fn decide<'a>(
        &'a self,
        view: &'a View,
        identities: &'a [Identity],
        asks: &'a [Ask<'a>],
    ) -> Deciding<'a>;
}

/// The verdict on a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It may go on; a write carries this policy_zxid (`None` where authorizers are bypassed).
    Allow(Option<Zxid>),
    /// It is answered with NoAuth; in a multi, the operation at that index is the one at fault.
    Deny(usize),
}

/// The authorizers of one state, so that most requests need only compare a pointer.
#[derive(Default, Debug)]
pub struct Cover {
    bindings: Option<Arc<Bindings>>,
    authorizers: Vec<Arc<Binding>>,
    policies: Vec<PathPattern>,
}

impl Cover {
    /// Whether no authorizer is active in `view`: then writes carry policy_zxid 0 and nobody
    /// need be asked.
    pub fn is_open(&mut self, view: &View) -> bool {
        let same = self
            .bindings
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, view.bindings()));
        if !same {
            self.refresh(view);
        }
        self.authorizers.is_empty()
    }

    /// The greatest policy_zxid among the active authorizers that cover one of the paths, as
    /// apply computes it; zero if none does. Of the state that [`Cover::is_open`] saw last.
    pub fn policy_zxid<'a>(&self, paths: impl Iterator<Item = &'a str> + Clone) -> Zxid {
        let covers = |binding: &&Arc<Binding>| {
            binding
                .active
                .as_ref()
                .is_some_and(|active| paths.clone().any(|path| active.definition.watches(path)))
        };
        let covering = self.authorizers.iter().filter(covers);
        covering
            .map(|binding| binding.policy_zxid)
            .max()
            .unwrap_or_default()
    }

    /// Whether the one who asks bypasses authorizers on this path, so that no broken policy can
    /// forbid its own repair (guests 9).
    fn bypasses(&self, identities: &[Identity], on: &str) -> bool {
        acl::is_super(identities)
            && (path::is_at_or_below(on, path::INNKEEPER)
                || self.policies.iter().any(|policy| policy.matches(on)))
    }

    fn refresh(&mut self, view: &View) {
        let bindings = view.bindings();
        let is_authorizer = |binding: &&Arc<Binding>| {
            let active = binding.active.as_ref();
            active.is_some_and(|active| active.definition.world == World::Authorizer)
        };
        self.authorizers = bindings.iter().filter(is_authorizer).cloned().collect();
        self.policies.clear();
        for binding in bindings.iter() {
            self.policies.extend_from_slice(&binding.wished.policy);
            if let Some(active) = &binding.active {
                self.policies.extend_from_slice(&active.definition.policy);
            }
        }
        self.bindings = Some(bindings.clone());
    }
}

/// Holds the installed [`Gate`] and applies the rules that no guest may touch.
///
/// Invariant: where an authorizer is active and no gate is installed, everything is denied: a
/// node that lacks an authorizer must not serve past it.
#[derive(Default)]
pub struct Guard {
    gate: OnceLock<Arc<dyn Gate>>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

impl Guard {
    /// Installs who decides. Only the first call has an effect.
    pub fn install(&self, gate: Arc<dyn Gate>) {
        if self.gate.set(gate).is_err() {
            tracing::error!("a gate was installed twice; the second one is ignored");
        }
    }

    /// The verdict on a request as of `view`. All of `asks` must pass.
    pub async fn check(
        &self,
        cover: &mut Cover,
        view: &View,
        identities: &[Identity],
        asks: &[Ask<'_>],
    ) -> Verdict {
        if cover.is_open(view) {
            return Verdict::Allow(Some(Zxid(0)));
        }
        let (places, judged): (Vec<usize>, Vec<Ask<'_>>) = asks
            .iter()
            .enumerate()
            .filter(|(_, ask)| !cover.bypasses(identities, ask.path))
            .map(|(place, ask)| (place, *ask))
            .unzip();
        if judged.is_empty() && !asks.is_empty() {
            return Verdict::Allow(None);
        }
        let policy_zxid = cover.policy_zxid(asks.iter().map(|ask| ask.path));
        let decided = if cover.policy_zxid(judged.iter().map(|ask| ask.path)) == Zxid(0) {
            Ok(())
        } else {
            match self.gate.get() {
                Some(gate) => gate.decide(view, identities, &judged).await,
                None => Err(0),
            }
        };
        match decided {
            Ok(()) => Verdict::Allow(Some(policy_zxid)),
            Err(denied) => Verdict::Deny(places.get(denied).copied().unwrap_or(0)),
        }
    }
}
