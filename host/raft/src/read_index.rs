//! The read index: a quorum confirms that this node still leads, and the node waits until it has
//! applied everything that was committed.
//!
//! openraft merges consecutive writes in its queue, and any other message between them ends the
//! merge. So there is one confirmation at a time: all callers that ask while it runs share the next
//! one.

use innkeeper_runtime::{Runtime, Select2, Signal, ThreadRole, select2};
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::{Raft, ReadPolicy};
use tokio::sync::{mpsc, oneshot};

use crate::error::{Failure, Unavailable};
use crate::state::StateMachine;
use crate::types::TypeConfig;

/// How many callers may wait for the next confirmation. Further callers wait until there is room.
const WAITING: usize = 16_384;

type Answer = Result<(), Unavailable>;

/// Asks for confirmations. Clones share one task.
#[derive(Clone, Debug)]
pub(crate) struct ReadIndex {
    questions: mpsc::Sender<oneshot::Sender<Answer>>,
    failure: Failure,
}

impl ReadIndex {
    pub(crate) fn start<R: Runtime>(
        runtime: &R,
        raft: Raft<TypeConfig<R>, StateMachine<R>>,
        stop: Signal,
        failure: Failure,
    ) -> Self {
        let (questions, queue) = mpsc::channel(WAITING);
        let task = run(raft, queue, stop, failure.clone());
        runtime.spawn(ThreadRole::Raft, task).detach();
        Self { questions, failure }
    }

    /// Returns after everything that was committed before the call is applied and published.
    pub(crate) async fn confirm(&self) -> Answer {
        let (sender, answer) = oneshot::channel();
        if self.questions.send(sender).await.is_err() {
            return Err(self.stopped());
        }
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(self.stopped()),
        }
    }

    fn stopped(&self) -> Unavailable {
        let sentence = self.failure.get();
        Unavailable::Stopped(sentence.unwrap_or_else(|| "the node has been shut down".to_owned()))
    }
}

async fn run<R: Runtime>(
    raft: Raft<TypeConfig<R>, StateMachine<R>>,
    mut queue: mpsc::Receiver<oneshot::Sender<Answer>>,
    stop: Signal,
    failure: Failure,
) {
    loop {
        let Select2::Second(Some(first)) = select2(stop.wait(), queue.recv()).await else {
            return;
        };
        let mut waiting = vec![first];
        while let Ok(another) = queue.try_recv() {
            waiting.push(another);
        }
        let answer = match raft.ensure_linearizable(ReadPolicy::ReadIndex).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(error)) => Err(not_leader(&error)),
            Err(RaftError::Fatal(fatal)) => {
                let sentence = failure.get().unwrap_or_else(|| fatal.to_string());
                Err(Unavailable::Stopped(sentence))
            }
        };
        for asker in waiting {
            // A caller may have gone meanwhile.
            let _ = asker.send(answer.clone());
        }
    }
}

fn not_leader<R: Runtime>(error: &LinearizableReadError<TypeConfig<R>>) -> Unavailable {
    Unavailable::NotLeader(error.to_string())
}
