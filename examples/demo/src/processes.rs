//! Starts and ends the processes of the demo: the nodes and the consumers.
//!
//! Each runs this same binary, in a process group of its own. So Ctrl-C in the terminal reaches only
//! the demo, which then ends the processes in order.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use super::nodes::{NodeInfo, Nodes};
use super::parts::{Parts, ended, last_line};
use super::told::Told;

/// The session timeout of the consumers.
pub(super) const SESSION_TIMEOUT_MS: u64 = 2_500;

/// How the processes of the demo ended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Ended {
    /// The nodes' exit codes.
    pub(super) node_exit_codes: Vec<Option<i32>>,
    /// Consumers that ended by themselves after the request.
    pub(super) consumers_left: usize,
    /// Processes of the demo that still run; 0 if all went well.
    pub(super) left_running: usize,
    /// Whether the temporary folder was removed.
    pub(super) folder_removed: bool,
}

/// The processes of a demo, and the temporary folder that they write to.
pub(super) struct Processes {
    pub(super) parts: Parts,
    pub(super) nodes: Nodes,
    consumers: BTreeMap<String, Child>,
    pub(super) told: Arc<Told>,
}

impl Processes {
    /// Creates the temporary folder. No process runs yet.
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            parts: Parts::new()?,
            nodes: Nodes::default(),
            consumers: BTreeMap::new(),
            told: Arc::default(),
        })
    }

    /// Starts so many nodes, and returns when they are ready.
    pub(super) async fn start_nodes(&mut self, count: u64) -> anyhow::Result<Vec<NodeInfo>> {
        self.nodes.start(&self.parts, count).await?;
        Ok(self.nodes.infos())
    }

    /// Starts a node again that was killed, and returns its process id.
    pub(super) async fn restart_node(&mut self, former: &NodeInfo) -> anyhow::Result<u32> {
        self.nodes.restart(&self.parts, former).await
    }

    /// Starts a consumer, and returns its process id. It connects to any of `servers`.
    pub(super) fn start_consumer(
        &mut self,
        member: &str,
        servers: &str,
        group: &str,
    ) -> anyhow::Result<u32> {
        let mut command = self.parts.command(member)?;
        command.args([CONSUMER, "--connect", servers, "--group", group]);
        command.args([
            "--member",
            member,
            "--session-timeout-ms",
            &SESSION_TIMEOUT_MS.to_string(),
        ]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("the consumer {member} cannot be started"))?;
        let id = child.id().unwrap_or_default();
        let stdout = child
            .stdout
            .take()
            .context("a consumer's output cannot be read")?;
        let (told, name) = (Arc::clone(&self.told), member.to_owned());
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(assignment) = serde_json::from_str(&line) {
                    told.tell(&name, assignment);
                }
            }
            told.forget(&name);
        });
        self.consumers.insert(member.to_owned(), child);
        Ok(id)
    }

    /// Kills a consumer (SIGKILL), which leaves its session open.
    pub(super) async fn kill_consumer(&mut self, member: &str) -> anyhow::Result<()> {
        let mut child = self
            .consumers
            .remove(member)
            .context("there is no such consumer")?;
        child
            .kill()
            .await
            .with_context(|| format!("{member} cannot be killed"))
    }

    /// A sentence about a process that ended without a request, if there is one.
    pub(super) fn who_ended(&mut self) -> Option<String> {
        let consumers = self.consumers.iter_mut();
        let mut children = self
            .nodes
            .children()
            .chain(consumers.map(|(name, child)| (name.clone(), child)));
        let (name, status) =
            children.find_map(|(name, child)| Some((name, child.try_wait().ok()??)))?;
        Some(format!(
            "the process {name} ended unexpectedly ({status}){}",
            last_line(&self.parts.log(&name))
        ))
    }

    /// Ends the consumers, then the nodes, and removes the folder.
    pub(super) async fn stop(mut self) -> anyhow::Result<Ended> {
        let mut consumers_left = 0;
        let mut left_running = 0;
        for child in self.consumers.values_mut() {
            // The end of its stdin asks a consumer to end.
            drop(child.stdin.take());
        }
        for child in self.consumers.values_mut() {
            match ended(child).await {
                Some(status) if status.success() => consumers_left += 1,
                Some(_) => {}
                None => left_running += 1,
            }
        }
        let node_exit_codes = self.nodes.stop().await?;
        let still_run = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        left_running += self
            .nodes
            .children()
            .filter_map(|(_, child)| still_run(child).then_some(()))
            .count();
        let path = self.parts.folder().to_owned();
        self.parts.remove()?;
        Ok(Ended {
            node_exit_codes,
            consumers_left,
            left_running,
            folder_removed: !path.exists(),
        })
    }

    /// Kills all processes. The folder is removed when `self` is dropped.
    pub(super) async fn kill(mut self) {
        let nodes = self.nodes.children().map(|(_, child)| child);
        for child in nodes.chain(self.consumers.values_mut()) {
            // An error means that the process has ended already.
            let _ = child.kill().await;
        }
    }
}

/// The hidden command that runs a consumer.
const CONSUMER: &str = "demo-consumer";
