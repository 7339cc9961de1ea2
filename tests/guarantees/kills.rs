//! After a SIGKILL all acknowledged writes are there, and the zxid has not gone back.

#![allow(clippy::disallowed_methods, reason = "a test is a client, not a node")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use support::{NodeProcess, eventually, is_passing, persistent};

const KILLS: u64 = 20;
const WRITERS: usize = 8;
const WRITES_BETWEEN_KILLS: u64 = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_survives_twenty_kills() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = NodeProcess::start(folder.path());
    let client = node.client().await;
    client.create("/w", b"", &persistent()).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let client = node.client().await;
        let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        writers.push(tokio::spawn(async move {
            // What this client was told, in the order in which it was told.
            let mut told: Vec<(String, i64)> = Vec::new();
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let path = format!("/w/{writer}-{number}");
                match client.create(&path, path.as_bytes(), &persistent()).await {
                    Ok((stat, _)) => {
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                        told.push((path, stat.czxid));
                    }
                    Err(error) if is_passing(&error) => {}
                    Err(error) => panic!("{path}: {error}"),
                }
            }
            told
        }));
    }
    for kill in 1..=KILLS {
        eventually("acknowledged writes", async || {
            (acknowledged.load(Ordering::Relaxed) >= kill * WRITES_BETWEEN_KILLS).then_some(())
        })
        .await;
        node.kill_and_restart();
    }
    stop.store(true, Ordering::Relaxed);
    let client = node.client().await;
    let mut all = Vec::new();
    for writer in writers {
        let told = writer.await.unwrap();
        assert!(
            told.windows(2).all(|pair| pair[0].1 < pair[1].1),
            "a zxid went back"
        );
        all.extend(told);
    }
    assert!(all.len() as u64 >= KILLS * WRITES_BETWEEN_KILLS);
    for (path, czxid) in &all {
        let (data, stat) = client
            .get_data(path)
            .await
            .unwrap_or_else(|error| panic!("{path} was acknowledged: {error}"));
        assert_eq!(
            (data.as_slice(), stat.czxid),
            (path.as_bytes(), *czxid),
            "{path}"
        );
    }
    let mut zxids: Vec<i64> = all.iter().map(|(_, czxid)| *czxid).collect();
    zxids.sort_unstable();
    zxids.dedup();
    assert_eq!(zxids.len(), all.len(), "every write has a zxid of its own");
}
