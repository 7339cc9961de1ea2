//! Measures the time from an ephemeral's disappearance to the new assignment, as a client sees
//! both.
//!
//! 1. The `group` recipe and the `range` assignor are pushed and bound; a member that stays makes
//!    the group assign its partitions for the first time.
//! 2. A second member joins, and the observer waits until it has its share.
//! 3. The observer leaves a watch on the members and one on the staying member's
//!    assignment; the second member closes its session.
//! 4. The time between the two events, on the observer's one connection, is one reaction:
//!    dispatch, instance, transaction, log, fsync, apply, fan-out.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;

use crate::node::Node;
use crate::wire::{self, Connection};

const GROUP: &str = "/bench-groups/orders";
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures `rounds` reactions, in microseconds.
pub async fn measure(node: &Node, modules: &Path, rounds: usize) -> anyhow::Result<Histogram<u64>> {
    tokio::time::timeout(
        PATIENCE + Duration::from_millis(100) * u32::try_from(rounds)?,
        run(node, modules, rounds),
    )
    .await
    .context("the group's recipe did not answer: is its binding active?")?
}

async fn run(node: &Node, modules: &Path, rounds: usize) -> anyhow::Result<Histogram<u64>> {
    let group = node.push_built(modules, "group").await?;
    let range = node.push_built(modules, "range").await?;
    let mut observer = Connection::open(&node.zookeeper).await?;
    observer.authenticate("digest", b"super:super").await?;

    for path in ["/bench-groups", GROUP] {
        observer.call(wire::CREATE, wire::create(path, b"")).await?;
    }
    for (name, data) in [
        ("config", r#"{"strategy": "bench-range"}"#),
        (
            "resources",
            r#"{"topics": [{"name": "orders", "partitions": 24}]}"#,
        ),
        ("members", ""),
        ("assignments", ""),
    ] {
        observer
            .call(
                wire::CREATE,
                wire::create(&format!("{GROUP}/{name}"), data.as_bytes()),
            )
            .await?;
    }
    let bindings = [
        (
            "bench-range",
            serde_json::json!({"world": "assignor", "module": range}),
        ),
        (
            "bench-group",
            serde_json::json!({
                "world": "recipe",
                "module": group,
                "watch": ["/bench-groups/*/members/*", "/bench-groups/*/config", "/bench-groups/*/resources"],
                "read": ["/bench-groups/**"],
                "write": ["/bench-groups/*/assignments/*", "/bench-groups/*/generation"],
                "config": {"groups": "/bench-groups"},
            }),
        ),
    ];
    for (name, document) in bindings {
        let path = format!("/innkeeper/bindings/{name}");
        observer
            .call(
                wire::CREATE,
                wire::create(&path, document.to_string().as_bytes()),
            )
            .await?;
    }

    let staying = format!("{GROUP}/assignments/stays");
    observer
        .call(
            wire::CREATE,
            wire::create_ephemeral(&format!("{GROUP}/members/stays"), b""),
        )
        .await?;
    wait_for(&mut observer, &format!("{GROUP}/assignments"), |names| {
        contains(names, b"stays")
    })
    .await?;

    let mut latency_us = Histogram::new(3)?;
    for _ in 0..rounds {
        let mut leaving = Connection::open(&node.zookeeper).await?;
        leaving
            .call(
                wire::CREATE,
                wire::create_ephemeral(&format!("{GROUP}/members/leaves"), b""),
            )
            .await?;
        wait_for(&mut observer, &format!("{GROUP}/assignments"), |names| {
            contains(names, b"leaves")
        })
        .await?;

        observer
            .call(
                wire::GET_CHILDREN,
                wire::read(&format!("{GROUP}/members"), true),
            )
            .await?;
        observer
            .call(wire::GET_DATA, wire::read(&staying, true))
            .await?;
        leaving.call(wire::CLOSE, |_| {}).await?;
        let gone = event(&mut observer, &format!("{GROUP}/members")).await?;
        let assigned = event(&mut observer, &staying).await?;
        latency_us.record(u64::try_from((assigned - gone).as_micros())?)?;
        wait_for(&mut observer, &format!("{GROUP}/assignments"), |names| {
            !contains(names, b"leaves")
        })
        .await?;
    }
    Ok(latency_us)
}

/// Returns when the event for `path` arrives; another event is an error.
pub async fn event(observer: &mut Connection, path: &str) -> anyhow::Result<Instant> {
    let reply = observer.receive().await?;
    let at = Instant::now();
    ensure!(
        reply.xid == wire::NOTIFICATION_XID,
        "a reply came where an event was due"
    );
    let body = observer.body(reply);
    ensure!(
        body.ends_with(path.as_bytes()),
        "an event came for another path than {path}"
    );
    Ok(at)
}

/// Lists `path` until its children are as wanted; between two lists it waits for the watch.
async fn wait_for(
    observer: &mut Connection,
    path: &str,
    wanted: impl Fn(&[u8]) -> bool,
) -> anyhow::Result<()> {
    loop {
        let reply = observer
            .call(wire::GET_CHILDREN, wire::read(path, true))
            .await?;
        if wanted(observer.body(reply)) {
            observer.remove_watches(path).await?;
            return Ok(());
        }
        event(observer, path).await?;
    }
}

/// Whether the encoded list of names contains `name`.
fn contains(mut names: &[u8], name: &[u8]) -> bool {
    let mut number = || -> Option<usize> {
        let (head, rest) = names.split_first_chunk::<4>()?;
        names = rest;
        usize::try_from(i32::from_be_bytes(*head)).ok()
    };
    let Some(count) = number() else { return false };
    for _ in 0..count {
        let Some((head, rest)) = names.split_first_chunk::<4>() else {
            return false;
        };
        let length = usize::try_from(i32::from_be_bytes(*head)).unwrap_or(0);
        if rest.len() < length {
            return false;
        }
        if &rest[..length] == name {
            return true;
        }
        names = &rest[length..];
    }
    false
}
