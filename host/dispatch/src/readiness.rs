//! Before the leader activates an authorizer, it lets the other nodes load its module.
//!
//! A node without an active authorizer's module serves no client. So that an activation shuts nobody
//! out, the leader asks the nodes until each has said that it has the module compiled, or cannot be
//! asked; or until [`PATIENCE`] has passed. The nodes begin to load the module when they see the
//! binding. Modules of other worlds wait for nobody.
//!
//! Bound: one entry and one task per binding that waits for its activation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{AbortOnDrop, Runtime, Select2, ThreadRole, select2};
use innkeeper_tree::{Binding, Digest, World, Zxid};
use parking_lot::Mutex;

use super::Guests;

/// How long an activation waits for nodes that lack the module.
const PATIENCE: Duration = Duration::from_secs(30);

/// The time between two questions to all nodes.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// What the nodes said of the wishes that are about to be activated.
#[derive(Default)]
pub(super) struct Readiness {
    by_name: Mutex<BTreeMap<Arc<str>, Asking>>,
}

struct Asking {
    wish: Zxid,
    /// The nodes that lacked the module when they were asked last.
    lacking: Vec<u64>,
    /// Nobody is waited for any more.
    is_over: bool,
    _task: AbortOnDrop<()>,
}

impl Readiness {
    pub(super) fn clear(&self) {
        self.by_name.lock().clear();
    }

    pub(super) fn forget(&self, name: &str) {
        self.by_name.lock().remove(name);
    }

    fn note(&self, name: &str, wish: Zxid, lacking: Vec<u64>, is_over: bool) {
        let mut by_name = self.by_name.lock();
        if let Some(asking) = by_name.get_mut(name)
            && asking.wish == wish
        {
            asking.lacking = lacking;
            asking.is_over = is_over;
        }
    }
}

impl<R: Runtime> Guests<R> {
    /// Whether what a binding wishes for may be activated now. If not, the nodes are being asked, and
    /// the binding is looked at again.
    pub(super) fn nodes_are_ready(&self, binding: &Binding) -> bool {
        if binding.wished.world != World::Authorizer || !self.is_in_group() {
            return true;
        }
        let mut by_name = self.shared.readiness.by_name.lock();
        if let Some(asking) = by_name.get(&binding.name)
            && asking.wish == binding.wish
        {
            return asking.is_over;
        }
        let (this, name) = (self.clone(), Arc::clone(&binding.name));
        let (wish, module) = (binding.wish, binding.wished.module);
        let asking = async move { this.ask_nodes(name, wish, module).await };
        let task = self.shared.runtime.spawn(ThreadRole::Client, asking);
        let asking = Asking {
            wish,
            lacking: Vec::new(),
            is_over: false,
            _task: task.abort_on_drop(),
        };
        by_name.insert(Arc::clone(&binding.name), asking);
        false
    }

    async fn ask_nodes(&self, name: Arc<str>, wish: Zxid, module: Digest) {
        let until = self.shared.runtime.now() + PATIENCE;
        loop {
            let Some(service) = self.service_in_group() else {
                return;
            };
            let lacking = service.who_lacks(module).await;
            drop(service);
            if self.shared.stopping.is_raised() {
                return;
            }
            let is_late = self.shared.runtime.now() >= until;
            if is_late && !lacking.is_empty() {
                tracing::warn!(
                    binding = &*name,
                    "the authorizer {module} is activated although these nodes lack it: {}; they serve no client \
                     until they have it",
                    listed(&lacking)
                );
            }
            let is_over = is_late || lacking.is_empty();
            self.shared.readiness.note(&name, wish, lacking, is_over);
            if is_over {
                self.changed(std::slice::from_ref(&name));
                return;
            }
            let pause = self.shared.runtime.sleep(ASK_AGAIN);
            if let Select2::First(()) = select2(self.shared.stopping.wait(), pause).await {
                return;
            }
        }
    }

    /// What the binding's activation waits for, as a sentence.
    pub(super) fn waits_for(&self, binding: &Binding) -> Option<String> {
        let by_name = self.shared.readiness.by_name.lock();
        let asking = by_name.get(&binding.name)?;
        let waits = asking.wish == binding.wish && binding.is_pending() && !asking.is_over;
        (waits && !asking.lacking.is_empty()).then(|| {
            format!(
                "it is activated when these nodes have loaded its module: {}; or after {} s, and then they serve no \
                 client until they have it",
                listed(&asking.lacking),
                PATIENCE.as_secs()
            )
        })
    }
}

fn listed(nodes: &[u64]) -> String {
    let nodes: Vec<_> = nodes.iter().map(u64::to_string).collect();
    nodes.join(", ")
}
