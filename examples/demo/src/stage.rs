//! What the scenes share: the nodes and their clients, the group, and the printer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use zookeeper_client as zk;

use super::admin::Admin;
use super::group::{GROUP, Group, Snapshot};
use super::nodes::{Addresses, NodeInfo};
use super::print::{Board, Printer};
use super::probe::ms;
use super::processes::Processes;
use super::record::{Binding, Dealt};
use super::{DemoArgs, Guest};

/// The session timeout of the demo's own clients; the node may shorten it.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time until a node leads the group.
const LEADER_PATIENCE: Duration = Duration::from_secs(30);

/// The time between two looks at the state of a node.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// Longest time for the consumers to print their assignments.
const TOLD_PATIENCE: Duration = Duration::from_secs(10);

/// The state of the demo once the nodes run.
pub(super) struct Stage<'a> {
    pub(super) args: &'a DemoArgs,
    pub(super) processes: &'a mut Processes,
    pub(super) printer: &'a mut Printer,
    /// The addresses of the first node.
    pub(super) addresses: Addresses,
    /// The addresses of all nodes for ZooKeeper's clients, with commas between them.
    pub(super) servers: String,
    /// The node that leads.
    pub(super) leader: u64,
    /// The node that was killed in this scene, and the time.
    pub(super) killed_node: Option<(u64, Instant)>,
    pub(super) admin: Admin,
    /// Modules of the pushed guests, by the guests' names.
    pub(super) modules: BTreeMap<&'static str, String>,
    /// A client with a name and a password. Only it may change the policy.
    pub(super) operator: zk::Client,
    /// A client without credentials.
    pub(super) visitor: zk::Client,
    pub(super) group: Group,
    /// The guest whose module the binding `balance` names.
    pub(super) strategy: &'static str,
    /// The assignment at the end of the last scene.
    pub(super) snapshot: Snapshot,
    pub(super) pids: BTreeMap<String, u32>,
}

/// A reason for a new assignment.
pub(super) enum Cause<'a> {
    /// Consumers are started.
    Join(&'a [String]),
    /// A consumer is killed.
    Kill(&'a str),
}

impl Stage<'_> {
    /// The name of the nth consumer, counted from 1. All names have the same length, so that they
    /// sort as their numbers do.
    pub(super) fn member(&self, number: u32) -> String {
        let digits = (self.args.members + 1).to_string().len();
        format!("c{number:0digits$}")
    }

    /// Starts or kills members, waits for the new assignment, and waits until every consumer has
    /// printed it.
    pub(super) async fn deal(&mut self, cause: Cause<'_>) -> anyhow::Result<Dealt> {
        let before = self.snapshot.clone();
        let mut members = before.members();
        let mut expected = None;
        let mut killed = None;
        match cause {
            Cause::Join(joining) => {
                // With several new members it is not known which generation belongs to which.
                if let [one] = joining {
                    expected = Some(self.group.membership(one).await?);
                }
                for member in joining {
                    let pid = self
                        .processes
                        .start_consumer(member, &self.servers, GROUP)?;
                    self.pids.insert(member.clone(), pid);
                }
                members.extend_from_slice(joining);
                members.sort_unstable();
            }
            Cause::Kill(member) => {
                expected = Some(self.group.membership(member).await?);
                self.processes.kill_consumer(member).await?;
                killed = Some((member, Instant::now()));
                self.pids.remove(member);
                members.retain(|other| other != member);
            }
        }
        let (printer, strategy, partitions) =
            (&mut *self.printer, self.strategy, self.args.partitions);
        let (leader, killed_node) = (self.leader, self.killed_node);
        let leader = (self.args.nodes > 1).then_some(leader);
        let change = self.group.shared_by(&members, before.generation, |now| {
            printer.live(&Board {
                now,
                before: &before,
                strategy,
                partitions,
                killed,
                leader,
                killed_node,
            });
        });
        let change = change.await?;
        let told = self
            .processes
            .told
            .wait_for(change.snapshot.generation, &members);
        let told = tokio::time::timeout(TOLD_PATIENCE, told)
            .await
            .context("not every consumer has printed its new assignment")?;
        let told_after_ms = ms(change.at.elapsed());
        for (member, owned) in &change.snapshot.owners {
            let believed = told
                .get(member)
                .and_then(|told| told.topics.get(super::group::TOPIC));
            anyhow::ensure!(
                believed.map_or(owned.is_empty(), |believed| believed == owned),
                "the consumer {member} has printed the partitions {believed:?}, and the tree has {owned:?}"
            );
        }
        let heard = match expected {
            Some(heard) => Some(heard.await?),
            None => None,
        };
        let since_kill = |(_, at)| heard.map(|heard| ms(heard.saturating_duration_since(at)));
        let dealt = Dealt {
            who: match cause {
                Cause::Join(joining) => joining.to_vec(),
                Cause::Kill(member) => vec![member.to_owned()],
            },
            consumer_pids: self.pids.clone(),
            strategy,
            generation_before: before.generation,
            moved: change.snapshot.moved_since(&before),
            assignment: change.snapshot.owners.clone(),
            expired_after_ms: killed.and_then(since_kill),
            reassigned_after_ms: heard.map(|heard| ms(change.at.saturating_duration_since(heard))),
            told_after_ms,
        };
        self.snapshot = change.snapshot;
        Ok(dealt)
    }
}

/// Binds a guest that was pushed before, and returns when the binding acts.
pub(super) async fn bind(
    admin: &Admin,
    modules: &BTreeMap<&'static str, String>,
    name: &'static str,
    guest_name: &'static str,
    mut document: serde_json::Value,
) -> anyhow::Result<Binding> {
    let module = modules
        .get(guest_name)
        .context("the guest was not pushed")?;
    document["module"] = module.as_str().into();
    let bound = admin.bind(name, &document).await?;
    Ok(Binding {
        name,
        guest: guest_name,
        world: bound.world,
        module: bound.module,
        activation: bound.activation,
    })
}

/// Pushes guests, and returns the names of their modules.
pub(super) async fn push(
    admin: &Admin,
    guests: &[&'static Guest],
) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let mut modules = BTreeMap::new();
    for guest in guests {
        modules.insert(guest.name, admin.push(guest).await?);
    }
    Ok(modules)
}

/// Waits until one of the nodes leads in a term after `term`, and none knows of a newer term. Its
/// number and its term.
pub(super) async fn leader_after(nodes: &[NodeInfo], term: u64) -> anyhow::Result<(u64, u64)> {
    let deadline = Instant::now() + LEADER_PATIENCE;
    loop {
        let (mut leads, mut newest) = (None, 0);
        for node in nodes {
            let admin = Admin::new(vec![node.addresses.admin.clone()]);
            let status = admin.node().await?;
            newest = newest.max(status.term);
            if status.role == "leader" {
                leads = leads.max(Some((status.term, node.node)));
            }
        }
        match leads {
            Some((led, node)) if led == newest && led > term => return Ok((node, led)),
            _ => {}
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "no node became the leader within {} s",
            LEADER_PATIENCE.as_secs()
        );
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// Connects a client to one of `servers`, with `USER:PASSWORD` if it is given.
pub(super) async fn connect(servers: &str, auth: Option<&str>) -> anyhow::Result<zk::Client> {
    let mut connector = zk::Client::connector().with_session_timeout(SESSION_TIMEOUT);
    if let Some(auth) = auth {
        connector = connector.with_auth("digest", auth.as_bytes());
    }
    let connected = connector.connect(servers).await;
    connected.with_context(|| format!("no ZooKeeper client can connect to {servers}"))
}
