//! One node on real files: writes, restarts, errors of the data folder, modules.

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Recorder, create, dump, heavy, path_of, set};
use innkeeper_raft::state::read_checkpoint;
use innkeeper_raft::{Delivery, ModuleStore, OpenError, Refusal, Replica, Settings};
use innkeeper_runtime::{Disk, File, Open, Real, RealConfig, Runtime, Threads};
use innkeeper_tree::applied::{Applied, Outcome};
use innkeeper_tree::{Command, Operation, SessionId, Tree, View};
use parking_lot::Mutex;

async fn open(
    runtime: &Real,
    folder: &std::path::Path,
    settings: Settings,
) -> (Replica<Real>, Recorder) {
    let delivery = Recorder::new();
    // The replica before may still be letting go of the folder.
    for _ in 0..1000 {
        let disk = runtime.disk(folder).unwrap();
        let opened = Replica::open(
            runtime.clone(),
            disk,
            settings.clone(),
            Arc::new(delivery.clone()),
        )
        .await;
        match opened {
            Ok(replica) => return (replica, delivery),
            Err(OpenError::Locked(_)) => runtime.sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the folder stays locked");
}

#[test]
fn writes_survive_an_orderly_and_a_disorderly_end() {
    let threads = Threads::start(RealConfig::default()).unwrap();
    let runtime = threads.runtime();
    threads.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let (replica, delivery) = open(&runtime, folder.path(), Settings::default()).await;
        replica
            .proposals()
            .submit((1..=100).map(create).collect())
            .await;
        delivery.wait_done(100).await;
        assert!(delivery.acks().values().all(|ack| ack.ok));
        replica.read_index().await.unwrap();
        assert_eq!(replica.reader().last_zxid().0, 100);
        let before = dump(&replica.reader().view());
        replica.shutdown().await;

        // In order: the checkpoint has all of it, nothing is replayed.
        let (replica, delivery) = open(&runtime, folder.path(), Settings::default()).await;
        assert_eq!(replica.status().replayed, 0, "{:?}", replica.status());
        assert_eq!(dump(&replica.reader().view()), before);
        replica.proposals().submit(vec![set(101, 7)]).await;
        delivery.wait_done(1).await;
        assert_eq!(delivery.acks()[&101].zxid, 101);
        let before = dump(&replica.reader().view());
        drop(replica);

        // As after a crash: the log's tail is replayed.
        let (replica, _) = open(&runtime, folder.path(), Settings::default()).await;
        assert!(replica.status().replayed > 0, "{:?}", replica.status());
        assert_eq!(dump(&replica.reader().view()), before);
        assert_eq!(replica.reader().last_zxid().0, 101);
        replica.shutdown().await;
    });
}

#[test]
fn after_300_000_writes_a_restart_replays_little_and_old_segments_are_gone() {
    const WRITES: u64 = 300_000;
    let threads = Threads::start(RealConfig::default()).unwrap();
    let runtime = threads.runtime();
    threads.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            segment_bytes: 4 << 20,
            retention_age: Duration::ZERO,
            retention_bytes: 0,
            ..Settings::default()
        };
        let (replica, delivery) = open(&runtime, folder.path(), settings.clone()).await;
        let proposals = replica.proposals();
        // Znodes are created once and then set again and again, so that a checkpoint writes
        // what changed and not all that exists.
        let operation = |ticket: u64| match ticket {
            1..=20_000 => create(ticket),
            _ => set(ticket, ticket % 20_000 + 1),
        };
        let mut next = 1;
        while next <= WRITES {
            let end = (next + 1000).min(WRITES + 1);
            proposals.submit((next..end).map(operation).collect()).await;
            next = end;
        }
        delivery.wait_done(WRITES).await;
        let acks = delivery.acks();
        assert_eq!(acks.len() as u64, WRITES);
        assert!(acks.values().all(|ack| ack.ok));
        // A crash right after a checkpoint would leave nothing to replay.
        let mut last = WRITES;
        runtime.sleep(Duration::from_millis(500)).await;
        while replica.status().checkpoint == replica.status().applied {
            last += 1;
            proposals.submit(vec![operation(last)]).await;
            delivery.wait_done(last).await;
        }
        let acks = delivery.acks();
        let written = replica.status();
        let before = dump(&replica.reader().view());
        drop((proposals, replica));

        // state.redb alone: the tree at its log id, to the last znode and to the rolling hash.
        wait_unlocked(&runtime, folder.path()).await;
        let disk = runtime.disk(folder.path()).unwrap();
        let (stored, meta) = read_checkpoint(&disk).unwrap().unwrap();
        assert!(meta.last_log_id.is_some());
        let mut recomputed = Tree::new();
        for zxid in 1..=stored.last_zxid().0 {
            // One submitter: ticket n got zxid n.
            let ack = acks[&zxid];
            assert_eq!(ack.zxid, zxid);
            recomputed.apply(&Command {
                time_ms: ack.time_ms,
                operation: operation(zxid),
            });
        }
        recomputed.publish();
        assert!(stored.last_zxid().0 > WRITES / 2);
        assert_eq!(stored.hash(), recomputed.hash());
        assert_eq!(stored.level(), recomputed.level());
        assert_eq!(
            dump(&stored.reader().view()),
            dump(&recomputed.reader().view())
        );
        assert!(stored.last_zxid().0 < last, "it stands behind the log");
        drop(stored);

        let (replica, _) = open(&runtime, folder.path(), settings).await;
        let status = replica.status();
        assert!(status.replayed < 110_000, "{status:?}");
        assert!(status.replayed > 0, "this was no crash: {status:?}");
        let first = status.log.first_index.unwrap();
        assert!(
            first > WRITES / 3,
            "old segments are still there: {status:?}"
        );
        let disk = runtime.disk(folder.path()).unwrap();
        let files = disk.list("log").unwrap();
        let oldest: u64 = files[0].strip_suffix(".wal").unwrap().parse().unwrap();
        assert!(oldest > 1, "{files:?} {written:?}");
        assert_eq!(dump(&replica.reader().view()), before);
        replica.shutdown().await;
    });
}

async fn wait_unlocked(runtime: &Real, folder: &std::path::Path) {
    for _ in 0..1000 {
        if runtime.disk(folder).unwrap().lock().is_ok() {
            return;
        }
        runtime.sleep(Duration::from_millis(10)).await;
    }
    panic!("the folder stays locked");
}

#[test]
fn a_folder_in_use_and_an_unreadable_one_get_one_sentence_each() {
    let threads = Threads::start(RealConfig::default()).unwrap();
    let runtime = threads.runtime();
    threads.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let (replica, _) = open(&runtime, folder.path(), Settings::default()).await;
        let second = Replica::open(
            runtime.clone(),
            runtime.disk(folder.path()).unwrap(),
            Settings::default(),
            Arc::new(Recorder::new()),
        )
        .await;
        let Err(OpenError::Locked(sentence)) = second else {
            panic!("{second:?}");
        };
        assert!(!sentence.contains('\n'), "{sentence}");
        replica.shutdown().await;

        wait_unlocked(&runtime, folder.path()).await;

        // A log segment that is not one.
        let disk = runtime.disk(folder.path()).unwrap();
        let file = disk.open("log/00000000000000000001.wal", Open::Write);
        file.unwrap().write_at(b"damage", 40).unwrap();
        let damaged = Replica::open(
            runtime.clone(),
            runtime.disk(folder.path()).unwrap(),
            Settings::default(),
            Arc::new(Recorder::new()),
        )
        .await;
        let sentence = damaged.unwrap_err().to_string();
        assert!(sentence.contains("is damaged at byte"), "{sentence}");
        assert!(sentence.contains("restore"), "{sentence}");
    });
}

/// What a server is called may change, as in ZooKeeper; the member of the group stays.
#[test]
fn a_renumbered_node_keeps_its_folder() {
    let threads = Threads::start(RealConfig::default()).unwrap();
    let runtime = threads.runtime();
    threads.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let numbered = |node_id| Settings {
            node_id,
            checkpoint_interval: Duration::from_secs(3600),
            ..Settings::default()
        };
        let first = (-7_i64).cast_unsigned();
        let (replica, delivery) = open(&runtime, folder.path(), numbered(first)).await;
        replica.proposals().submit(vec![create(1)]).await;
        delivery.wait_done(1).await;
        assert_eq!(replica.status().node_id, first);
        // Only the log has the membership yet.
        assert_eq!(replica.status().checkpoint, None);
        drop(replica);

        for (number, ends_in_order) in [(0, true), (1001, true), (u64::MAX, false)] {
            let (replica, delivery) = open(&runtime, folder.path(), numbered(number)).await;
            assert_eq!(replica.status().node_id, first);
            replica.proposals().submit(vec![set(2, 1)]).await;
            delivery.wait_done(1).await;
            assert!(delivery.acks().values().all(|ack| ack.ok), "{number}");
            if ends_in_order {
                replica.shutdown().await;
            }
        }
    });
}

#[test]
fn a_closed_door_refuses_and_says_so() {
    let threads = Threads::start(RealConfig::default()).unwrap();
    let runtime = threads.runtime();
    threads.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let (replica, delivery) = open(&runtime, folder.path(), Settings::default()).await;
        let proposals = replica.proposals();
        replica.shutdown().await;
        proposals.submit(vec![create(1), create(2)]).await;
        let refused = delivery.refused();
        assert_eq!(refused.len(), 2);
        for (place, (operation, refusal)) in refused.into_iter().enumerate() {
            assert_eq!(operation, create(place as u64 + 1));
            assert_eq!(refusal, Refusal::ShuttingDown);
        }
    });
}

#[test]
fn operations_pass_through_a_small_queue_in_order() {
    let threads = Threads::start(RealConfig::default()).unwrap();
    let runtime = threads.runtime();
    threads.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            queued_operations: 3,
            queued_bytes: 600,
            batch_commands: 2,
            ..Settings::default()
        };
        let (replica, delivery) = open(&runtime, folder.path(), settings).await;
        // More than fits at once, from one submitter, in one call.
        replica
            .proposals()
            .submit((1..=500).map(create).collect())
            .await;
        delivery.wait_done(500).await;
        let acks = delivery.acks();
        for ticket in 1..=500 {
            assert_eq!(acks[&ticket].zxid, ticket, "order is kept");
            assert!(acks[&ticket].ok);
        }
        let view = replica.reader().view();
        assert!(view.exists(&path_of(500)).is_some());
        replica.shutdown().await;
    });
}

#[test]
fn modules_are_stored_by_their_digest() {
    let threads = Threads::start(RealConfig::default()).unwrap();
    let runtime = threads.runtime();
    threads.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let (replica, _) = open(&runtime, folder.path(), Settings::default()).await;
        let modules = replica.modules();
        let bytes = Bytes::from(vec![7; 100_000]);
        let digest = modules.put(bytes.clone()).await.unwrap();
        assert_eq!(digest, ModuleStore::<Real>::digest(&bytes));
        assert_eq!(modules.put(bytes.clone()).await.unwrap(), digest);
        drop(modules);
        replica.shutdown().await;

        let (replica, _) = open(&runtime, folder.path(), Settings::default()).await;
        let modules = replica.modules();
        assert_eq!(modules.get(digest).await.unwrap(), Some(bytes));
        assert_eq!(modules.list().await.unwrap(), vec![(digest, 100_000)]);
        let other = ModuleStore::<Real>::digest(b"other");
        assert_eq!(modules.get(other).await.unwrap(), None);
        drop(modules);
        replica.shutdown().await;
    });
}

/// A recorder that also remembers the zxid and the thread of what sessions asked for.
struct Threaded {
    recorder: Recorder,
    sessions: Mutex<Vec<(u64, String)>>,
}

impl Delivery for Threaded {
    fn deliver(&self, batch: Vec<Applied>, publish: &mut dyn FnMut()) {
        let is_session = |applied: &&Applied| matches!(applied.outcome, Outcome::Session { .. });
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or_default();
        let seen = batch.iter().filter(is_session);
        let seen = seen.map(|applied| (applied.zxid.0, thread.to_owned()));
        self.sessions.lock().extend(seen);
        self.recorder.deliver(batch, publish);
    }

    fn installed(&self, before: &View, after: &View, publish: &mut dyn FnMut()) {
        self.recorder.installed(before, after, publish);
    }

    fn refused(&self, operation: Operation, refusal: Refusal) {
        Delivery::refused(&self.recorder, operation, refusal);
    }
}

/// The end of a session with many ephemerals would hold up the raft thread.
#[test]
fn a_heavy_command_is_applied_beside_the_raft_thread_and_in_its_place() {
    const MULTIS: u64 = 11;
    let threads = Threads::start(RealConfig::default()).unwrap();
    let runtime = threads.runtime();
    threads.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let delivery = Arc::new(Threaded {
            recorder: Recorder::new(),
            sessions: Mutex::default(),
        });
        let disk = runtime.disk(folder.path()).unwrap();
        let settings = Settings::default();
        let opened = Replica::open(runtime.clone(), disk, settings, delivery.clone()).await;
        let replica = opened.unwrap();
        let session = SessionId(0x0100_0000_0000_0007);
        let mut operations = vec![heavy::create_session(1, session)];
        operations.extend((1..=MULTIS).map(|seq| heavy::create_ephemerals(session, seq)));
        operations.extend([create(2), heavy::close(session, MULTIS + 1), create(3)]);
        let all = operations.len() as u64;
        replica.proposals().submit(operations).await;
        delivery.recorder.wait_done(all).await;

        let sessions = delivery.sessions.lock().clone();
        let mut expected: Vec<_> = (0..MULTIS).map(|at| (2 + at, "raft".to_owned())).collect();
        expected.push((all - 1, "reading".to_owned()));
        assert_eq!(sessions, expected);
        let acks = delivery.recorder.acks();
        assert_eq!((acks[&2].zxid, acks[&3].zxid), (all - 2, all));
        let view = replica.reader().view();
        assert_eq!(view.ephemeral_count(), 0);
        assert!(view.get(&path_of(3)).is_some());
        replica.shutdown().await;
    });
}
