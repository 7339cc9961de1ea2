//! Checkpoints by themselves: how far they may go, and how a snapshot travels.

mod common;

use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use common::{create, dump, set};
use futures_util::stream;
use innkeeper_raft::log::Log;
use innkeeper_raft::state::{SnapshotData, StateMachine, read_checkpoint};
use innkeeper_raft::{
    Delivery, Entry, Proposal, Refusal, Settings, SnapshotMeta, StateError, log_id,
};
use innkeeper_runtime::sim::FileFaults;
use innkeeper_runtime::{Disk, Runtime, Sim, SimDisk, Simulated};
use innkeeper_tree::{Applied, Command, Operation, View, encoding};
use openraft::EntryPayload;
use openraft::RaftSnapshotBuilder;
use openraft::storage::{IOFlushed, RaftLogStorage, RaftStateMachine};

fn entry(index: u64, operation: Operation) -> Entry {
    let command = Command {
        time_ms: 1000 + index,
        operation,
    };
    let mut encoded = Vec::new();
    encoding::encode_command(&command, &mut encoded);
    Entry {
        log_id: log_id(1, index),
        payload: EntryPayload::Normal(Proposal::new(command, encoded.into(), None)),
    }
}

/// Publishes and does no more: an installed snapshot lets the zxid jump.
struct Publish;

impl Delivery for Publish {
    fn deliver(&self, _batch: Vec<Applied>, publish: &mut dyn FnMut()) {
        publish();
    }

    fn installed(&self, _before: &View, _after: &View, publish: &mut dyn FnMut()) {
        publish();
    }

    fn refused(&self, operation: Operation, refusal: Refusal) {
        panic!("nothing is proposed here, but {operation:?} was refused: {refusal}");
    }
}

type Machine = StateMachine<Simulated>;

fn open_with(
    runtime: &Simulated,
    disk: &SimDisk,
    settings: Settings,
) -> (Log<Simulated>, Result<Machine, StateError>) {
    let settings = Arc::new(settings);
    let log = Log::open(runtime.clone(), disk, settings.clone()).unwrap();
    let delivery = Arc::new(Publish);
    let machine = StateMachine::open(runtime.clone(), disk, settings, log.clone(), delivery);
    (log, machine)
}

fn open(runtime: &Simulated, disk: &SimDisk) -> (Log<Simulated>, Machine) {
    let (log, machine) = open_with(runtime, disk, Settings::default());
    (log, machine.unwrap())
}

async fn apply(machine: &mut Machine, entries: Vec<Entry>) {
    let items = entries.into_iter().map(|entry| Ok((entry, None)));
    machine.apply(stream::iter(items)).await.unwrap();
}

fn disk(runtime: &Simulated, name: &str) -> SimDisk {
    runtime.disk(Path::new(name)).unwrap()
}

/// Lets a checkpoint be written of everything that is applied.
async fn checkpoint(machine: &mut Machine) {
    let mut builder = machine.try_create_snapshot_builder(true).await.unwrap();
    builder.build_snapshot().await.unwrap();
}

/// The bytes of a snapshot of everything that is applied.
async fn sent(machine: &mut Machine) -> BytesMut {
    let mut builder = machine.try_create_snapshot_builder(true).await.unwrap();
    let snapshot = builder.build_snapshot().await.unwrap();
    let pieces = snapshot.snapshot.pieces(1000).unwrap();
    pieces.flat_map(Result::unwrap).collect()
}

/// Gives a node the bytes of a snapshot, in pieces.
fn arrive(
    machine: &Machine,
    bytes: &[u8],
    piece_bytes: usize,
) -> Result<(SnapshotMeta, SnapshotData), StateError> {
    let mut incoming = machine.incoming()?;
    for piece in bytes.chunks(piece_bytes) {
        incoming.take(piece)?;
    }
    incoming.finish()
}

/// A node that is to install another one's snapshot.
struct Receiver {
    disk: SimDisk,
    machine: Machine,
    _log: Log<Simulated>,
    /// A snapshot whose last zxid is 50.
    bytes: BytesMut,
}

impl Receiver {
    /// Its checkpoint is at zxid 1.
    async fn open(runtime: &Simulated) -> Self {
        let from = disk(runtime, "/from");
        let (_log, mut machine) = open(runtime, &from);
        let entries = (0..50).map(|i| entry(i, create(i + 1))).collect();
        apply(&mut machine, entries).await;
        let bytes = sent(&mut machine).await;

        let disk = disk(runtime, "/to");
        let (log, mut machine) = open(runtime, &disk);
        apply(&mut machine, vec![entry(0, create(77))]).await;
        checkpoint(&mut machine).await;
        Self {
            disk,
            machine,
            _log: log,
            bytes,
        }
    }
}

#[test]
fn a_checkpoint_never_goes_beyond_what_the_log_has_flushed() {
    Sim::run(1, |runtime| async move {
        let disk = disk(&runtime, "/data");
        let (mut log, mut machine) = open(&runtime, &disk);
        let entries: Vec<_> = (0..10).map(|i| entry(i, create(i + 1))).collect();
        // The entries will never be flushed; openraft may apply them all the same, when others
        // have them.
        disk.fail_sync(1);
        log.append(entries.clone(), IOFlushed::noop())
            .await
            .unwrap();
        apply(&mut machine, entries).await;
        let mut builder = machine.try_create_snapshot_builder(true).await.unwrap();
        let error = builder.build_snapshot().await.unwrap_err().to_string();
        assert!(error.contains("the log cannot be"), "{error}");
        drop((builder, machine, log));
        let (tree, meta) = read_checkpoint(&disk.reopen()).unwrap().unwrap();
        assert_eq!(meta.last_log_id, None, "state.redb stands where it stood");
        assert_eq!(tree.last_zxid().0, 0);
    });
}

#[test]
fn a_snapshot_travels_as_bytes_and_replaces_the_state() {
    Sim::run(1, |runtime| async move {
        let from = disk(&runtime, "/from");
        let (_log, mut machine) = open(&runtime, &from);
        let mut entries: Vec<_> = (0..200).map(|i| entry(i, create(i + 1))).collect();
        entries.extend((200..260).map(|i| entry(i, set(i, i - 199))));
        apply(&mut machine, entries).await;
        let mut builder = machine.try_create_snapshot_builder(true).await.unwrap();
        let snapshot = builder.build_snapshot().await.unwrap();
        assert_eq!(snapshot.meta.last_log_id, Some(log_id(1, 259)));
        // What is applied later is not in it.
        apply(&mut machine, vec![entry(260, create(900))]).await;

        let mut bytes = BytesMut::new();
        let mut pieces = 0;
        for piece in snapshot.snapshot.pieces(1000).unwrap() {
            bytes.extend_from_slice(&piece.unwrap());
            pieces += 1;
        }
        assert!(pieces > 10, "{pieces}");

        let to = disk(&runtime, "/to");
        let (log, mut receiver) = open(&runtime, &to);
        apply(&mut receiver, vec![entry(0, create(77))]).await;
        // Pieces may be cut anywhere.
        let (meta, data) = arrive(&receiver, &bytes, 7).unwrap();
        assert_eq!(meta, snapshot.meta);
        assert!(data.pieces(1000).is_err(), "it is not this node's state");
        receiver.install_snapshot(&meta, data).await.unwrap();
        let (applied, _) = receiver.applied_state().await.unwrap();
        assert_eq!(applied, meta.last_log_id);
        // It goes on from there, and what it keeps is whole.
        apply(&mut receiver, vec![entry(260, create(900))]).await;
        checkpoint(&mut receiver).await;
        checkpoint(&mut machine).await;

        // Damage anywhere is seen before anything is replaced.
        for at in (0..bytes.len()).step_by(37) {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            assert!(arrive(&receiver, &damaged, 1000).is_err(), "byte {at}");
        }
        for cut in [1, 4, 9, 1000] {
            let beginning = &bytes[..bytes.len() - cut];
            assert!(matches!(
                arrive(&receiver, beginning, 1000),
                Err(StateError::Damaged { .. })
            ));
        }
        bytes.extend_from_slice(b"!");
        assert!(
            arrive(&receiver, &bytes, 1000).is_err(),
            "something follows"
        );
        drop((machine, receiver, builder, snapshot, log));
        let (sent, _) = read_checkpoint(&from.reopen()).unwrap().unwrap();
        let (got, _) = read_checkpoint(&to.reopen()).unwrap().unwrap();
        assert_eq!(sent.hash(), got.hash());
        assert_eq!(sent.last_zxid(), got.last_zxid());
        assert_eq!(dump(&sent.reader().view()), dump(&got.reader().view()));
    });
}

#[test]
fn a_state_of_a_level_that_a_node_does_not_support_is_not_taken() {
    Sim::run(1, |runtime| async move {
        let release = |feature_level| Settings {
            feature_level,
            ..Settings::default()
        };
        let from = disk(&runtime, "/from");
        let (_log, newer) = open_with(&runtime, &from, release(2));
        let mut newer = newer.unwrap();
        let raises = [1, 2].map(|level| {
            entry(
                level,
                Operation::RaiseLevel {
                    level: level as u32,
                },
            )
        });
        apply(&mut newer, raises.to_vec()).await;
        let bytes = sent(&mut newer).await;

        let to = disk(&runtime, "/to");
        let (log, older) = open_with(&runtime, &to, release(1));
        let mut older = older.unwrap();
        apply(&mut older, vec![entry(1, create(77))]).await;
        // A command that would raise nothing does no harm.
        apply(&mut older, raises[1..].to_vec()).await;
        let (meta, data) = arrive(&older, &bytes, 1000).unwrap();
        let sentence = "the group uses the feature level 2, and this node supports 1: update it";
        let error = older.install_snapshot(&meta, data).await.unwrap_err();
        assert_eq!(error.to_string(), sentence);
        drop((log, older));
        // It is there for its next release, and this one does not open it.
        let to = to.reopen();
        let (log, older) = open_with(&runtime, &to, release(1));
        assert_eq!(
            older.err().map(|error| error.to_string()).as_deref(),
            Some(sentence)
        );
        drop(log);
        let (_log, updated) = open_with(&runtime, &to, release(2));
        let (applied, _) = updated.unwrap().applied_state().await.unwrap();
        assert_eq!(applied, Some(log_id(1, 2)));
    });
}

#[test]
fn a_power_cut_while_a_snapshot_is_installed_leaves_the_old_state_or_the_new() {
    let mut old = 0;
    let mut new = 0;
    for nth in 1..40 {
        let disks = Sim::run(nth, |runtime| async move {
            let mut receiver = Receiver::open(&runtime).await;
            let before = innkeeper_runtime::sim::CutAt::Before;
            receiver.disk.cut_at_sync(nth, before);
            if let Ok((meta, data)) = arrive(&receiver.machine, &receiver.bytes, 1000) {
                let _ = receiver.machine.install_snapshot(&meta, data).await;
            }
            receiver.disk
        });
        // Without a cut that is still planned, if installing took fewer syncs.
        disks.heal();
        let survived = disks.reopen();
        let names = survived.list("").unwrap();
        let (tree, meta) = read_checkpoint(&survived)
            .unwrap()
            .unwrap_or_else(|| panic!("state.redb is gone: {names:?}"));
        match tree.last_zxid().0 {
            1 => old += 1,
            50 => new += 1,
            other => panic!("neither the old state nor the new: {other} {meta:?}"),
        }
    }
    assert!(old > 3 && new > 3, "{old} {new}");
}

/// Whatever the disk does to the new file, the old state stays until the new one is whole, and the
/// error is one sentence. A snapshot that cannot be written is refused, and the node goes on.
#[test]
fn a_fault_while_a_snapshot_is_installed_leaves_the_old_state_or_the_new() {
    let (mut installed, mut refused, mut failed) = (0, 0, 0);
    for seed in 0..60 {
        let (disk, expected) = Sim::run(seed, |runtime| async move {
            let Receiver {
                disk,
                mut machine,
                _log,
                bytes,
            } = Receiver::open(&runtime).await;
            let one_in = Some(1 + runtime.random_u64() % 20);
            let mut faults = FileFaults::default();
            match seed % 6 {
                0 => disk.fail_sync(1 + seed / 6),
                1 => faults.capacity_bytes = Some(runtime.random_u64() % (1 << 21)),
                2 => faults.write_errors_one_in = one_in,
                3 => faults.read_errors_one_in = one_in,
                // See below.
                4 => {}
                _ => faults.flipped_reads_one_in = one_in,
            }
            disk.set_faults("state.redb", faults);
            let told = |error: String| {
                assert!(error.starts_with("state.redb "), "{error}");
                assert!(!error.contains('\n'), "{error}");
                let does_tell = error.contains("; check") || error.contains("; restore");
                assert!(does_tell, "{error}");
            };
            let expected: &[u64] = match arrive(&machine, &bytes, 1000) {
                Ok((meta, data)) => {
                    if seed % 6 == 4 {
                        // openraft counts on the snapshot by now, so the node cannot go on.
                        disk.fail_sync(1);
                    }
                    match machine.install_snapshot(&meta, data).await {
                        Ok(()) => &[50],
                        Err(error) => {
                            told(error.to_string());
                            &[1, 50]
                        }
                    }
                }
                Err(error) => {
                    told(error.to_string());
                    disk.heal();
                    apply(&mut machine, vec![entry(1, create(78))]).await;
                    checkpoint(&mut machine).await;
                    &[2]
                }
            };
            (disk, expected)
        });
        disk.heal();
        let (tree, _) = read_checkpoint(&disk.reopen())
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"))
            .expect("it is there");
        let zxid = tree.last_zxid().0;
        assert!(expected.contains(&zxid), "seed {seed}: {zxid}");
        match expected {
            [50] => installed += 1,
            [2] => refused += 1,
            _ => failed += 1,
        }
    }
    let all = (installed, refused, failed);
    assert!(installed > 5 && refused > 20 && failed > 5, "{all:?}");
}
