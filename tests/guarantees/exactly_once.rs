//! Every event is reacted to exactly once, whatever is killed in between.
//!
//! Fails in a build with `innkeeper_break="ack-in-transaction"`: there a reaction's events leave
//! the queue apart from its writes.

#![allow(clippy::disallowed_methods, reason = "a test is a client, not a node")]

#[path = "../guests.rs"]
mod guests;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use guests::guest;
use support::{NodeProcess, create_surely, eventually, number, persistent};

const EVENTS: usize = 10_000;
const KILLS: usize = 20;
const WRITERS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_are_counted_exactly_once_over_twenty_kills() {
    let tally = guest("test-tally");
    let folder = tempfile::tempdir().unwrap();
    let mut node = NodeProcess::start(folder.path());
    let module = node.push(&tally);
    let client = node.client().await;
    client.create("/in", b"", &persistent()).await.unwrap();
    node.bind(
        "tally",
        &format!(
            r#"{{"world":"recipe","module":"{module}","watch":["/in/*"],
                "write":["/tally","/tally-resyncs"],"limits":{{"queue":100000}},
                "config":{{"counter":"/tally","resyncs":"/tally-resyncs"}}}}"#
        ),
    );
    // How often it came is asked at the end.
    eventually("the resync of the binding's creation", async || {
        number(&client, "/tally-resyncs").await
    })
    .await;
    let next = Arc::new(AtomicUsize::new(0));
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        let client = node.client().await;
        let next = Arc::clone(&next);
        writers.push(tokio::spawn(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= EVENTS {
                    return;
                }
                create_surely(&client, &format!("/in/{index}"), b"").await;
            }
        }));
    }
    for kill in 1..=KILLS {
        let reached = EVENTS * kill / (KILLS + 1);
        eventually("the writers", async || {
            (next.load(Ordering::Relaxed) >= reached).then_some(())
        })
        .await;
        node.kill_and_restart();
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let client = node.client().await;
    eventually("the queue to be empty", async || {
        (node.status("tally")["queued"].as_u64()? == 0).then_some(())
    })
    .await;
    assert_eq!(number(&client, "/tally").await, Some(EVENTS as u64));
    assert_eq!(
        number(&client, "/tally-resyncs").await,
        Some(1),
        "no other resync came"
    );
}
