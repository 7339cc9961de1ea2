//! What the scenes share: the node's addresses, the ways to it, the group, and the printer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use zookeeper_client as zk;

use super::admin::Admin;
use super::group::{GROUP, Group, Snapshot};
use super::print::{Board, Printer};
use super::probe::ms;
use super::processes::{Addresses, Processes};
use super::record::{Binding, Dealt};
use super::{DemoArgs, Guest};

/// The session timeout of the demo's own clients; the node may shorten it.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the consumers may take to print what they own.
const TOLD_PATIENCE: Duration = Duration::from_secs(10);

/// Everything behind the curtain once the node runs.
pub(super) struct Stage<'a> {
    pub(super) args: &'a DemoArgs,
    pub(super) processes: &'a mut Processes,
    pub(super) printer: &'a mut Printer,
    pub(super) addresses: Addresses,
    pub(super) admin: Admin,
    /// Modules of the pushed guests, by the guests' names.
    pub(super) modules: BTreeMap<&'static str, String>,
    /// A client with a name and a password, whose the policy is.
    pub(super) operator: zk::Client,
    /// A client that is nobody.
    pub(super) visitor: zk::Client,
    pub(super) group: Group,
    /// The assignor behind the group's binding.
    pub(super) strategy: &'static str,
    /// The assignment when the last scene ended.
    pub(super) snapshot: Snapshot,
    pub(super) pids: BTreeMap<String, u32>,
}

/// What makes an assignment change.
pub(super) enum Cause<'a> {
    /// Consumers are started.
    Join(&'a [String]),
    /// One is killed.
    Kill(&'a str),
}

impl Stage<'_> {
    /// The name of the nth consumer, counted from 1; all names have one length, so that their
    /// byte order is that of their numbers.
    pub(super) fn member(&self, number: u32) -> String {
        let digits = (self.args.members + 1).to_string().len();
        format!("c{number:0digits$}")
    }

    /// Lets members come or go, waits for the assignment that follows and until every consumer
    /// has printed it.
    pub(super) async fn deal(&mut self, cause: Cause<'_>) -> anyhow::Result<Dealt> {
        let before = self.snapshot.clone();
        let mut members = before.members();
        let mut expected = None;
        let mut killed = None;
        match cause {
            Cause::Join(joining) => {
                // With several at once the generations follow each other too closely to tell
                // which of them is whose.
                if let [one] = joining {
                    expected = Some(self.group.membership(one).await?);
                }
                for member in joining {
                    let pid = self
                        .processes
                        .start_consumer(member, &self.addresses, GROUP)?;
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
        let change = self.group.shared_by(&members, before.generation, |now| {
            printer.live(&Board {
                now,
                before: &before,
                strategy,
                partitions,
                killed,
            });
        });
        let change = change.await?;
        let told = self
            .processes
            .told
            .wait_for(change.snapshot.generation, &members);
        let told = tokio::time::timeout(TOLD_PATIENCE, told)
            .await
            .context("not every consumer printed what it owns now")?;
        let told_after_ms = ms(change.at.elapsed());
        for (member, owned) in &change.snapshot.owners {
            let believed = told
                .get(member)
                .and_then(|told| told.topics.get(super::group::TOPIC));
            anyhow::ensure!(
                believed.map_or(owned.is_empty(), |believed| believed == owned),
                "the consumer {member} believes to own {believed:?}, and the tree says {owned:?}"
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

/// Binds a guest whose module was pushed.
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

/// Pushes guests; their modules.
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

/// A client of the node; with a name and a password, if they are given.
pub(super) async fn connect(
    addresses: &Addresses,
    auth: Option<&str>,
) -> anyhow::Result<zk::Client> {
    let mut connector = zk::Client::connector().with_session_timeout(SESSION_TIMEOUT);
    if let Some(auth) = auth {
        connector = connector.with_auth("digest", auth.as_bytes());
    }
    let address = addresses.zookeeper.to_string();
    let connected = connector.connect(&address).await;
    connected.with_context(|| format!("the node at {address} takes no ZooKeeper client"))
}
