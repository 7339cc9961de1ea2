//! From wish to activation.

use std::sync::Arc;

use innkeeper_runtime::{Role, Runtime};
use innkeeper_tree::{Binding, Operation, World};
use tokio::sync::Notify;

use super::{AUTHORIZERS_MAX, Guests};

impl<R: Runtime> Guests<R> {
    /// Looks at each binding that changed, one after the other, for as long as the node runs.
    pub(super) async fn run_activations(&self) {
        loop {
            let names = std::mem::take(&mut *self.shared.changed.lock());
            if names.is_empty() {
                if !self.heard(&self.shared.changed_bell).await {
                    return;
                }
                continue;
            }
            for name in names {
                self.look_at(&name).await;
            }
        }
    }

    async fn look_at(&self, name: &Arc<str>) {
        let view = self.shared.reader.view();
        let Some(binding) = view.bindings().get(name).cloned() else {
            self.shared.reports.forget(name);
            self.shared.rates.lock().remove(name);
            self.shared.gate.forget(name);
            return;
        };
        let authorizers = view.bindings().iter().filter(|other| {
            let active = other.active.as_ref();
            other.name != binding.name
                && active.is_some_and(|active| active.definition.world == World::Authorizer)
        });
        let others = authorizers.count();
        let is_one_too_many =
            binding.wished.world == World::Authorizer && others >= AUTHORIZERS_MAX;
        drop(view);
        if binding.is_pending() && is_one_too_many {
            let error = format!(
                "{AUTHORIZERS_MAX} authorizers are active, which is as many as a node takes; delete one of them"
            );
            self.not_activated(&binding, error);
        } else if binding.is_pending() {
            match self.module(binding.wished.module).await {
                Ok(_) => {
                    // Void means that the wish moved on: apply told of the newer one as well.
                    let proposed = self
                        .propose(|ticket| Operation::Activate {
                            ticket,
                            binding: name.to_string(),
                            wish: binding.wish,
                        })
                        .await;
                    if let Err(error) = proposed {
                        self.not_activated(&binding, format!("it could not be activated: {error}"));
                    }
                }
                Err(error) => self.not_activated(&binding, error),
            }
        }
        if binding.wished.world == World::Recipe
            || binding
                .active
                .as_ref()
                .is_some_and(|active| active.definition.world == World::Recipe)
        {
            self.ensure_dispatcher(name);
        }
    }

    fn not_activated(&self, binding: &Binding, error: String) {
        let now_ms = self.shared.runtime.wall_ms();
        self.shared
            .reports
            .not_activated(&binding.name, binding.wish, now_ms, error);
    }

    /// One dispatcher per recipe, for as long as its binding exists.
    fn ensure_dispatcher(&self, name: &Arc<str>) {
        let mut dispatchers = self.shared.dispatchers.lock();
        if dispatchers.contains_key(name) {
            return;
        }
        let bell = Arc::new(Notify::new());
        dispatchers.insert(Arc::clone(name), Arc::clone(&bell));
        let this = self.clone();
        let name = Arc::clone(name);
        self.shared
            .runtime
            .spawn(Role::Guest, async move { this.dispatch(name, bell).await })
            .detach();
    }
}
