//! The first scene: starts the nodes, pushes and binds guests, and creates the group's znodes.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;

use super::Stage;
use crate::admin::Admin;
use crate::group::{GROUPS, Group, Snapshot};
use crate::print::Printer;
use crate::probe::ms;
use crate::processes::Processes;
use crate::record::Started;
use crate::stage::{bind, connect, leader_after, push};
use crate::{DemoArgs, Guest};

/// The assignor's binding, which the group names as its strategy.
pub(super) const BALANCE: &str = "balance";

/// The recipe's binding.
pub(super) const RECIPE: &str = "group";

/// The operator, USER:PASSWORD.
const OPERATOR: &str = "operator:demo";

pub(super) async fn start<'a>(
    args: &'a DemoArgs,
    guests: &[&'static Guest],
    processes: &'a mut Processes,
    printer: &'a mut Printer,
) -> anyhow::Result<(Stage<'a>, Started)> {
    let begun = Instant::now();
    let nodes = processes.start_nodes(args.nodes).await?;
    let (leader, term) = leader_after(&nodes, 0).await?;
    let ready_after_ms = ms(begun.elapsed());
    let addresses = nodes[0].addresses.clone();
    let sockets = nodes.iter().map(|node| node.addresses.admin.clone());
    let admin = Admin::new(sockets.collect());
    let servers: Vec<_> = nodes
        .iter()
        .map(|node| node.addresses.zookeeper.to_string())
        .collect();
    let servers = servers.join(",");
    let modules = push(&admin, guests).await?;
    let recipe = json!({
        "world": "recipe",
        "watch": [format!("{GROUPS}/*/members/*"), format!("{GROUPS}/*/resources"), format!("{GROUPS}/*/config")],
        "read": [format!("{GROUPS}/**")],
        "write": [format!("{GROUPS}/*/assignments/**"), format!("{GROUPS}/*/generation")],
        "config": {"groups": GROUPS},
    });
    let bindings = vec![
        bind(
            &admin,
            &modules,
            BALANCE,
            "range",
            json!({"world": "assignor"}),
        )
        .await?,
        bind(&admin, &modules, RECIPE, "group", recipe).await?,
    ];
    let operator = connect(&servers, Some(OPERATOR)).await?;
    let visitor = connect(&servers, None).await?;
    let group = Group::create(operator.clone(), args.partitions, BALANCE).await?;
    let started = Started {
        nodes,
        leader,
        term,
        folder: processes.parts.folder().display().to_string(),
        ready_after_ms,
        pushed: modules.clone(),
        bindings,
    };
    let stage = Stage {
        args,
        processes,
        printer,
        addresses,
        servers,
        leader,
        killed_node: None,
        admin,
        modules,
        operator,
        visitor,
        group,
        strategy: "range",
        snapshot: Snapshot::default(),
        pids: BTreeMap::new(),
    };
    Ok((stage, started))
}
