//! The first scene: starts the node, pushes and binds guests, and creates the group's znodes.

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
use crate::stage::{bind, connect, push};
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
    let (node_pid, addresses) = processes.start_node().await?;
    let ready_after_ms = ms(begun.elapsed());
    let admin = Admin::new(&addresses.admin);
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
    let operator = connect(&addresses, Some(OPERATOR)).await?;
    let visitor = connect(&addresses, None).await?;
    let group = Group::create(operator.clone(), args.partitions, BALANCE).await?;
    let started = Started {
        node_pid,
        folder: processes.folder().display().to_string(),
        ready_after_ms,
        pushed: modules.clone(),
        bindings,
    };
    let stage = Stage {
        args,
        processes,
        printer,
        addresses,
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
