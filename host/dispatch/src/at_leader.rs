//! What only the leader knows of bindings, for operators at any node.
//!
//! 1. Reactions and activations are the leader's (`leading`). So their counts, errors and logs are
//!    there, and so is the end of a first invocation.
//! 2. A node that leads, or that is in no group, answers from its own reports. Any other node asks
//!    the leader. Who may know the answer is judged where the operator asks.
//! 3. A question carries the zxid of the asker's view. A leader that has not applied as much is
//!    asked again, so an operator sees what he has just written.
//! 4. A node that no quorum acknowledges answers nothing, not even about itself. If no leader
//!    answers within [`PATIENCE_ELECTIONS`], the operator is told so.
//!
//! Bounds: a status has at most 32 messages and two errors of 4 KiB each. An answer ends with the
//! status by which it reaches [`PAGE_BYTES`]; the next question asks for those that are left.
//! (test: `a_bindings_status_is_the_leaders_whichever_node_is_asked`)

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use innkeeper_raft::Standing;
use innkeeper_runtime::{Runtime, select2};
use innkeeper_tree::{Binding, Zxid};
use serde::{Deserialize, Serialize};

use super::Guests;
use super::first::FirstRun;
use super::report::BindingStatus;

/// How many election timeouts an operator's question waits for a leader's answer.
const PATIENCE_ELECTIONS: u32 = 4;

/// The pause after a question that no leader has answered, and between two looks at what the leader
/// knows.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// An answer with several statuses ends with the one by which it has so many bytes.
const PAGE_BYTES: usize = 256 << 10;

/// No leader has answered; only the leader knows how bindings are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no leader has answered within {waited_ms} ms, and only the leader knows how bindings are ({why}); try again when \
     the group has a leader, see `innkeeper status`"
)]
pub struct NoLeader {
    waited_ms: u128,
    why: String,
}

/// A question to the leader.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Question {
    /// The statuses of the bindings whose names come after this one.
    Statuses { after: Option<String> },
    /// The status of one binding.
    Status { name: String },
    /// Why the document of that zxid could not be activated.
    NotActivated { name: String, wish: u64 },
    /// How the first invocation under an activation ended.
    FirstRun { name: String, activation: u64 },
}

#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    /// The zxid of the asker's view.
    seen: u64,
    question: Question,
}

/// The leader's answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Told {
    /// The leader has not applied what the asker has seen.
    Behind,
    /// In the order of their names; whether there are more.
    Statuses {
        statuses: Vec<BindingStatus>,
        more: bool,
    },
    /// `None` if there is no such binding.
    Status(Option<Box<BindingStatus>>),
    /// `None` if nothing has failed.
    NotActivated(Option<String>),
    /// `None` if it has not ended.
    FirstRun(Option<FirstRun>),
}

impl<R: Runtime> Guests<R> {
    /// The status of one binding, as the leader sees it; `None` if there is no such binding.
    pub async fn status(&self, name: &str) -> Result<Option<BindingStatus>, NoLeader> {
        let name = name.to_owned();
        match self.at_leader(Question::Status { name }).await? {
            Told::Status(status) => Ok(status.map(|status| *status)),
            other => Err(self.stray(&other)),
        }
    }

    /// The status of every binding, by name, as the leader sees them.
    pub async fn statuses(&self) -> Result<Vec<BindingStatus>, NoLeader> {
        let mut all: Vec<BindingStatus> = Vec::new();
        loop {
            let after = all.last().map(|last| last.name.clone());
            match self.at_leader(Question::Statuses { after }).await? {
                Told::Statuses { statuses, more } => {
                    let none_came = statuses.is_empty();
                    all.extend(statuses);
                    if !more || none_came {
                        return Ok(all);
                    }
                }
                other => return Err(self.stray(&other)),
            }
        }
    }

    /// The leader's answer. Waits for a leader for a while.
    async fn at_leader(&self, question: Question) -> Result<Told, NoLeader> {
        let runtime = &self.shared.runtime;
        let (begun, patience) = (runtime.now(), self.patience());
        let mut standings = self.shared.standings.clone();
        let mut why = "none was asked".to_owned();
        loop {
            let left = (begun + patience).since(runtime.now());
            if left.is_zero() {
                return Err(self.no_leader(why));
            }
            match runtime.timeout(left, self.ask_leader(&question)).await {
                Ok(Ok(told)) => return Ok(told),
                Ok(Err(reason)) => why = reason,
                Err(_) => "it gives no answer".clone_into(&mut why),
            }
            select2(standings.changed(), runtime.sleep(ASK_AGAIN)).await;
        }
    }

    /// Asks the leader once. The error is the reason why there is no answer.
    pub(super) async fn ask_leader(&self, question: &Question) -> Result<Told, String> {
        let Some(service) = self.service_in_group() else {
            return Ok(self.tell(question));
        };
        if service.leads().is_some() {
            return Ok(self.tell(question));
        }
        let leader = match self.standing() {
            Standing::Follows { leader, .. } => leader,
            Standing::Leads { .. } => return Err("this node leads without a quorum".to_owned()),
            Standing::Waits => return Err("this node knows of none".to_owned()),
        };
        let asked = Asked {
            seen: self.shared.reader.view().zxid().0,
            question: question.clone(),
        };
        let asked = serde_json::to_vec(&asked).map_err(|error| error.to_string())?;
        let answer = service.ask_guests_of(leader, asked.into()).await?;
        match serde_json::from_slice(&answer) {
            Ok(Told::Behind) => Err(format!("node {leader} has not applied all entries yet")),
            Ok(told) => Ok(told),
            Err(_) => Err(format!(
                "the answer of node {leader} cannot be read: update the older node"
            )),
        }
    }

    /// Answers another node's question. `None` if it cannot be read.
    pub(super) fn asked(&self, asked: &[u8]) -> Option<Bytes> {
        let asked: Asked = serde_json::from_slice(asked).ok()?;
        let told = match self.shared.reader.view().zxid() < Zxid(asked.seen) {
            true => Told::Behind,
            false => self.tell(&asked.question),
        };
        serde_json::to_vec(&told).ok().map(Bytes::from)
    }

    /// What this node knows.
    fn tell(&self, question: &Question) -> Told {
        let view = self.shared.reader.view();
        let bindings = view.bindings();
        match question {
            Question::Statuses { after } => {
                let is_left = |binding: &&Arc<Binding>| match after {
                    Some(after) => *binding.name > **after,
                    None => true,
                };
                let mut left = bindings.iter().filter(is_left);
                let (mut statuses, mut bytes) = (Vec::new(), 0);
                while bytes < PAGE_BYTES
                    && let Some(binding) = left.next()
                {
                    let status = self.status_of(binding);
                    bytes += status.bytes_at_most();
                    statuses.push(status);
                }
                let more = left.next().is_some();
                Told::Statuses { statuses, more }
            }
            Question::Status { name } => {
                let binding = bindings.get(name);
                Told::Status(binding.map(|binding| Box::new(self.status_of(binding))))
            }
            Question::NotActivated { name, wish } => {
                let binding = bindings.get(name);
                let binding = binding.filter(|binding| binding.wish == Zxid(*wish));
                Told::NotActivated(
                    binding.and_then(|binding| self.status_of(binding).activation_error),
                )
            }
            Question::FirstRun { name, activation } => {
                Told::FirstRun(self.first_run_here(name, Zxid(*activation)))
            }
        }
    }

    /// Waits for the next change of a binding. In a group it also returns after a while, since what
    /// happens at the leader is no news here.
    pub(super) async fn news_or_again(&self, news: impl Future<Output = ()>) {
        match self.is_in_group() {
            true => {
                select2(news, self.shared.runtime.sleep(ASK_AGAIN)).await;
            }
            false => news.await,
        }
    }

    fn patience(&self) -> Duration {
        let service = self.service_in_group();
        let election = service.map_or(Duration::ZERO, |service| service.settings.election());
        (election * PATIENCE_ELECTIONS).max(ASK_AGAIN)
    }

    fn no_leader(&self, why: String) -> NoLeader {
        let waited_ms = self.patience().as_millis();
        NoLeader { waited_ms, why }
    }

    fn stray(&self, told: &Told) -> NoLeader {
        tracing::debug!("the leader's answer is of another question: {told:?}");
        self.no_leader("its answer is of another question: update the older node".to_owned())
    }
}
