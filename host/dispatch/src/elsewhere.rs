//! Pushes that another node of the group took, for an author who asks this one.
//!
//! 1. Only the node that took a push knows how far it is. A node that does not know the push asks all
//!    other members at once ([`Guests::push_elsewhere`]).
//! 2. The one that knows it answers with the state. That counts as asking, so the push stays alive.
//! 3. An author who waits for the end has that node asked again every [`ASK_AGAIN`].
//!
//! An author whose question lands at another node each time so always gets the push's state.
//! (test: `how_far_a_push_is_says_whichever_node_is_asked`)

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use innkeeper_runtime::{Runtime, select2};
use innkeeper_server::copies::Copies;
use innkeeper_tree::{Digest, text};
use serde::{Deserialize, Serialize};

use super::Guests;
use super::modules::{PushError, Pushed};
use super::pushes::PushState;

/// The pause between two questions of an author who waits.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The longest error of a push that another node is told, in bytes.
const ERROR_BYTES_MAX: usize = 8 << 10;

/// What the other nodes of the group know of a push.
#[derive(Clone, Debug)]
pub enum Elsewhere {
    /// This node took it, and it is so far.
    At(u64, PushState),
    /// Nobody who answers knows it. These members do not answer; none in a node that is alone.
    Nowhere {
        /// Their numbers, in order.
        silent: Vec<u64>,
    },
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
    /// How far a push is that this node does not know, as the node says that took it. Waits up to
    /// `limit` for its end.
    pub async fn push_elsewhere(&self, id: Digest, limit: Duration) -> Elsewhere {
        let Some(service) = self.service_in_group() else {
            return Elsewhere::Nowhere { silent: Vec::new() };
        };
        let runtime = &self.shared.runtime;
        let deadline = runtime.now() + limit;
        let mut nodes: Option<Vec<u64>> = None;
        loop {
            let mut silent = Vec::new();
            let mut found = None;
            for (node, answer) in service.ask_for_push(id, nodes.as_deref()).await {
                match answer {
                    Ok(Some(answer)) => {
                        found = read(&answer).map(|state| (node, state)).or(found);
                    }
                    Ok(None) => {}
                    Err(_) => silent.push(node),
                }
            }
            let Some((node, state)) = found else {
                return Elsewhere::Nowhere { silent };
            };
            let left = deadline.since(runtime.now());
            if state.is_over() || left.is_zero() {
                return Elsewhere::At(node, state);
            }
            nodes = Some(vec![node]);
            let pause = runtime.sleep(left.min(ASK_AGAIN));
            select2(self.shared.stopping.wait(), pause).await;
        }
    }

    /// How far the push of that name is here, for another node; `None` if this node does not know it.
    pub(super) fn push_here(&self, id: Digest) -> Option<Bytes> {
        let state = self.find_push(id)?.state();
        serde_json::to_vec(&Told::from(state)).ok().map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
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
}
