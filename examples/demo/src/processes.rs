//! The processes that the demo starts, and their end.
//!
//! Each is this very binary. They are put into process groups of their own, so that Ctrl-C in the
//! terminal reaches the demo alone, which then ends them in its own order.

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

/// How long a process may take to start or to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(20);

/// The node's tick: ZooKeeper bounds session timeouts between 2 and 20 of it.
const TICK_TIME_MS: u32 = 500;

/// How long the server waits for a consumer that fell silent.
pub(super) const SESSION_TIMEOUT_MS: u64 = 2_500;

/// Where the node is reached.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Addresses {
    /// ZooKeeper's clients.
    pub(super) zookeeper: SocketAddr,
    /// HTTP.
    pub(super) http: SocketAddr,
    /// The admin socket.
    pub(super) admin: PathBuf,
}

/// What the consumers have printed: what each believes to own.
#[derive(Default)]
pub(super) struct Told {
    by_member: Mutex<BTreeMap<String, Assignment>>,
    changed: Notify,
}

impl Told {
    /// Waits until everyone in `members` has heard of the generation.
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

/// How everything ended.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Ended {
    /// The node's exit code.
    pub(super) node_exit_code: Option<i32>,
    /// Consumers that left when they were asked to.
    pub(super) consumers_left: usize,
    /// Processes of the demo that still run.
    pub(super) left_running: usize,
    /// The temporary folder is gone.
    pub(super) folder_removed: bool,
}

/// The processes of a demo, and the folder that they write to.
pub(super) struct Processes {
    folder: TempDir,
    node: Option<Child>,
    consumers: BTreeMap<String, Child>,
    pub(super) told: Arc<Told>,
}

impl Processes {
    /// A temporary folder and nobody in it.
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("innkeeper-demo-")
            .tempdir()
            .context(
                "no temporary folder can be made; set TMPDIR to a folder that this user may write",
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

    /// Starts the node on free ports; its process id, and where it is reached.
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
            .context("the node's output is not to be had")?;
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

    /// Starts a consumer; its process id.
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
            .context("a consumer's output is not to be had")?;
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

    /// SIGKILL: the consumer says goodbye to nobody.
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

    /// Whoever has ended though nobody asked for it, in a sentence.
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

    /// Ends everything in order: the consumers leave, the node stops, the folder goes.
    pub(super) async fn stop(mut self) -> anyhow::Result<Ended> {
        let mut consumers_left = 0;
        let mut left_running = 0;
        for child in self.consumers.values_mut() {
            // The end of its input is what asks it to leave.
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
                kill_process(pid, Signal::TERM).context("the node cannot be asked to stop")?;
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

    /// Ends everything at once. The folder goes when this is dropped.
    pub(super) async fn kill(mut self) {
        let children = self.node.iter_mut().chain(self.consumers.values_mut());
        for child in children {
            // One that has ended already cannot be killed, and need not be.
            let _ = child.kill().await;
        }
    }

    /// This binary, with its complaints going to a file: the terminal belongs to the demo.
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

/// Waits for a process that was asked to end; kills it if it does not. `None`: it still runs.
async fn ended(child: &mut Child) -> Option<ExitStatus> {
    match tokio::time::timeout(PATIENCE, child.wait()).await {
        Ok(Ok(status)) => Some(status),
        _ => {
            let _ = child.kill().await;
            child.try_wait().ok().flatten()
        }
    }
}

/// What the node's ready line names.
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

/// The last thing that a process complained about, to be put behind a sentence.
fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    line.map_or_else(String::new, |line| format!(": {}", line.trim()))
}

/// The hidden command by which [`run_as_part`] is called.
const PART: &str = "demo-part";

/// The hidden command that is a consumer.
const CONSUMER: &str = "demo-consumer";

/// Becomes another command of this binary that gets SIGTERM when the demo, its parent, is gone,
/// however that came about.
pub fn run_as_part(arguments: Vec<OsString>) -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
        .context("the kernel cannot be asked to tell of the demo's end")?;
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
