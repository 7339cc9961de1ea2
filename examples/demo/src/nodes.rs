//! The demo's nodes, each a process with a data folder of its own. Two or more form a group.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use super::parts::{PATIENCE, Parts, ended, last_line};

/// The node's tick. Session timeouts are 2 to 20 ticks.
const TICK_TIME_MS: u32 = 500;

/// The addresses of a node.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Addresses {
    /// For ZooKeeper's clients.
    pub(super) zookeeper: SocketAddr,
    /// For HTTP.
    pub(super) http: SocketAddr,
    /// The path of the admin socket.
    pub(super) admin: PathBuf,
}

/// A node that runs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct NodeInfo {
    /// Its number in the group, from 1.
    pub(super) node: u64,
    /// Its process id.
    pub(super) pid: u32,
    #[serde(flatten)]
    pub(super) addresses: Addresses,
}

/// One node of the demo.
struct Node {
    info: NodeInfo,
    child: Child,
}

/// All nodes of the demo.
#[derive(Default)]
pub(super) struct Nodes {
    nodes: Vec<Node>,
    /// `--peers` of all nodes; none for a node alone.
    peers: Option<String>,
}

impl Nodes {
    /// Starts so many nodes on free ports, and returns when each of them is ready.
    pub(super) async fn start(&mut self, parts: &Parts, count: u64) -> anyhow::Result<()> {
        if count > 1 {
            self.peers = Some(free_peers(count)?);
            std::fs::write(parts.path("secret"), "the demo's own secret\n")
                .context("the temporary folder cannot be written")?;
        }
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut starting = Vec::new();
        for id in 1..=count {
            starting.push((id, self.spawn(parts, id, anywhere, anywhere)?));
        }
        for (id, child) in starting {
            let node = ready(parts, id, child).await?;
            self.nodes.push(node);
        }
        Ok(())
    }

    /// Kills a node (SIGKILL).
    pub(super) async fn kill(&mut self, id: u64) -> anyhow::Result<()> {
        let place = self.place(id)?;
        let mut node = self.nodes.remove(place);
        let killed = node.child.kill().await;
        killed.with_context(|| format!("node {id} cannot be killed"))
    }

    /// Starts a node that was killed, at its former addresses, and returns its process id.
    pub(super) async fn restart(
        &mut self,
        parts: &Parts,
        former: &NodeInfo,
    ) -> anyhow::Result<u32> {
        let (zookeeper, http) = (former.addresses.zookeeper, former.addresses.http);
        let child = self.spawn(parts, former.node, zookeeper, http)?;
        let node = ready(parts, former.node, child).await?;
        let pid = node.info.pid;
        self.nodes.push(node);
        self.nodes.sort_unstable_by_key(|node| node.info.node);
        Ok(pid)
    }

    fn place(&self, id: u64) -> anyhow::Result<usize> {
        let place = self.nodes.iter().position(|node| node.info.node == id);
        place.with_context(|| format!("node {id} does not run"))
    }

    /// The nodes that were started and not killed by the demo.
    pub(super) fn infos(&self) -> Vec<NodeInfo> {
        self.nodes.iter().map(|node| node.info.clone()).collect()
    }

    /// The processes, by their names.
    pub(super) fn children(&mut self) -> impl Iterator<Item = (String, &mut Child)> {
        let nodes = self.nodes.iter_mut();
        nodes.map(|node| (name(node.info.node), &mut node.child))
    }

    /// Asks all nodes to end, waits for them, and returns their exit codes. `None` stands for a
    /// node that was killed, or that still runs.
    pub(super) async fn stop(&mut self) -> anyhow::Result<Vec<Option<i32>>> {
        for node in &self.nodes {
            let id = node.child.id();
            if let Some(pid) = id.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
                kill_process(pid, Signal::TERM).context("SIGTERM cannot be sent to a node")?;
            }
        }
        let mut codes = Vec::new();
        for node in &mut self.nodes {
            codes.push(
                ended(&mut node.child)
                    .await
                    .and_then(|status| status.code()),
            );
        }
        Ok(codes)
    }

    /// A process that runs `innkeeper serve`.
    fn spawn(
        &self,
        parts: &Parts,
        id: u64,
        zookeeper: SocketAddr,
        http: SocketAddr,
    ) -> anyhow::Result<Child> {
        let mut command = parts.node(&name(id))?;
        command.args(["serve", "--listen", &zookeeper.to_string()]);
        command.args(["--http", &http.to_string()]);
        command.args(["--tick-time-ms", &TICK_TIME_MS.to_string(), "--data"]);
        command.arg(parts.path(&format!("data-{id}")));
        if let Some(peers) = &self.peers {
            command.args(["--id", &id.to_string(), "--peers", peers]);
            command.arg("--peer-secret-file").arg(parts.path("secret"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let spawned = command.spawn();
        spawned.with_context(|| format!("the process of node {id} cannot be started"))
    }
}

/// The value of `--nodes`.
pub(super) fn count(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(count @ (1 | 3 | 5)) => Ok(count),
        _ => Err("give 1, 3 or 5".to_owned()),
    }
}

/// The name of a node's process.
fn name(id: u64) -> String {
    format!("node-{id}")
}

/// Waits for a node's ready line.
async fn ready(parts: &Parts, id: u64, mut child: Child) -> anyhow::Result<Node> {
    let pid = child.id().unwrap_or_default();
    let stdout = child.stdout.take();
    let stdout = stdout.context("the node's output cannot be read")?;
    let mut line = String::new();
    tokio::time::timeout(PATIENCE, BufReader::new(stdout).read_line(&mut line))
        .await
        .with_context(|| format!("node {id} was not ready in time"))?
        .context("the node's output cannot be read")?;
    let Some(addresses) = addresses(&line) else {
        let why = last_line(&parts.log(&name(id)));
        bail!("node {id} did not become ready{why}")
    };
    let info = NodeInfo {
        node: id,
        pid,
        addresses,
    };
    Ok(Node { info, child })
}

/// `--peers` with a free port for each node. The ports lie below those that systems give to
/// connections, so that none of them is taken before its node listens.
fn free_peers(count: u64) -> anyhow::Result<String> {
    const PORTS: std::ops::Range<u16> = 20_000..32_000;
    // Two demos at once begin at different ports.
    let first = std::process::id() as usize * 16 % PORTS.len();
    let mut ports = PORTS.cycle().skip(first).take(PORTS.len());
    let mut peers = Vec::new();
    for id in 1..=count {
        let free = ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let port = free.context("no free port can be found for the nodes' connections")?;
        peers.push(format!("{id}=127.0.0.1:{port}"));
    }
    Ok(peers.join(","))
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

#[cfg(test)]
mod tests {
    use std::path::Path;

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

    #[test]
    fn each_peer_has_a_port_of_its_own() {
        let peers = free_peers(3).expect("free ports");
        let ports: std::collections::BTreeSet<_> = peers
            .split(',')
            .filter_map(|peer| peer.rsplit_once(':'))
            .map(|(_, port)| port.to_owned())
            .collect();
        assert_eq!(ports.len(), 3, "{peers}");
        assert!(peers.starts_with("1=127.0.0.1:"), "{peers}");
    }
}
