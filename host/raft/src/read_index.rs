//! Confirming reads: is this node still the leader, and has it applied all that was committed?
//!
//! openraft merges writes that follow each other in its queue; every other message in between
//! ends a merge. So at most one confirmation is outstanding: whoever asks while it runs is
//! served by the next one, together with all others who asked meanwhile.

use innkeeper_runtime::{Runtime, Select2, Signal, ThreadRole, select2};
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::{Raft, ReadPolicy};
use tokio::sync::{mpsc, oneshot};

use crate::error::{Failure, Unavailable};
use crate::state::StateMachine;
use crate::types::TypeConfig;

/// How many questions may wait for the next confirmation; one more waits to be asked.
const WAITING: usize = 16_384;

type Answer = Result<(), Unavailable>;

/// Asks for confirmations. Clones ask the same task.
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

    /// Returns when everything that was committed before the call is applied and published.
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
            // An asker that has gone away needs no answer.
            let _ = asker.send(answer.clone());
        }
    }
}

fn not_leader<R: Runtime>(error: &LinearizableReadError<TypeConfig<R>>) -> Unavailable {
    Unavailable::NotLeader(error.to_string())
}
