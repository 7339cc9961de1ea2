//! Starts and ends the processes of the demo: the node and the consumers.
//!
//! Each runs this same binary, in a process group of its own. So Ctrl-C in the terminal reaches only
//! the demo, which then ends the processes in order.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use innkeeper_consumer::Assignment;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

/// Longest time for the start of a process, or for its end after the request.
const PATIENCE: Duration = Duration::from_secs(20);

/// The node's tick. Session timeouts are 2 to 20 ticks.
const TICK_TIME_MS: u32 = 500;

/// The session timeout of the consumers.
pub(super) const SESSION_TIMEOUT_MS: u64 = 2_500;

/// The addresses of the node.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Addresses {
    /// For ZooKeeper's clients.
    pub(super) zookeeper: SocketAddr,
    /// For HTTP.
    pub(super) http: SocketAddr,
    /// The path of the admin socket.
    pub(super) admin: PathBuf,
}

/// The last assignment that each consumer has printed.
#[derive(Default)]
pub(super) struct Told {
    by_member: Mutex<BTreeMap<String, Assignment>>,
    changed: Notify,
}

impl Told {
    /// Waits until all of `members` have printed an assignment of this generation.
    pub(super) async fn wait_for(
        &self,
        generation: u64,
        members: &[String],
    ) -> BTreeMap<String, Assignment> {
        loop {
            let changed = self.changed.notified();
            {
                let told = self.by_member.lock();
                let heard = |member| {
                    told.get(member)
                        .is_some_and(|it: &Assignment| it.generation >= generation)
                };
                if members.iter().all(heard) {
                    return told.clone();
                }
            }
            changed.await;
        }
    }
}

/// How the processes of the demo ended.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Ended {
    /// The node's exit code.
    pub(super) node_exit_code: Option<i32>,
    /// Consumers that ended by themselves after the request.
    pub(super) consumers_left: usize,
    /// Processes of the demo that still run; 0 if all went well.
    pub(super) left_running: usize,
    /// Whether the temporary folder was removed.
    pub(super) folder_removed: bool,
}

/// The processes of a demo, and the temporary folder that they write to.
pub(super) struct Processes {
    folder: TempDir,
    node: Option<Child>,
    consumers: BTreeMap<String, Child>,
    pub(super) told: Arc<Told>,
}

impl Processes {
    /// Creates the temporary folder. No process runs yet.
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("innkeeper-demo-")
            .tempdir()
            .context(
                "no temporary folder can be created; set TMPDIR to a folder that this user may write",
            )?;
        Ok(Self {
            folder,
            node: None,
            consumers: BTreeMap::new(),
            told: Arc::default(),
        })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the node on free ports, and returns its process id and its addresses.
    pub(super) async fn start_node(&mut self) -> anyhow::Result<(u32, Addresses)> {
        let mut command = self.command("node")?;
        let tick = TICK_TIME_MS.to_string();
        command.args([
            PART,
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
        ]);
        command
            .args(["--tick-time-ms", &tick, "--data"])
            .arg(self.folder().join("data"));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .context("the node's process cannot be started")?;
        let id = child.id().unwrap_or_default();
        let stdout = child
            .stdout
            .take()
            .context("the node's output cannot be read")?;
        self.node = Some(child);
        let mut line = String::new();
        tokio::time::timeout(PATIENCE, BufReader::new(stdout).read_line(&mut line))
            .await
            .context("the node was not ready in time")?
            .context("the node's output cannot be read")?;
        match addresses(&line) {
            Some(addresses) => Ok((id, addresses)),
            None => bail!(
                "the node did not become ready{}",
                last_line(&self.log("node"))
            ),
        }
    }

    /// Starts a consumer, and returns its process id.
    pub(super) fn start_consumer(
        &mut self,
        member: &str,
        addresses: &Addresses,
        group: &str,
    ) -> anyhow::Result<u32> {
        let mut command = self.command(member)?;
        command.args([
            CONSUMER,
            "--connect",
            &addresses.zookeeper.to_string(),
            "--group",
            group,
        ]);
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
                    told.by_member.lock().insert(name.clone(), assignment);
                    told.changed.notify_waiters();
                }
            }
            told.by_member.lock().remove(&name);
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
        let node = self.node.iter_mut().map(|child| ("node", child));
        let consumers = self
            .consumers
            .iter_mut()
            .map(|(name, child)| (name.as_str(), child));
        let ended: Vec<_> = node
            .chain(consumers)
            .filter_map(|(name, child)| Some((name.to_owned(), child.try_wait().ok()??)))
            .collect();
        let (name, status) = ended.into_iter().next()?;
        let what = if name == "node" {
            "the node".to_owned()
        } else {
            format!("the consumer {name}")
        };
        Some(format!(
            "{what} ended unexpectedly ({status}){}",
            last_line(&self.log(&name))
        ))
    }

    /// Ends the consumers, then the node, and removes the folder.
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
        let mut node_exit_code = None;
        if let Some(node) = &mut self.node {
            if let Some(pid) = node
                .id()
                .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
            {
                kill_process(pid, Signal::TERM).context("SIGTERM cannot be sent to the node")?;
            }
            match ended(node).await {
                Some(status) => node_exit_code = status.code(),
                None => left_running += 1,
            }
        }
        let path = self.folder().to_owned();
        let removed = self.folder.close();
        removed.with_context(|| {
            format!(
                "the folder {} cannot be removed; remove it by hand",
                path.display()
            )
        })?;
        Ok(Ended {
            node_exit_code,
            consumers_left,
            left_running,
            folder_removed: !path.exists(),
        })
    }

    /// Kills all processes. The folder is removed when `self` is dropped.
    pub(super) async fn kill(mut self) {
        let children = self.node.iter_mut().chain(self.consumers.values_mut());
        for child in children {
            // An error means that the process has ended already.
            let _ = child.kill().await;
        }
    }

    /// A command of this binary with its stderr in a file, since the terminal shows the demo.
    fn command(&self, name: &str) -> anyhow::Result<Command> {
        let mut command =
            Command::new(std::env::current_exe().context("this binary cannot be found")?);
        let log = File::create(self.log(name)).context("the temporary folder cannot be written")?;
        command.stderr(log).process_group(0).kill_on_drop(true);
        Ok(command)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.log"))
    }
}

/// Waits for the end of a process, and kills it after [`PATIENCE`]. `None` if it still runs.
async fn ended(child: &mut Child) -> Option<ExitStatus> {
    match tokio::time::timeout(PATIENCE, child.wait()).await {
        Ok(Ok(status)) => Some(status),
        _ => {
            let _ = child.kill().await;
            child.try_wait().ok().flatten()
        }
    }
}

/// The addresses in the node's ready line.
fn addresses(line: &str) -> Option<Addresses> {
    let line = line.strip_prefix("innkeeper ready: ")?;
    let (sockets, admin) = line.trim_end().split_once(" admin=")?;
    let (zookeeper, http) = sockets.split_once(" http=")?;
    Some(Addresses {
        zookeeper: zookeeper.strip_prefix("zookeeper=")?.parse().ok()?,
        http: http.parse().ok()?,
        admin: admin.into(),
    })
}

/// The last line of a process's stderr, to be appended to a sentence.
fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    line.map_or_else(String::new, |line| format!(": {}", line.trim()))
}

/// The hidden command that calls [`run_as_part`].
const PART: &str = "demo-part";

/// The hidden command that runs a consumer.
const CONSUMER: &str = "demo-consumer";

/// Replaces this process by another command of the binary. It gets SIGTERM when its parent, the demo,
/// ends for whatever reason.
pub fn run_as_part(arguments: Vec<OsString>) -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
        .context("the signal for the end of the demo cannot be set")?;
    let binary = std::env::current_exe().context("this binary cannot be found")?;
    let error = std::process::Command::new(binary).args(arguments).exec();
    Err(error).context("the part of the demo cannot be started")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_understood() {
        let line =
            "innkeeper ready: zookeeper=127.0.0.1:2181 http=127.0.0.1:8080 admin=/a b/admin.sock\n";
        let found = addresses(line).expect("addresses");
        assert_eq!(found.zookeeper.port(), 2181);
        assert_eq!(found.http.port(), 8080);
        assert_eq!(found.admin, Path::new("/a b/admin.sock"));
        assert!(addresses("").is_none() && addresses("innkeeper: no").is_none());
    }
}
