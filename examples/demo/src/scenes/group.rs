//! Scenes in which members join and are killed, and the assignor is swapped.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;

use super::Stage;
use super::start::{BALANCE, RECIPE};
use crate::probe::ms;
use crate::record::{Dealt, Swapped};
use crate::stage::{Cause, bind};

/// Longest time for the reaction to a swap.
const PATIENCE: Duration = Duration::from_secs(20);

/// The time between two reads of a binding's status.
const POLL_EVERY: Duration = Duration::from_millis(5);

pub(super) async fn assign(stage: &mut Stage<'_>) -> anyhow::Result<Dealt> {
    let members: Vec<String> = (1..=stage.args.members)
        .map(|number| stage.member(number))
        .collect();
    stage.deal(Cause::Join(&members)).await
}

pub(super) async fn join(stage: &mut Stage<'_>, member: &str) -> anyhow::Result<Dealt> {
    stage.deal(Cause::Join(&[member.to_owned()])).await
}

pub(super) async fn kill(stage: &mut Stage<'_>, member: &str) -> anyhow::Result<Dealt> {
    stage.deal(Cause::Kill(member)).await
}

/// Sets another module in the binding `balance`. Its activation queues one resync for the recipe,
/// which has called it before. The scene waits for the reaction to it.
pub(super) async fn swap(stage: &mut Stage<'_>) -> anyhow::Result<Swapped> {
    let before = stage.snapshot.clone();
    let reactions_before = stage.admin.status(RECIPE).await?.invocations;
    let from_module = stage
        .admin
        .status(BALANCE)
        .await?
        .active
        .context("the binding `balance` is not active")?;
    let (from, to) = (stage.strategy, "sticky");
    let begun = Instant::now();
    let bound = bind(
        &stage.admin,
        &stage.modules,
        BALANCE,
        to,
        json!({"world": "assignor"}),
    )
    .await?;
    let active_after_ms = ms(begun.elapsed());
    let reactions = loop {
        let recipe = stage.admin.status(RECIPE).await?;
        // The activation and the resync in the queue are one commit. A new leader counts from its own
        // beginning.
        let counted = recipe.invocations.checked_sub(reactions_before);
        let reactions = counted.unwrap_or(recipe.invocations);
        if recipe.queued == 0 && reactions > 0 {
            break reactions;
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "the recipe `group` did not react to the swap of its assignor within {} s{}",
            PATIENCE.as_secs(),
            recipe
                .last_error
                .map_or_else(String::new, |error| format!(": {error}"))
        );
        tokio::time::sleep(POLL_EVERY).await;
    };
    let now = stage.group.now().await?;
    stage.strategy = to;
    let swapped = Swapped {
        binding: BALANCE,
        from,
        from_module,
        to,
        to_module: bound.module,
        activation: bound.activation,
        active_after_ms,
        reactions,
        generation_before: before.generation,
        moved: now.moved_since(&before),
        assignment: now.owners.clone(),
    };
    stage.snapshot = now;
    Ok(swapped)
}
