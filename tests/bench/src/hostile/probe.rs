//! A harmless binding whose reactions are timed.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;

use crate::node::Node;
use crate::reaction::event;
use crate::wire::{self, Connection};

const ASKED: &str = "/probe/in/x";
const ANSWERED: &str = "/probe/out/x";

/// Longer than any reaction takes; a longer one makes the run fail.
const PATIENCE: Duration = Duration::from_secs(120);

/// Binds the test guest that answers each event with a znode.
pub async fn bind(node: &Node, modules: &Path) -> anyhow::Result<()> {
    let module = node.push_built(modules, "test-stamp-1").await?;
    let mut client = Connection::open(&node.zookeeper).await?;
    for path in ["/probe", "/probe/in", "/probe/out", ASKED, ANSWERED] {
        client.call(wire::CREATE, wire::create(path, b"")).await?;
    }
    client.call(wire::CLOSE, |_| {}).await?;
    node.bind(
        "probe",
        &serde_json::json!({
            "world": "recipe",
            "module": module,
            "watch": ["/probe/in/*"],
            "write": ["/probe/out/*"],
            "config": {"out": "/probe/out"},
        }),
    )
    .await
}

/// Measures reaction after reaction for `span`: from the answer to a set until the event of the
/// binding's write, in microseconds.
pub async fn measure(address: &str, span: Duration) -> anyhow::Result<Histogram<u64>> {
    let mut client = Connection::open(address).await?;
    let mut latency_us = Histogram::new(3)?;
    let until = Instant::now() + span;
    while Instant::now() < until {
        client
            .call(wire::GET_DATA, wire::read(ANSWERED, true))
            .await?;
        client
            .call(wire::SET_DATA, wire::set_data(ASKED, b"x"))
            .await?;
        let asked = Instant::now();
        let answered = tokio::time::timeout(PATIENCE, event(&mut client, ANSWERED))
            .await
            .with_context(|| format!("no reaction within {PATIENCE:?}"))??;
        latency_us.record(u64::try_from((answered - asked).as_micros())?)?;
    }
    client.call(wire::CLOSE, |_| {}).await?;
    Ok(latency_us)
}
