//! The modules that this node of a group stores for the others.
//!
//! 1. A node to which a module was pushed asks the others whether they store it
//!    ([`Service::is_stored_by_quorum`](innkeeper_server::service::Service::is_stored_by_quorum)). A
//!    node that does not begins to fetch it by its digest.
//! 2. When a quorum of the voters stores it durably, its name is registered by a command.
//! 3. A node that was down or slow then fetches it when it sees the registration, and each node
//!    looks for what it lacks when it starts.
//!
//! Nothing removes a stored module. What was fetched for a push that was cancelled stays as well.
//!
//! **Invariant:** what is said to be stored is on the disk. (test:
//! `a_module_is_registered_when_a_quorum_stores_it`)

use std::future::pending;
use std::time::Duration;

use innkeeper_runtime::{Runtime, ThreadRole, select3};
use innkeeper_tree::Digest;
use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use tokio::sync::Notify;

use super::Guests;
use super::modules::MakeError;

/// Modules that are fetched for other nodes' pushes at a time; further ones wait until they are
/// asked for again.
const FETCHES_MAX: usize = 32;

/// The pause after a registered module could not be fetched.
const FETCH_AGAIN: Duration = Duration::from_secs(10);

/// What this node is known to store. Bounded by what it stores.
#[derive(Default)]
pub(super) struct Copies {
    inner: Mutex<Inner>,
    /// Rung when a module was registered.
    registered: Notify,
}

#[derive(Default)]
struct Inner {
    stored: FxHashSet<Digest>,
    /// Those that are being fetched because another node asked.
    fetched: FxHashSet<Digest>,
}

impl<R: Runtime> Guests<R> {
    /// Whether this node stores a module durably. If that is not known, it finds out, and fetches
    /// the module if it lacks it.
    pub(super) fn stores(&self, module: Digest) -> bool {
        let mut inner = self.shared.copies.inner.lock();
        if inner.stored.contains(&module) {
            return true;
        }
        if inner.fetched.len() < FETCHES_MAX && inner.fetched.insert(module) {
            let this = self.clone();
            let storing = async move {
                if let Err(error) = this.store(module).await {
                    tracing::debug!("module {module} {error}");
                }
                this.shared.copies.inner.lock().fetched.remove(&module);
            };
            let runtime = &self.shared.runtime;
            runtime.spawn(ThreadRole::Client, storing).detach();
        }
        false
    }

    /// Has this node store a module durably.
    async fn store(&self, module: Digest) -> Result<(), MakeError> {
        let component = match self.stored(module).await? {
            Some(component) => component,
            None => self.given(module).await?,
        };
        // What is read may still be on its way to the disk.
        let durable = self.shared.store.put(component).await;
        durable.map_err(|error| MakeError::Unreadable(error.to_string()))?;
        self.shared.copies.inner.lock().stored.insert(module);
        Ok(())
    }

    /// A module was registered.
    pub(super) fn registered(&self) {
        self.shared.copies.registered.notify_one();
    }

    /// Fetches the registered modules that this node lacks, until the node stops.
    pub(super) async fn run_copies(&self) {
        loop {
            let mut lacks_some = false;
            for module in self.unstored() {
                if self.shared.stopping.is_raised() {
                    return;
                }
                if let Err(error) = self.store(module).await {
                    tracing::warn!("module {module} {error}; it is tried again");
                    lacks_some = true;
                }
            }
            let again = async {
                match lacks_some {
                    true => self.shared.runtime.sleep(FETCH_AGAIN).await,
                    false => pending().await,
                }
            };
            let registered = self.shared.copies.registered.notified();
            select3(self.shared.stopping.wait(), registered, again).await;
            if self.shared.stopping.is_raised() {
                return;
            }
        }
    }

    /// The registered modules that this node is not known to store.
    fn unstored(&self) -> Vec<Digest> {
        let view = self.shared.reader.view();
        let inner = self.shared.copies.inner.lock();
        let registered = view.modules().keys().copied();
        registered
            .filter(|module| !inner.stored.contains(module))
            .collect()
    }
}
