//! How the first invocation under an activation ended, for the author who has just written the
//! binding.
//!
//! 1. Before a recipe's events are taken for a reaction, and before an authorizer's first
//!    `load`, the invocation is noted under its activation ([`FirstRuns::began`]).
//! 2. The first that ends says how ([`FirstRuns::ended`]); the next activation starts anew. A
//!    reaction that runs again, since something that it read had changed, has not ended.
//! 3. [`Guests::first_run`] waits for that, at any node: it asks the leader, which runs recipes. A recipe for which nothing is queued has nothing to
//!    run: it is activated without an event where only its module or its config changed.
//!
//! Bound: one entry per binding.

use std::collections::BTreeMap;
use std::sync::Arc;

use innkeeper_runtime::Runtime;
use innkeeper_tree::{World, Zxid};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Guests;
use super::at_leader::{Question, Told};

/// How the first invocation under an activation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ended", rename_all = "kebab-case")]
pub enum FirstRun {
    /// It ended well: a reaction was committed, a policy loaded.
    Well {
        /// Fuel that it used.
        fuel: u64,
        /// Writes in its transaction.
        writes: usize,
    },
    /// It failed, and is tried again.
    Badly {
        /// Why.
        error: String,
    },
    /// Nothing is to be done yet: no event waits for the recipe, or it is an assignor, which
    /// runs when a recipe calls it.
    NotYet,
    /// The binding is gone, or another document of it was activated meanwhile.
    Overtaken,
}

/// The first invocation under the newest activation that was invoked.
struct First {
    activation: Zxid,
    ended: Option<FirstRun>,
}

/// The first invocations of all bindings.
#[derive(Default)]
pub(super) struct FirstRuns {
    by_name: Mutex<BTreeMap<Arc<str>, First>>,
}

impl FirstRuns {
    /// An invocation begins. To be told before anything that it does can be seen. Says whether
    /// it is the first under that activation.
    pub(super) fn began(&self, name: &Arc<str>, activation: Zxid) -> bool {
        let mut by_name = self.by_name.lock();
        let known = by_name.get(name).map(|first| first.activation);
        if known.is_some_and(|known| known >= activation) {
            return false;
        }
        let first = First {
            activation,
            ended: None,
        };
        by_name.insert(Arc::clone(name), first);
        true
    }

    /// One ended. Says whether it was the first.
    fn ended(&self, name: &str, activation: Zxid, how: impl FnOnce() -> FirstRun) -> bool {
        match self.by_name.lock().get_mut(name) {
            Some(first) if first.activation == activation && first.ended.is_none() => {
                first.ended = Some(how());
                true
            }
            _ => false,
        }
    }

    /// Nothing is left to run: what began was done by another leader. Says whether one had begun.
    fn idle(&self, name: &str) -> bool {
        let mut by_name = self.by_name.lock();
        let has_begun = by_name.get(name).is_some_and(|first| first.ended.is_none());
        if has_begun {
            by_name.remove(name);
        }
        has_begun
    }

    pub(super) fn forget(&self, name: &str) {
        self.by_name.lock().remove(name);
    }

    /// The first invocation under `activation`: begun at all, and how it ended.
    fn look(&self, name: &str, activation: Zxid) -> Option<Option<FirstRun>> {
        let by_name = self.by_name.lock();
        let first = by_name.get(name)?;
        (first.activation == activation).then(|| first.ended.clone())
    }
}

impl<R: Runtime> Guests<R> {
    /// An invocation ended.
    pub(super) fn note_end(&self, name: &str, activation: Zxid, how: impl FnOnce() -> FirstRun) {
        if self.shared.first_runs.ended(name, activation, how) {
            self.shared.news.notify_waiters();
        }
    }

    /// There is nothing to run.
    pub(super) fn note_idle(&self, name: &str) {
        if self.shared.first_runs.idle(name) {
            self.shared.news.notify_waiters();
        }
    }

    /// The next change of a binding: its document, its activation or the end of its first
    /// invocation. It misses nothing that happens after this call, so ask for it first, then
    /// look, then wait.
    pub fn news(&self) -> impl Future<Output = ()> + '_ {
        self.shared.news.notified()
    }

    /// Waits until the first invocation under an activation has ended at the leader, or says that
    /// there is none to wait for. The caller bounds the time.
    pub async fn first_run(&self, name: &str, activation: Zxid) -> FirstRun {
        let question = Question::FirstRun {
            name: name.to_owned(),
            activation: activation.0,
        };
        loop {
            let news = self.news();
            if let Ok(Told::FirstRun(Some(ended))) = self.ask_leader(&question).await {
                return ended;
            }
            self.news_or_again(news).await;
        }
    }

    /// How the first invocation under an activation ended on this node; `None` if it has not ended
    /// yet.
    pub(super) fn first_run_here(&self, name: &str, activation: Zxid) -> Option<FirstRun> {
        let runs = &self.shared.first_runs;
        // The queue first: a reaction that has just emptied it was noted before.
        let queued = self.shared.reader.queue_len(name);
        if let Some(Some(ended)) = runs.look(name, activation) {
            return Some(ended);
        }
        let view = self.shared.reader.view();
        let active = view
            .bindings()
            .get(name)
            .and_then(|binding| binding.active.as_ref());
        let Some(active) = active.filter(|active| active.activation == activation) else {
            return Some(FirstRun::Overtaken);
        };
        let has_begun = runs.look(name, activation).is_some();
        match active.definition.world {
            World::Assignor => Some(FirstRun::NotYet),
            World::Recipe if queued == 0 && !has_begun => Some(FirstRun::NotYet),
            World::Recipe | World::Authorizer => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well(fuel: u64) -> FirstRun {
        FirstRun::Well { fuel, writes: 0 }
    }

    #[test]
    fn the_first_of_the_newest_activation_counts() {
        let runs = FirstRuns::default();
        let name: Arc<str> = Arc::from("a");
        let look = |activation| runs.look(&name, Zxid(activation));
        assert_eq!(look(1), None);
        assert!(!runs.ended(&name, Zxid(1), || well(9)), "it never began");
        assert!(runs.began(&name, Zxid(1)));
        assert_eq!(look(1), Some(None));
        assert!(runs.ended(&name, Zxid(1), || well(1)));
        assert!(!runs.began(&name, Zxid(1)));
        assert!(!runs.ended(&name, Zxid(1), || well(9)), "not the first");
        assert_eq!(look(1), Some(Some(well(1))));
        runs.began(&name, Zxid(2));
        assert_eq!((look(1), look(2)), (None, Some(None)));
        assert!(runs.idle(&name), "another leader did it");
        assert_eq!(look(2), None);
        runs.began(&name, Zxid(2));
        // One that began under an older activation and is late.
        runs.began(&name, Zxid(1));
        assert!(
            !runs.ended(&name, Zxid(1), || well(9)),
            "an older activation"
        );
        assert_eq!(look(2), Some(None));
        runs.forget(&name);
        assert_eq!(look(2), None);
    }
}
