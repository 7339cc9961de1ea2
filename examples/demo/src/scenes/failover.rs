//! The scene in which the leader is killed while orders arrive, a consumer joins and the assignor is
//! swapped.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use innkeeper_runtime::{Select2, select2};
use serde_json::json;
use tokio::sync::watch;
use zookeeper_client as zk;

use super::Stage;
use super::start::BALANCE;
use crate::admin::Admin;
use crate::group::open_to_all;
use crate::nodes::NodeInfo;
use crate::probe::ms;
use crate::record::{Binding, FailedOver};
use crate::stage::{Cause, bind, connect, leader_after};

/// The parent of the orders, which the writer creates one after the other.
const ORDERS: &str = "/orders";

/// Where the guest counts its reactions to each order.
const CONFIRMED: &str = "/confirmed";

/// The binding of the guest that confirms orders.
const BINDING: &str = "confirm";

/// Orders that are acknowledged before the leader is killed, and after the group has been shared
/// anew: enough for a median.
const ORDERS_AROUND: usize = 200;

/// Longest time for each step of the scene.
const PATIENCE: Duration = Duration::from_secs(30);

/// The time between two looks at the state of a node.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// The node that leads.
pub(super) async fn leader(stage: &Stage<'_>) -> anyhow::Result<NodeInfo> {
    let nodes = stage.processes.nodes.infos();
    let (leader, _) = leader_after(&nodes, 0).await?;
    let found = nodes.into_iter().find(|node| node.node == leader);
    found.context("the leader does not run")
}

pub(super) async fn fail_over(
    stage: &mut Stage<'_>,
    leader: &NodeInfo,
    newcomer: &str,
) -> anyhow::Result<FailedOver> {
    let confirm = prepare(stage).await?;
    let nodes = stage.processes.nodes.infos();
    let others: Vec<_> = nodes
        .into_iter()
        .filter(|node| node.node != leader.node)
        .collect();
    // The writer's node and the operator's survive the leader: what is measured is the group's pause
    // and no new connection.
    let survivor = others.first().context("no node follows the leader")?;
    let admin = Admin::new(vec![survivor.addresses.admin.clone()]);
    let term_before = admin.node().await?.term;
    let writer = connect(&survivor.addresses.zookeeper.to_string(), None).await?;
    let orders = Orders::begin(writer);

    orders.wait_for_more().await?;
    let now = self::leader(stage).await?.node;
    ensure!(
        now == leader.node,
        "node {now} has taken over from node {}, which was to be killed: is this machine too busy?",
        leader.node
    );
    let killed_at = Instant::now();
    let document = json!({"world": "assignor"});
    let swap = bind(&admin, &stage.modules, BALANCE, "range", document);
    // The swap is on its way when the leader dies, and has to end at its successor.
    let (balance, killed) = tokio::join!(swap, stage.processes.nodes.kill(leader.node));
    killed?;
    let (balance, swapped_after_ms) = (balance?, ms(killed_at.elapsed()));
    stage.strategy = "range";
    stage.killed_node = Some((leader.node, killed_at));
    let dealt = stage.deal(Cause::Join(&[newcomer.to_owned()])).await?;
    let shared_at = Instant::now();
    orders.wait_for_more().await?;
    let times = orders.end().await?;

    let (new_leader, term) = leader_after(&others, term_before).await?;
    let begun = Instant::now();
    let restarted_pid = stage.processes.restart_node(leader).await?;
    caught_up(leader).await?;
    let back_after_ms = ms(begun.elapsed());
    stage.killed_node = None;
    stage.leader = new_leader;

    let reactions = confirmed(&stage.operator).await?;
    let disputes = stage
        .processes
        .told
        .disputes(stage.args.partitions, killed_at, shared_at);
    Ok(FailedOver {
        confirm,
        killed: leader.node,
        leader: new_leader,
        term_before,
        term,
        no_write_for_ms: ms(longest_pause(&times, killed_at)),
        write_p50_ms: ms(median_pause(&times)),
        // The first time is that of the beginning.
        orders: times.len() - 1,
        confirmed_once: reactions.values().filter(|count| **count == 1).count(),
        confirmed_otherwise: reactions.values().filter(|count| **count != 1).count(),
        two_owners_ms: ms(disputes.two_owners),
        no_owner_ms: ms(disputes.no_owner),
        balance,
        swapped_after_ms,
        restarted_pid,
        back_after_ms,
        dealt,
    })
}

/// The znodes of the scene, and the guest that confirms orders.
async fn prepare(stage: &Stage<'_>) -> anyhow::Result<Binding> {
    for path in [ORDERS, CONFIRMED] {
        let created = stage.operator.create(path, b"", &open_to_all()).await;
        created.with_context(|| format!("{path} cannot be created"))?;
    }
    let document = json!({
        "world": "recipe",
        "watch": [format!("{ORDERS}/*")],
        "read": [format!("{CONFIRMED}/*")],
        "write": [format!("{CONFIRMED}/*")],
        "config": {"out": CONFIRMED},
    });
    bind(
        &stage.admin,
        &stage.modules,
        BINDING,
        "demo-confirm",
        document,
    )
    .await
}

/// A client that creates one order after the other.
struct Orders {
    acknowledged: watch::Receiver<usize>,
    stop: watch::Sender<bool>,
    writing: tokio::task::JoinHandle<anyhow::Result<Vec<Instant>>>,
}

impl Orders {
    fn begin(client: zk::Client) -> Self {
        let (count, acknowledged) = watch::channel(0);
        let (stop, mut stopped) = watch::channel(false);
        let writing = tokio::spawn(async move {
            let mut times = vec![Instant::now()];
            while !*stopped.borrow_and_update() {
                let order = format!("{ORDERS}/o-{}", times.len());
                let created = client.create(&order, b"", &open_to_all()).await;
                created.with_context(|| format!("{order} cannot be created"))?;
                times.push(Instant::now());
                count.send_replace(times.len() - 1);
            }
            Ok(times)
        });
        Self {
            acknowledged,
            stop,
            writing,
        }
    }

    /// Waits until [`ORDERS_AROUND`] more orders have been acknowledged.
    async fn wait_for_more(&self) -> anyhow::Result<()> {
        let mut acknowledged = self.acknowledged.clone();
        let wanted = *acknowledged.borrow() + ORDERS_AROUND;
        let reached = acknowledged.wait_for(|count| *count >= wanted);
        match select2(reached, tokio::time::sleep(PATIENCE)).await {
            // The writer's own error is told by `end`.
            Select2::First(_) => Ok(()),
            Select2::Second(()) => anyhow::bail!(
                "the group acknowledged fewer than {ORDERS_AROUND} writes within {} s",
                PATIENCE.as_secs()
            ),
        }
    }

    /// The times of all acknowledgements, after the time of the beginning.
    async fn end(self) -> anyhow::Result<Vec<Instant>> {
        self.stop.send_replace(true);
        self.writing.await.context("the writer has ended")?
    }
}

/// The pauses between acknowledgements.
fn pauses(times: &[Instant]) -> impl Iterator<Item = (Instant, Duration)> {
    times.windows(2).map(|pair| (pair[1], pair[1] - pair[0]))
}

/// The longest pause that ended after `since`.
fn longest_pause(times: &[Instant], since: Instant) -> Duration {
    let after = pauses(times).filter(|(ended, _)| *ended >= since);
    after.map(|(_, pause)| pause).max().unwrap_or_default()
}

fn median_pause(times: &[Instant]) -> Duration {
    let mut all: Vec<_> = pauses(times).map(|(_, pause)| pause).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// Waits until a node that came back serves clients, behind what was written before.
async fn caught_up(node: &NodeInfo) -> anyhow::Result<()> {
    let client = connect(&node.addresses.zookeeper.to_string(), None).await?;
    let reached = client.sync("/");
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    reached
        .context("the node that came back did not catch up in time")?
        .context("the node that came back cannot be used")
}

/// How often the guest reacted to each order. Waits until it has reacted to all of them.
async fn confirmed(client: &zk::Client) -> anyhow::Result<BTreeMap<String, u64>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let orders = client.list_children(ORDERS).await?;
        let confirmed = client.list_children(CONFIRMED).await?;
        if orders.len() == confirmed.len() {
            let mut reactions = BTreeMap::new();
            for order in orders {
                let (data, _) = client.get_data(&format!("{CONFIRMED}/{order}")).await?;
                let count = String::from_utf8_lossy(&data).parse();
                reactions.insert(order, count.unwrap_or_default());
            }
            return Ok(reactions);
        }
        ensure!(
            Instant::now() < deadline,
            "the guest `demo-confirm` reacted to {} of {} orders only",
            confirmed.len(),
            orders.len()
        );
        tokio::time::sleep(POLL_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_between_acknowledgements() {
        let begun = Instant::now();
        let times: Vec<_> = [0, 1, 2, 60, 62, 63]
            .map(|ms| begun + Duration::from_millis(ms))
            .into();
        let since = |ms| longest_pause(&times, begun + Duration::from_millis(ms));
        assert_eq!(since(3), Duration::from_millis(58));
        assert_eq!(since(61), Duration::from_millis(2));
        assert_eq!(median_pause(&times), Duration::from_millis(1));
    }
}
