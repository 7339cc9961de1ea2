//! Pushes that another node of the group took, for an author who asks this one.
//!
//! 1. Only the node that took a push knows how far it is, and the push's name says which node that
//!    is. So that node alone is asked, and only if it is a member ([`Guests::push_elsewhere`]).
//! 2. It answers with the state, if it knows the push. That counts as asking, so the push stays
//!    alive.
//! 3. An author who waits for the end has that node asked again every [`ASK_AGAIN`].
//! 4. Of the questions to one node [`AT_ONCE`] are under way, and [`WAITING`] wait for their turn,
//!    no longer than [`TURN_WITHIN`]. Further ones are refused. So a node that does not answer holds
//!    up no question to another one, and none for long.
//!
//! An author whose question lands at another node each time so always gets the push's state.
//! (tests: `how_far_a_push_is_says_whichever_node_is_asked`,
//! `a_node_that_is_down_holds_up_few_questions_and_none_to_others`)

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use innkeeper_runtime::{Runtime, select2};
use innkeeper_server::copies::Copies;
use innkeeper_tree::{Digest, text};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::Guests;
use super::modules::{PushError, Pushed};
use super::pushes::{PushName, PushState};

/// The pause between two questions of an author who waits.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Questions to one node that are under way at a time.
const AT_ONCE: usize = 4;

/// Questions to one node that wait for their turn.
const WAITING: usize = 32;

/// The longest wait for a turn: about as long as a node has to answer.
const TURN_WITHIN: Duration = Duration::from_secs(2);

/// The longest error of a push that another node is told, in bytes.
const ERROR_BYTES_MAX: usize = 8 << 10;

/// What the other nodes of the group know of a push.
#[derive(Clone, Debug)]
pub enum Elsewhere {
    /// This node took it, and it is so far.
    At(u64, PushState),
    /// There is no such push: the node that its name says does not know it, or is no other member of
    /// the group.
    Nowhere,
    /// The node that took it does not answer.
    Silent(u64),
    /// So many questions to that node are under way or wait that this one was not asked.
    Busy(u64),
}

/// The questions to other nodes, by the node. There is a line for each node that was a member when
/// it was asked about.
#[derive(Default)]
pub(super) struct Questions {
    lines: Mutex<BTreeMap<u64, Arc<Line>>>,
}

/// The questions to one node.
struct Line {
    /// Those under way, and those that wait.
    all: Semaphore,
    under_way: Semaphore,
}

impl Questions {
    /// Asks a question in its turn; `None` if too many wait already, or its turn does not come.
    async fn ask<T>(
        &self,
        runtime: &impl Runtime,
        node: u64,
        question: impl Future<Output = T>,
    ) -> Option<T> {
        let line = self.lines.lock().entry(node).or_default().clone();
        let _place = line.all.try_acquire().ok()?;
        let turn = runtime.timeout(TURN_WITHIN, line.under_way.acquire());
        let _turn = turn.await.ok()?.ok()?;
        Some(question.await)
    }
}

impl Default for Line {
    fn default() -> Self {
        Self {
            all: Semaphore::new(AT_ONCE + WAITING),
            under_way: Semaphore::new(AT_ONCE),
        }
    }
}

/// The state of a push, between nodes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Told {
    Waiting,
    Compiling {
        since_ms: u64,
    },
    Storing {
        stored: usize,
        needed: usize,
    },
    Ready {
        module: String,
        world: String,
        size: u64,
        made_component: bool,
    },
    Failed {
        error: String,
    },
    Cancelled,
}

impl From<PushState> for Told {
    fn from(state: PushState) -> Told {
        match state {
            PushState::Waiting => Told::Waiting,
            PushState::Compiling { since_ms } => Told::Compiling { since_ms },
            PushState::Storing(Copies { stored, needed }) => Told::Storing { stored, needed },
            PushState::Ready(taken) => Told::Ready {
                module: taken.digest.to_string(),
                world: taken.world.to_string(),
                size: taken.size,
                made_component: taken.made_component,
            },
            PushState::Failed(error) => Told::Failed {
                error: text::shown(error, ERROR_BYTES_MAX),
            },
            PushState::Cancelled => Told::Cancelled,
        }
    }
}

impl Told {
    /// The state; `None` if a name in it is none.
    fn state(self) -> Option<PushState> {
        Some(match self {
            Told::Waiting => PushState::Waiting,
            Told::Compiling { since_ms } => PushState::Compiling { since_ms },
            Told::Storing { stored, needed } => PushState::Storing(Copies { stored, needed }),
            Told::Ready {
                module,
                world,
                size,
                made_component,
            } => PushState::Ready(Pushed {
                digest: module.parse().ok()?,
                world: world.parse().ok()?,
                size,
                made_component,
            }),
            Told::Failed { error } => PushState::Failed(Arc::new(PushError::Elsewhere(error))),
            Told::Cancelled => PushState::Cancelled,
        })
    }
}

fn read(answer: &[u8]) -> Option<PushState> {
    let told: Told = serde_json::from_slice(answer).ok()?;
    told.state()
}

impl<R: Runtime> Guests<R> {
    /// How far a push is that this node did not take, as the node says that did. Waits up to `limit`
    /// for its end.
    pub async fn push_elsewhere(&self, name: PushName, limit: Duration) -> Elsewhere {
        let runtime = &self.shared.runtime;
        let deadline = runtime.now() + limit;
        let mut last = None;
        loop {
            let (Some(node), Some(service)) = (name.node, self.service_in_group()) else {
                return Elsewhere::Nowhere;
            };
            if !service.has_other_member(node) {
                return Elsewhere::Nowhere;
            }
            let question = service.ask_for_push(node, name.pushed);
            let state = match self.shared.questions.ask(runtime, node, question).await {
                Some(Ok(None)) => return Elsewhere::Nowhere,
                Some(Ok(Some(answer))) => match read(&answer) {
                    Some(state) => state,
                    None => return Elsewhere::Silent(node),
                },
                Some(Err(_)) => return Elsewhere::Silent(node),
                // An author who waits asks again; one who does not may do so, too.
                None => match last.take() {
                    Some(state) => state,
                    None => return Elsewhere::Busy(node),
                },
            };
            drop(service);
            let left = deadline.since(runtime.now());
            if state.is_over() || left.is_zero() || self.shared.stopping.is_raised() {
                return Elsewhere::At(node, state);
            }
            last = Some(state);
            let pause = runtime.sleep(left.min(ASK_AGAIN));
            select2(self.shared.stopping.wait(), pause).await;
        }
    }

    /// How far the push of that name is here, for another node; `None` if this node does not know it.
    pub(super) fn push_here(&self, id: Digest) -> Option<Bytes> {
        let state = self.pushed_here(id)?.state();
        serde_json::to_vec(&Told::from(state)).ok().map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use futures_util::future::join_all;
    use innkeeper_runtime::{Select2, Sim};
    use innkeeper_tree::World;

    use super::*;

    #[test]
    fn a_state_is_read_back_and_what_is_none_is_not() {
        let taken = Pushed {
            digest: Digest([7; 32]),
            world: World::Recipe,
            size: 8,
            made_component: true,
        };
        let failed = PushError::Store("it is full".to_owned());
        for state in [
            PushState::Waiting,
            PushState::Compiling { since_ms: 9 },
            PushState::Storing(Copies {
                stored: 1,
                needed: 2,
            }),
            PushState::Ready(taken),
            PushState::Failed(Arc::new(PushError::Elsewhere(failed.to_string()))),
            PushState::Cancelled,
        ] {
            let told = serde_json::to_vec(&Told::from(state.clone())).unwrap();
            let back = read(&told).expect("a state");
            assert_eq!(format!("{back:?}"), format!("{state:?}"));
        }
        assert!(read(b"{}").is_none());
        let nameless =
            br#"{"ready":{"module":"x","world":"recipe","size":1,"made_component":false}}"#;
        assert!(read(nameless).is_none());
    }

    #[test]
    fn few_questions_to_a_node_are_under_way_and_a_line_has_its_length() {
        Sim::run(1, async |runtime| {
            let questions = Questions::default();
            let (under_way, most) = (Cell::new(0), Cell::new(0));
            let slow = || async {
                under_way.set(under_way.get() + 1);
                most.set(most.get().max(under_way.get()));
                runtime.sleep(ASK_AGAIN).await;
                under_way.set(under_way.get() - 1);
            };
            let all = join_all((0..100).map(|_| questions.ask(&runtime, 7, slow())));
            let began = runtime.now();
            let answers = select2(all, async {
                runtime.sleep(ASK_AGAIN / 2).await;
                // Who asks another node waits for nobody, and who went made room.
                assert!(questions.ask(&runtime, 8, async {}).await.is_some());
                assert_eq!(runtime.now().since(began), ASK_AGAIN / 2);
                assert!(questions.ask(&runtime, 7, async {}).await.is_none());
                pending::<()>().await;
            });
            let Select2::First(answers) = answers.await else {
                panic!("it is pending");
            };
            let asked = answers.iter().filter(|answer| answer.is_some()).count();
            assert_eq!((asked, most.get()), (AT_ONCE + WAITING, AT_ONCE));
            let turns = (AT_ONCE + WAITING).div_ceil(AT_ONCE) as u32;
            assert_eq!(runtime.now().since(began), ASK_AGAIN * turns);
            let gone = select2(
                join_all((0..100).map(|_| questions.ask(&runtime, 7, slow()))),
                async {},
            );
            gone.await;
            assert!(questions.ask(&runtime, 7, async {}).await.is_some());
            // Four that get no answer hold up the others no longer than this.
            let silent =
                join_all((0..AT_ONCE).map(|_| questions.ask(&runtime, 7, pending::<()>())));
            let began = runtime.now();
            let waits = join_all((0..WAITING).map(|_| questions.ask(&runtime, 7, async {})));
            let Select2::Second(refused) = select2(silent, waits).await else {
                panic!("nobody answers");
            };
            assert!(refused.iter().all(Option::is_none));
            assert_eq!(runtime.now().since(began), TURN_WITHIN);
        });
    }
}
