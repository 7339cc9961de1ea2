//! The read index: a quorum confirms that a node still leads, and the reading node waits until it
//! has applied everything that was committed by then.
//!
//! A node that follows asks the leader for the index. If there is no leader, the question waits
//! for one; the caller limits the time.
//!
//! openraft merges consecutive writes in its queue, and any other message between them ends the
//! merge. So there is one confirmation at a time on each node: all callers that ask while it runs
//! share the next one.
//!
//! **Invariant:** a confirmed read sees everything that was acknowledged on any node before it
//! began, and everything that an earlier confirmed read has seen. (tests:
//! `a_confirmed_read_sees_what_was_acknowledged_before_on_any_node`,
//! `every_operation_is_applied_once_and_in_order_whatever_happens`)

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use innkeeper_runtime::{Runtime, Signal, ThreadRole, select2};
use openraft::ReadPolicy;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::RaftError;
use openraft::raft::linearizable_read::{Linearizer, ReadLogId};
use tokio::sync::{mpsc, oneshot};

use crate::engine::RaftOf;
use crate::error::{Failure, Unavailable};
use crate::peer::Peers;
use crate::types::{LogId, NodeId};

/// How many callers may wait for the next confirmation. Further callers wait until there is room.
const WAITING: usize = 16_384;

/// The pause after a question that no leader has answered.
const AGAIN: Duration = Duration::from_millis(20);

type Answer = Result<LogId, Unavailable>;

struct Question {
    /// May this node ask another one? A node that was asked may not.
    may_ask: bool,
    answer: oneshot::Sender<Answer>,
}

/// Asks for confirmations. Clones share one task.
#[derive(Clone, Debug)]
pub(crate) struct ReadIndex {
    questions: mpsc::Sender<Question>,
    pending: Arc<AtomicUsize>,
    failure: Failure,
}

/// A caller that waits.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn begin(pending: &'a AtomicUsize) -> Self {
        pending.fetch_add(1, Ordering::Relaxed);
        Self(pending)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ReadIndex {
    pub(crate) fn start<R: Runtime>(
        runtime: &R,
        raft: RaftOf<R>,
        peers: Peers<R>,
        stop: Signal,
        failure: Failure,
    ) -> Self {
        let (questions, queue) = mpsc::channel(WAITING);
        let asking = Asking {
            raft,
            peers,
            failure: failure.clone(),
        };
        runtime
            .spawn(ThreadRole::Raft, asking.run(queue, stop))
            .detach();
        Self {
            questions,
            pending: Arc::default(),
            failure,
        }
    }

    /// Returns after this node has applied everything that was committed before the call. Waits for
    /// a leader if there is none.
    pub(crate) async fn confirm(&self) -> Result<(), Unavailable> {
        self.ask(true).await.map(drop)
    }

    /// The last entry that another node must apply before a read that began now. An error if this
    /// node does not lead.
    pub(crate) async fn led(&self) -> Answer {
        self.ask(false).await
    }

    /// How many callers wait for an answer, other nodes included.
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    async fn ask(&self, may_ask: bool) -> Answer {
        let _waits = Waits::begin(&self.pending);
        let (answer, answered) = oneshot::channel();
        let question = Question { may_ask, answer };
        if self.questions.send(question).await.is_err() {
            return Err(self.stopped());
        }
        match answered.await {
            Ok(answer) => answer,
            Err(_) => Err(self.stopped()),
        }
    }

    fn stopped(&self) -> Unavailable {
        let sentence = self.failure.get();
        Unavailable::Stopped(sentence.unwrap_or_else(|| "the node has been shut down".to_owned()))
    }
}

struct Asking<R: Runtime> {
    raft: RaftOf<R>,
    peers: Peers<R>,
    failure: Failure,
}

impl<R: Runtime> Asking<R> {
    async fn run(self, mut queue: mpsc::Receiver<Question>, stop: Signal) {
        let serve = async {
            while let Some(first) = queue.recv().await {
                let mut waiting = vec![first];
                while let Ok(another) = queue.try_recv() {
                    waiting.push(another);
                }
                self.answer(waiting).await;
            }
        };
        select2(stop.wait(), serve).await;
    }

    /// Answers all questions that came before the confirmation began.
    async fn answer(&self, mut waiting: Vec<Question>) {
        loop {
            let mut confirmed = self.confirmed().await;
            if let Ok(id) = confirmed {
                // Other nodes wait for their own state machines.
                waiting = answer(waiting, &confirmed, |question| !question.may_ask);
                if let Err(stopped) = self.applied(id).await {
                    confirmed = Err(stopped);
                }
            }
            let is_final = matches!(confirmed, Ok(_) | Err(Unavailable::Stopped(_)));
            // What comes from another node is answered now: that node asks again. So it is on a
            // node alone, where nobody else can lead.
            let alone = self.is_alone();
            let later = answer(waiting, &confirmed, |question| {
                !question.may_ask || is_final || alone
            });
            if later.is_empty() {
                return;
            }
            waiting = later;
            self.peers.inner().runtime.sleep(AGAIN).await;
        }
    }

    /// Is this node the only voter? A node whose group is not formed yet has no voter at all, and
    /// waits for the others.
    fn is_alone(&self) -> bool {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().voter_ids().count() == 1
    }

    async fn confirmed(&self) -> Answer {
        // Without the question to a quorum a read shows what this node has, and a test must fail.
        if cfg!(innkeeper_break = "sync-quorum")
            && let Some(applied) = self.raft.metrics().borrow_watched().last_applied
        {
            return Ok(applied);
        }
        let (own, leader) = {
            let metrics = self.raft.server_metrics();
            let metrics = metrics.borrow_watched();
            (metrics.id, metrics.current_leader)
        };
        match leader {
            Some(leader) if leader != own => self.ask_leader(leader).await,
            _ => self.lead().await,
        }
    }

    async fn lead(&self) -> Answer {
        match self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(linearizer) => Ok(*linearizer.read_log_id().log_id()),
            Err(RaftError::APIError(error)) => Err(Unavailable::NotLeader(error.to_string())),
            Err(RaftError::Fatal(fatal)) => {
                let sentence = self.failure.get().unwrap_or_else(|| fatal.to_string());
                Err(Unavailable::Stopped(sentence))
            }
        }
    }

    /// Waits until this node has applied an entry.
    async fn applied(&self, id: LogId) -> Result<(), Unavailable> {
        let read = ReadLogId::from_log_id(id);
        let linearizer = Linearizer::new(self.peers.identity().node_id, read, None);
        match linearizer.await_ready(&self.raft).await {
            Ok(_) => Ok(()),
            Err(fatal) => {
                let sentence = self.failure.get().unwrap_or_else(|| fatal.to_string());
                Err(Unavailable::Stopped(sentence))
            }
        }
    }

    async fn ask_leader(&self, leader: NodeId) -> Answer {
        self.peers
            .read_index(leader)
            .await
            .map_err(Unavailable::NotLeader)
    }
}

/// Answers those whose turn it is, and returns the others. Callers that have gone are dropped.
fn answer(
    waiting: Vec<Question>,
    confirmed: &Answer,
    is_now: impl Fn(&Question) -> bool,
) -> Vec<Question> {
    let there = waiting
        .into_iter()
        .filter(|question| !question.answer.is_closed());
    let (now, later): (Vec<_>, Vec<_>) = there.partition(is_now);
    for question in now {
        let _ = question.answer.send(confirmed.clone());
    }
    later
}
