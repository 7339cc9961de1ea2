use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use bytes::Bytes;
use innkeeper_runtime::{Real, RealConfig, Sim};
use innkeeper_tree::command::{Write, WriteOp};
use innkeeper_tree::{Command, Operation, Ticket, encoding};
use openraft::EntryPayload;
use openraft::storage::RaftLogStorageExt;

use super::*;
use crate::types::{Proposal, log_id};

/// An entry with so many bytes of data.
fn entry(index: u64, data: usize) -> Entry {
    let command = Command {
        time_ms: index,
        operation: Operation::Admin {
            ticket: Ticket(index),
            identities: Vec::new(),
            write: Write::Single(WriteOp::SetData {
                path: "/data".to_owned(),
                data: Some(Bytes::from(vec![7; data])),
                version: -1,
            }),
            enforce_quota: false,
        },
    };
    let mut encoded = Vec::new();
    encoding::encode_command(&command, &mut encoded);
    Entry {
        log_id: log_id(1, index),
        payload: EntryPayload::Normal(Proposal::new(command, encoded.into(), None)),
    }
}

fn settings(tail_bytes: usize) -> Arc<Settings> {
    Arc::new(Settings {
        tail_bytes,
        ..Settings::default()
    })
}

/// Reads everything by requests, and checks the bounds of each.
async fn by_requests<R: Runtime>(log: &mut Log<R>, count: u64) -> Vec<Vec<Entry>> {
    let mut requests = Vec::new();
    let mut next = 0;
    while next < count {
        let entries = log.limited_get_log_entries(next, count).await.unwrap();
        let bytes: usize = entries.iter().map(codec::entry_len_hint).sum();
        assert!(entries.len() <= 1024);
        assert!(bytes as u64 <= REQUEST_BYTES || entries.len() == 1);
        for entry in &entries {
            assert_eq!(entry.log_id.index, next);
            next += 1;
        }
        requests.push(entries);
    }
    requests
}

/// Three thousand small entries, then some of 300 KiB, with one of 3 MiB among them.
const COUNT: u64 = 3020;

fn data(index: u64) -> usize {
    match index {
        3010 => 3 << 20,
        3000.. => 300 << 10,
        _ => 16,
    }
}

#[test]
fn a_request_has_1024_entries_and_1_mib_from_disk_from_memory_and_from_both() {
    Sim::run(1, |runtime| async move {
        // Everything stays in memory; the tail begins among the small or among the large ones; or
        // nothing stays there.
        for tail_bytes in [1 << 30, 11 << 20, 5 << 20, 0] {
            let folder = format!("/data-{tail_bytes}");
            let disk = runtime.disk(Path::new(&folder)).unwrap();
            let mut log = Log::open(runtime.clone(), &disk, settings(tail_bytes)).unwrap();
            let all = (0..COUNT).map(|index| entry(index, data(index)));
            log.blocking_append(all).await.unwrap();
            log.applied(COUNT - 1);
            let requests = by_requests(&mut log, COUNT).await;
            let counts: Vec<_> = requests.iter().map(Vec::len).collect();
            assert_eq!(counts[..2], [1024, 1024], "{tail_bytes}");
            // Three of 300 KiB fit, and four do not.
            assert!(counts.contains(&3), "{tail_bytes}: {counts:?}");
            let alone = requests.iter().find(|entries| entries.len() == 1);
            let alone = alone.expect("the largest is alone")[0].log_id.index;
            assert_eq!(alone, 3009, "the one before it does not fit beside it");
        }
    });
}

/// Neither a checkpoint that is being written nor a sync delays a peer's read, and a read delays
/// neither the raft thread nor them.
#[test]
fn old_entries_are_read_on_a_thread_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let ran = Real::run(RealConfig::default(), async |runtime| {
        let disk = runtime.disk(&path).unwrap();
        let mut log = Log::open(runtime.clone(), &disk, settings(0)).unwrap();
        log.blocking_append((0..10).map(|index| entry(index, 100)))
            .await
            .unwrap();
        log.applied(9);
        let stuck = |role| {
            let (barrier, waits) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
            let inside = (barrier.clone(), waits.clone());
            let task = runtime.spawn(role, async move {
                inside.0.wait();
                inside.1.wait();
            });
            barrier.wait();
            (task, waits)
        };
        let limit = Duration::from_secs(10);
        let (checkpoint, goes_on) = stuck(ThreadRole::Checkpoint);
        let read = runtime.timeout(limit, log.limited_get_log_entries(0, 10));
        assert_eq!(read.await.expect("no wait").unwrap().len(), 10);
        goes_on.wait();
        checkpoint.await.unwrap();

        let (reading, goes_on) = stuck(ThreadRole::Reading);
        let mut reader = log.clone();
        let read = runtime.spawn(ThreadRole::Raft, async move {
            reader.limited_get_log_entries(0, 10).await
        });
        for role in [ThreadRole::Raft, ThreadRole::Fsync, ThreadRole::Checkpoint] {
            let other = runtime.spawn(role, async {});
            // The log's own task waits in `Fsync` and blocks nothing.
            let done = runtime.timeout(limit, other).await;
            assert_eq!(done, Ok(Ok(())), "{role} is held up");
        }
        goes_on.wait();
        reading.await.unwrap();
        assert_eq!(read.await.unwrap().unwrap().len(), 10);
        log.close().await;
    });
    ran.unwrap();
}
