//! A policy change holds from its own zxid on: no write slips through between a flip and its
//! effect.
//!
//! Fails in a build with `innkeeper_break="policy-check"`: there apply does not compare the policy
//! that a write was decided by.

#![allow(clippy::disallowed_methods, reason = "a test is a client, not a node")]

#[path = "../guests.rs"]
mod guests;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use guests::guest;
use support::{NodeProcess, persistent};
use zookeeper_client as zk;

const FLIPS: usize = 1_000;
const WRITERS: usize = 4;
const PIPELINED: usize = 16;

const FORBIDS: &[u8] = br#"{"rules":[{"effect":"deny","operations":["write"],"path":"/data/**"}]}"#;
const ALLOWS: &[u8] = br#"{"rules":[]}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_slips_past_a_thousand_policy_flips() {
    let rules = guest("path-rules");
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    let module = node.push(&rules);
    let owner = node.client().await;
    owner
        .create("/policy", ALLOWS, &persistent())
        .await
        .unwrap();
    owner.create("/data", b"", &persistent()).await.unwrap();
    for writer in 0..WRITERS {
        owner
            .create(&format!("/data/{writer}"), b"", &persistent())
            .await
            .unwrap();
    }
    owner
        .create("/data/probe", b"", &persistent())
        .await
        .unwrap();
    node.bind(
        "rules",
        &format!(
            r#"{{"world":"authorizer","module":"{module}","watch":["/data/**"],"policy":["/policy"],
                "config":{{"rules":"/policy"}}}}"#
        ),
    );
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let client = node.client().await;
        let stop = Arc::clone(&stop);
        writers.push(tokio::spawn(async move {
            let path = format!("/data/{writer}");
            let (mut done, mut denied) = (Vec::new(), 0_usize);
            while !stop.load(Ordering::Relaxed) {
                let batch =
                    join_all((0..PIPELINED).map(|_| client.set_data(&path, b"x", None))).await;
                for result in batch {
                    match result {
                        Ok(stat) => done.push(stat.mzxid),
                        Err(zk::Error::NoAuth) => denied += 1,
                        Err(error) => panic!("{path}: {error}"),
                    }
                }
            }
            (done, denied)
        }));
    }
    // The zxid of each flip, and whether writes are forbidden from it on.
    let mut flips = vec![(0_i64, false)];
    for flip in 0..FLIPS {
        let forbids = flip % 2 == 0;
        let policy = if forbids { FORBIDS } else { ALLOWS };
        let stat = owner.set_data("/policy", policy, None).await.unwrap();
        flips.push((stat.mzxid, forbids));
        let probe = owner.set_data("/data/probe", b"x", None).await;
        match (forbids, probe) {
            (true, Err(zk::Error::NoAuth)) | (false, Ok(_)) => {}
            (_, other) => panic!(
                "flip {flip} (forbids: {forbids}) was answered, and then a write got {other:?}"
            ),
        }
    }
    stop.store(true, Ordering::Relaxed);
    let (mut written, mut refused) = (0, 0);
    for writer in writers {
        let (done, denied) = writer.await.unwrap();
        refused += denied;
        written += done.len();
        for mzxid in done {
            let flip = flips.partition_point(|(at, _)| *at < mzxid) - 1;
            assert!(
                !flips[flip].1,
                "a write at 0x{mzxid:x} is past the flip at 0x{:x} that forbids it",
                flips[flip].0
            );
        }
    }
    assert!(
        written > FLIPS && refused > FLIPS,
        "{written} written, {refused} refused: too few to show anything"
    );
}
