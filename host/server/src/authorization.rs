//! Authorization: the check by guests that a request must pass, besides the ACLs, before it is
//! served or proposed.
//!
//! 1. The session calls [`Authorization::check`] with a view, the client's identities and the
//!    operations that it wants to do.
//! 2. A view without active authorizers answers at once: one branch, and writes carry
//!    policy_zxid 0.
//! 3. Otherwise the operations that bypass authorizers (`bypasses`) are set aside, and the
//!    [`AccessDecider`] decides on the others.
//! 4. A write carries the greatest policy_zxid among the active authorizers that cover it;
//!    apply compares it and bounces the write on a difference, and the session asks again.
//! 5. A write or a sync that is denied by a view that may be older than what another client was told
//!    is decided on again behind a read index, and only the second denial is answered. A read that is
//!    denied is answered at once: its denial is as old as its data would be.
//!
//! **Invariant:** nothing is sent to a client from a view in which an authorizer is active whose
//! module this node lacks: the connection is closed without an answer. (test:
//! `a_node_that_lacks_an_authorizers_module_answers_nothing_from_its_activation_on`)
//!
//! **Invariant:** no policy can forbid its own repair. The admin socket proposes
//! `Operation::Admin`, which no authorizer is asked about; the socket is a file of mode 0600 in the
//! data folder. (tests: `a_policy_that_forbids_everything_is_mended_through_the_admin_socket`,
//! `an_acl_that_locks_everybody_out_is_undone_over_the_socket`,
//! `the_socket_is_the_owners_alone_and_goes_with_the_node`)

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use innkeeper_tree::{Access, Binding, Bindings, Identity, View, Zxid, acl, path};

/// One operation to decide on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccessRequest<'a> {
    /// The kind of access.
    pub access: Access,
    /// The path; for a sequential create, without the number.
    pub path: &'a str,
}

/// The answer: all are allowed, or the index of the first that is not.
pub type Deciding<'a> = Pin<Box<dyn Future<Output = Result<(), usize>> + Send + 'a>>;

/// Decides by asking the active authorizers. The guests' side of the node implements it.
///
/// What an implementation must keep:
/// - It decides by the authorizers that are active in `view` and by their policy as of `view`.
/// - An operation passes when every active authorizer whose paths cover it allows it; all of
///   `asks` must pass. An authorizer that cannot decide denies, unless its binding says
///   otherwise. Lack of an instance makes the caller wait and is never a denial.
pub trait AccessDecider: Send + Sync + 'static {
    /// Whether this node can ask all authorizers that are active in a state. It serves no client
    /// from a state in which it cannot.
    fn can_ask(&self, bindings: &Arc<Bindings>) -> bool;

    /// Whether all of `asks` are allowed. They are decided in order.
    fn decide<'a>(
        &'a self,
        view: &'a View,
        identities: &'a [Identity],
        asks: &'a [AccessRequest<'a>],
    ) -> Deciding<'a>;
}

/// The verdict on a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It may go on; a write carries this policy_zxid (`None` where authorizers are bypassed).
    Allow(Option<Zxid>),
    /// It is answered with NoAuth. In a multi, the operation at that index was denied.
    Deny(usize),
}

/// Holds the [`AccessDecider`], and applies the rules that no guest can change.
///
/// Invariant: a service is made with its decider, so no request can come before there is one.
pub struct Authorization {
    decider: Arc<dyn AccessDecider>,
}

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorization").finish_non_exhaustive()
    }
}

impl Authorization {
    /// Authorization by this decider.
    pub fn new(decider: Arc<dyn AccessDecider>) -> Self {
        Self { decider }
    }

    /// Whether clients may be served from `view`: this node has the modules of all authorizers that
    /// are active in it.
    pub(crate) fn may_serve(&self, view: &View) -> bool {
        let bindings = view.bindings();
        !bindings.has_authorizers() || self.decider.can_ask(bindings)
    }

    /// The verdict on a request as of `view`. All of `asks` must pass. Where
    /// [`Bindings::has_authorizers`] says no, nobody need ask.
    pub async fn check(
        &self,
        view: &View,
        identities: &[Identity],
        asks: &[AccessRequest<'_>],
    ) -> Verdict {
        let bindings = view.bindings();
        if !bindings.has_authorizers() {
            return Verdict::Allow(Some(Zxid(0)));
        }
        let (places, asked): (Vec<usize>, Vec<AccessRequest<'_>>) = asks
            .iter()
            .enumerate()
            .filter(|(_, ask)| !bypasses(bindings, identities, ask.path))
            .map(|(place, ask)| (place, *ask))
            .unzip();
        if asked.is_empty() && !asks.is_empty() {
            return Verdict::Allow(None);
        }
        let decided = if greatest_policy_zxid(bindings, &asked) == Zxid(0) {
            Ok(())
        } else {
            self.decider.decide(view, identities, &asked).await
        };
        match decided {
            // This is of the whole request, operations that bypass authorizers included, since
            // apply does not tell them apart.
            Ok(()) => Verdict::Allow(Some(greatest_policy_zxid(bindings, asks))),
            Err(denied) => Verdict::Deny(places.get(denied).copied().unwrap_or(0)),
        }
    }
}

/// The greatest policy_zxid among the active authorizers that cover one of the paths, as apply
/// computes it; zero if none does.
fn greatest_policy_zxid(bindings: &Bindings, asks: &[AccessRequest<'_>]) -> Zxid {
    let of_paths = asks.iter().map(|ask| bindings.policy_zxid_of(ask.path));
    of_paths.max().unwrap_or_default()
}

/// Whether the client bypasses authorizers on this path, so that no broken policy can forbid its
/// own repair. The super user does so below `/innkeeper` and on every policy path that a binding
/// declares, whether that binding is active or only wished.
fn bypasses(bindings: &Bindings, identities: &[Identity], on: &str) -> bool {
    let wished = |binding: &Arc<Binding>| binding.wished.policy.iter().any(|p| p.matches(on));
    acl::is_super(identities)
        && (path::is_at_or_below(on, path::INNKEEPER)
            || !bindings.policies_of(on).is_empty()
            || bindings.iter().any(wished))
}
