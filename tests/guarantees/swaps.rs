//! A swap is one point of the log: before it the old module acted, after it the new one, and no
//! event is lost.
//!
//! Fails in a build with `innkeeper_break="activation-check"`: there a reaction that was in flight
//! over the swap commits after it.

#![allow(clippy::disallowed_methods, reason = "a test is a client, not a node")]

#[path = "../guests.rs"]
mod guests;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use guests::guest;
use support::{NodeProcess, eventually, persistent};

const SWAPS: usize = 100;
const WRITERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_swaps_under_load_have_one_change_over_each() {
    let (one, two) = (guest("test-stamp-1"), guest("test-stamp-2"));
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    let modules = [node.push(&one), node.push(&two)];
    let client = node.client().await;
    client.create("/in", b"", &persistent()).await.unwrap();
    client.create("/stamps", b"", &persistent()).await.unwrap();
    let bind = |build: usize| {
        node.bind(
            "stamp",
            &format!(
                r#"{{"world":"recipe","module":"{}","watch":["/in/*"],"write":["/stamps/*"],
                    "limits":{{"queue":1000000,"calls_per_second":1000000}},"config":{{"out":"/stamps"}}}}"#,
                modules[build]
            ),
        )
    };
    // Which build acts from which zxid on.
    let mut activations = vec![(bind(0), 1_u64)];
    let stop = Arc::new(AtomicBool::new(false));
    let made = Arc::new(AtomicUsize::new(0));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let client = node.client().await;
        let (stop, made) = (Arc::clone(&stop), Arc::clone(&made));
        writers.push(tokio::spawn(async move {
            let mut names = Vec::new();
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let name = format!("{writer}-{number}");
                client
                    .create(&format!("/in/{name}"), b"", &persistent())
                    .await
                    .unwrap();
                made.fetch_add(1, Ordering::Relaxed);
                names.push(name);
            }
            names
        }));
    }
    for swap in 1..=SWAPS {
        let before = made.load(Ordering::Relaxed);
        eventually("events between two swaps", async || {
            (made.load(Ordering::Relaxed) > before + WRITERS).then_some(())
        })
        .await;
        activations.push((bind(swap % 2), 1 + (swap % 2) as u64));
    }
    stop.store(true, Ordering::Relaxed);
    let mut names = Vec::new();
    for writer in writers {
        names.extend(writer.await.unwrap());
    }
    eventually("the queue to be empty", async || {
        (node.status("stamp")["queued"].as_u64()? == 0).then_some(())
    })
    .await;
    let mut stamps = Vec::new();
    for name in &names {
        let (data, stat) = client
            .get_data(&format!("/stamps/{name}"))
            .await
            .unwrap_or_else(|error| panic!("the event of {name} was lost: {error}"));
        stamps.push((
            stat.mzxid,
            String::from_utf8(data).unwrap().parse::<u64>().unwrap(),
        ));
    }
    stamps.sort_unstable();
    assert!(activations.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let mut periods_seen = std::collections::BTreeSet::new();
    for (mzxid, build) in stamps {
        let period = activations.partition_point(|(activation, _)| *activation < mzxid) - 1;
        periods_seen.insert(period);
        assert_eq!(
            build, activations[period].1,
            "at 0x{mzxid:x} build {build} acted, and since 0x{:x} the other one should",
            activations[period].0
        );
    }
    // Otherwise the test would show nothing.
    assert!(
        periods_seen.len() > SWAPS / 2,
        "stamps in {} periods only",
        periods_seen.len()
    );
}
