//! Changes of modules and bindings: registration, wishes and activation.

use std::sync::Arc;

use super::Cause;
use crate::applied::{Applied, TicketResult};
use crate::binding::Definition;
use crate::bindings::{AUTHORIZERS_MAX, Active, Binding};
use crate::modules::ModuleInfo;
use crate::{Digest, Tree, World, Zxid};

impl Tree {
    pub(super) fn register_module(
        &mut self,
        digest: Digest,
        size: u64,
        world: World,
    ) -> TicketResult {
        if !self.modules.contains_key(&digest) {
            Arc::make_mut(&mut self.modules).insert(digest, ModuleInfo { size, world });
            self.dirty_modules.insert(digest);
            self.mix(&digest.0);
        }
        TicketResult::Registered
    }

    /// A binding's znode has a new document.
    pub(super) fn wish(
        &mut self,
        name: Arc<str>,
        definition: Arc<Definition>,
        applied: &mut Applied,
    ) {
        let known = self.bindings.get(&name);
        let binding = match known {
            Some(known) => Binding {
                wish: self.zxid,
                wished: definition,
                ..Binding::clone(known)
            },
            None => Binding {
                name: name.clone(),
                wish: self.zxid,
                wished: definition,
                active: None,
                policy_zxid: Zxid(0),
                called: Vec::new(),
            },
        };
        Arc::make_mut(&mut self.bindings).insert(binding);
        self.dirty_bindings.insert(name.clone());
        super::note(&mut applied.bindings, &name);
    }

    /// A binding's znode was deleted: its effect and its queue end.
    pub(super) fn unbind(&mut self, name: &Arc<str>, applied: &mut Applied) {
        if Arc::make_mut(&mut self.bindings)
            .remove(name)
            .is_some_and(|gone| gone.active.is_some())
        {
            Arc::make_mut(&mut self.bindings).reindex();
        }
        self.drop_queue(name);
        self.dirty_bindings.insert(name.clone());
        super::note(&mut applied.bindings, name);
    }

    /// Makes a binding's wish its active definition. This is the point at which modules are
    /// swapped.
    pub(super) fn activate(
        &mut self,
        name: &str,
        wish: Zxid,
        applied: &mut Applied,
    ) -> TicketResult {
        let Some(known) = self.bindings.get(name) else {
            return TicketResult::Void;
        };
        let before = known.active.clone();
        let fulfilled = before.as_ref().is_some_and(|active| active.wish == wish);
        if known.wish != wish || fulfilled || !self.modules.contains_key(&known.wished.module) {
            return TicketResult::Void;
        }
        let definition = known.wished.clone();
        if definition.world == World::Authorizer
            && self.bindings.authorizers_beside(name) >= AUTHORIZERS_MAX
        {
            return TicketResult::NoPlace;
        }
        let name = known.name.clone();
        let binding = Binding {
            active: Some(Active {
                activation: self.zxid,
                wish,
                definition: definition.clone(),
            }),
            policy_zxid: self.zxid,
            ..Binding::clone(known)
        };
        let bindings = Arc::make_mut(&mut self.bindings);
        bindings.insert(binding);
        bindings.reindex();
        self.dirty_bindings.insert(name.clone());
        super::note(&mut applied.bindings, &name);
        self.mix(b"activate");
        self.mix(name.as_bytes());

        let was = before.as_ref().map(|active| &*active.definition);
        match definition.world {
            World::Recipe => {
                let same_watch = was
                    .is_some_and(|was| was.world == World::Recipe && was.watch == definition.watch);
                if !same_watch {
                    self.resync(&name, Cause::default().depth, applied);
                }
            }
            World::Assignor => self.resync_callers(&name, applied),
            World::Authorizer => {}
        }
        if definition.world != World::Recipe {
            self.drop_queue(&name);
        }
        TicketResult::Activated
    }

    /// Queues a resync for each recipe whose last reaction called this assignor.
    fn resync_callers(&mut self, assignor: &Arc<str>, applied: &mut Applied) {
        let bindings = self.bindings.clone();
        for binding in bindings.iter() {
            let reacts = binding
                .active
                .as_ref()
                .is_some_and(|active| active.definition.world == World::Recipe);
            if reacts && binding.called.contains(assignor) {
                self.resync(&binding.name, Cause::default().depth, applied);
            }
        }
    }

    fn drop_queue(&mut self, name: &Arc<str>) {
        if let Some(queue) = self.store.queues.write().remove(name) {
            self.dirty_queues
                .extend(queue.iter().map(|(key, _)| (name.clone(), key)));
        }
    }
}
