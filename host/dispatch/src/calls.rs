//! The assignors, as one recipe calls them.
//!
//! A call of an assignor that fails counts against that assignor, and one that keeps failing is
//! kept back: the recipe is told so at once, and no thread is spent on it. It is kept back from
//! that recipe alone, because what makes it fail may be what the recipe asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use innkeeper_runtime::Runtime;
use innkeeper_sandbox::{
    ActiveAssignor, Assignors, FailedAssignment, Module, Pace, Unavailable, Usage,
};
use innkeeper_tree::{View, World, Zxid};
use parking_lot::Mutex;

use super::Guests;
use super::health::Breaker;
use super::member::Member;

/// What a dispatcher hands to its reactions.
///
/// Addresses: a member for each assignor that was active when the recipe called it.
pub(super) struct Calls<R: Runtime> {
    guests: Guests<R>,
    recipe: Arc<str>,
    called: Mutex<BTreeMap<Arc<str>, Arc<Member>>>,
}

impl<R: Runtime> Calls<R> {
    pub(super) fn new(guests: Guests<R>, recipe: Arc<str>) -> Arc<Calls<R>> {
        Arc::new(Calls {
            guests,
            recipe,
            called: Mutex::default(),
        })
    }

    fn member(&self, name: &str, activation: Zxid) -> Arc<Member> {
        let mut called = self.called.lock();
        match called.get(name) {
            Some(member) if member.activation() >= activation => Arc::clone(member),
            _ => {
                let name = Arc::from(name);
                let world = World::Assignor;
                let caller = Some(&self.recipe);
                let member = self.guests.member(&name, activation, world, caller);
                // What was shown of an earlier activation is over.
                self.guests.show_breaker(&member, Breaker::Closed);
                called.insert(name, Arc::clone(&member));
                member
            }
        }
    }
}

impl<R: Runtime> Drop for Calls<R> {
    /// A recipe that is gone keeps no assignor's breaker open.
    fn drop(&mut self) {
        for member in self.called.lock().values() {
            self.guests.show_breaker(member, Breaker::Closed);
        }
    }
}

impl<R: Runtime> Assignors for Calls<R> {
    fn pace<'a>(&'a self, name: &'a str, per_second: u64) -> Pace<'a> {
        Box::pin(self.guests.paced(name, per_second))
    }

    fn find(&self, view: &View, name: &str) -> Result<ActiveAssignor, Unavailable> {
        let active = view
            .bindings()
            .active(name)
            .filter(|active| active.definition.world == World::Assignor)
            .ok_or(Unavailable::Unknown)?;
        // The tree takes no definition whose module exports another world than its own.
        let Some(Module::Assignor(module)) = self.guests.compiled(active.definition.module) else {
            return Err(Unavailable::KeptBack(format!(
                "`{name}` is not compiled on this node yet"
            )));
        };
        let member = self.member(name, active.activation);
        let now = self.guests.shared.runtime.now();
        if let Some(rest) = member.rests(now) {
            return Err(Unavailable::KeptBack(format!(
                "`{name}` is kept back after {} failures in a row; it is tried again in {} ms",
                member.failures(),
                rest.as_millis()
            )));
        }
        Ok(ActiveAssignor {
            module,
            definition: Arc::clone(&active.definition),
            activation: active.activation,
        })
    }

    fn ended(&self, name: &str, activation: Zxid, outcome: Result<Usage, &FailedAssignment>) {
        let member = self.member(name, activation);
        if member.activation() != activation {
            // It was swapped meanwhile: its successor has nothing to do with it.
            return;
        }
        match outcome {
            Ok(usage) => self.guests.book_success(&member, usage),
            Err(failed) => {
                let reports = &self.guests.shared.reports;
                reports.used(&member.who, failed.usage);
                reports.log(&member.who, failed.logs.clone());
                self.guests.book_failure(&member, &failed.failure);
            }
        }
    }
}
