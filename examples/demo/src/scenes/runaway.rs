//! Scenes with a guest that loops without end, and the latencies of a client meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;

use super::Stage;
use crate::admin::{Admin, BindingStatus};
use crate::group::open_to_all;
use crate::probe::{self, Latencies, wall_ms};
use crate::record::{Binding, Looped, Mended};
use crate::stage::bind;

/// The name of the guest's binding.
const BINDING: &str = "runaway";

/// The guest that loops if its configuration says so.
const GUEST: &str = "demo-runaway";

/// The znode that the guest writes. The demo creates its parent.
const OUT: &str = "/runaway/out";

/// The fuel of one run: enough for about one second of looping, so that requests can be measured
/// meanwhile. It is far more than the default.
const FUEL: u64 = 12_000_000_000;

/// How long the client is measured before the loop.
const CALM: Duration = Duration::from_millis(1_500);

/// Longest time until the host opens the guest's breaker.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time between two reads of the binding's status.
const POLL_EVERY: Duration = Duration::from_millis(20);

async fn bind_guest(stage: &Stage<'_>, loops: bool) -> anyhow::Result<Binding> {
    // A new binding queues a resync, so the guest runs as soon as it is active.
    let document = json!({
        "world": "recipe",
        "watch": ["/runaway/trigger"],
        "write": [OUT],
        "config": {"loops": loops, "out": OUT},
        "limits": {"fuel": FUEL},
    });
    bind(&stage.admin, &stage.modules, BINDING, GUEST, document).await
}

pub(super) async fn run_away(stage: &mut Stage<'_>) -> anyhow::Result<Looped> {
    for path in ["/runaway", probe::PATH] {
        let created = stage.operator.create(path, b"", &open_to_all()).await;
        created.with_context(|| format!("{path} cannot be created"))?;
    }
    let client = &stage.visitor;
    let (calm, ()) = probe::run(client, tokio::time::sleep(CALM)).await?;
    let before = Latencies::of(&calm).context("no request was answered before the loop")?;

    let binding = bind_guest(stage, true).await?;
    let active_ms = wall_ms();
    let (samples, given_up) = probe::run(client, given_up(&stage.admin)).await?;
    let GivenUp {
        first_stop_ms,
        status,
    } = given_up?;
    let during: Vec<_> = samples
        .iter()
        .copied()
        .filter(|sample| sample.done_ms <= first_stop_ms)
        .collect();
    let during =
        Latencies::of(&during).context("no request was answered while the guest looped")?;
    let out = client
        .check_stat(OUT)
        .await
        .with_context(|| format!("{OUT} cannot be read"))?;
    Ok(Looped {
        binding,
        fuel: FUEL,
        stopped_after_ms: first_stop_ms.saturating_sub(active_ms),
        before,
        during,
        served: samples.len(),
        failures: status.failures,
        breaker: status.breaker,
        error: status.last_error.unwrap_or_default(),
        out: OUT,
        out_exists: out.is_some(),
    })
}

/// The failures of a guest whose breaker is open.
struct GivenUp {
    /// When the guest was stopped for the first time, in milliseconds since 1970.
    first_stop_ms: u64,
    status: BindingStatus,
}

/// Waits until the guest's breaker is open.
async fn given_up(admin: &Admin) -> anyhow::Result<GivenUp> {
    let begun = Instant::now();
    let mut first_stop_ms = None;
    loop {
        let status = admin.status(BINDING).await?;
        if first_stop_ms.is_none() {
            first_stop_ms = status.last_error_ms;
        }
        match first_stop_ms {
            Some(first_stop_ms) if status.breaker == "open" => {
                return Ok(GivenUp {
                    first_stop_ms,
                    status,
                });
            }
            _ => {}
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "the breaker of the looping guest did not open within {} s; the guest was stopped {} times",
            PATIENCE.as_secs(),
            status.failures
        );
        tokio::time::sleep(POLL_EVERY).await;
    }
}

pub(super) async fn mend(stage: &mut Stage<'_>) -> anyhow::Result<Mended> {
    let binding = bind_guest(stage, false).await?;
    let begun = Instant::now();
    let status = loop {
        let status = stage.admin.status(BINDING).await?;
        if status.invocations > 0 && status.queued == 0 && status.breaker == "closed" {
            break status;
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "the mended guest did not run within {} s",
            PATIENCE.as_secs()
        );
        tokio::time::sleep(POLL_EVERY).await;
    };
    let (written, _) = stage
        .visitor
        .get_data(OUT)
        .await
        .with_context(|| format!("{OUT} cannot be read"))?;
    Ok(Mended {
        binding,
        invocations: status.invocations,
        failures: status.failures,
        breaker: status.breaker,
        out: OUT,
        written: String::from_utf8_lossy(&written).into_owned(),
    })
}
