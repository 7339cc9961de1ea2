//! The write-ahead log by itself: against a model, and with torn and damaged bytes.

mod common;

use std::path::Path;
use std::sync::Arc;

use innkeeper_proto::CreateMode;
use innkeeper_raft::log::Log;
use innkeeper_raft::{
    Entry, LogError, LogId, Membership, Payload, Proposal, Settings, TypeConfig, Vote, log_id,
};
use innkeeper_runtime::{Disk, File, Open, Runtime, Sim, SimDisk, Simulated};
use innkeeper_tree::command::{Write, WriteOp};
use innkeeper_tree::{Command, Operation, Ticket, acl, encoding};
use openraft::storage::{IOFlushed, RaftLogStorage, RaftLogStorageExt};
use openraft::type_config::TypeConfigExt;
use openraft::{BasicNode, EntryPayload, RaftLogReader};
use proptest::prelude::*;

const FOLDER: &str = "/data";

fn settings(segment_bytes: u64) -> Arc<Settings> {
    Arc::new(Settings {
        segment_bytes,
        tail_bytes: 2000,
        ..Settings::default()
    })
}

/// An entry whose content follows from its log id.
fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    let payload: Payload = match index % 7 {
        0 => EntryPayload::Blank,
        1 => {
            let nodes = [
                (1, BasicNode::new("here:1")),
                (2, BasicNode::new("there:2")),
            ];
            let config = vec![[1, 2].into()];
            EntryPayload::Membership(
                Membership::new(config, std::collections::BTreeMap::from(nodes)).unwrap(),
            )
        }
        _ => {
            let command = Command {
                time_ms: index,
                operation: Operation::Admin {
                    ticket: Ticket(term),
                    identities: Vec::new(),
                    write: Write::Single(WriteOp::Create {
                        path: format!("/{index}"),
                        data: Some(vec![index as u8; bytes].into()),
                        acl: acl::open(),
                        mode: CreateMode::Persistent,
                        ttl_ms: 0,
                    }),
                    enforce_quota: false,
                },
            };
            let mut encoded = Vec::new();
            encoding::encode_command(&command, &mut encoded);
            EntryPayload::Normal(Proposal::new(command, encoded.into(), None))
        }
    };
    Entry {
        log_id: log_id(term, index),
        payload,
    }
}

fn same(a: &Entry, b: &Entry) -> bool {
    let same_payload = match (&a.payload, &b.payload) {
        (EntryPayload::Blank, EntryPayload::Blank) => true,
        (EntryPayload::Normal(a), EntryPayload::Normal(b)) => {
            a.command() == b.command() && a.encoded() == b.encoded()
        }
        (EntryPayload::Membership(a), EntryPayload::Membership(b)) => a == b,
        _ => false,
    };
    a.log_id == b.log_id && same_payload
}

/// What the log should hold.
#[derive(Clone, Debug, Default)]
struct Model {
    entries: Vec<Entry>,
    purged: Option<LogId>,
    vote: Option<Vote>,
    committed: Option<LogId>,
}

impl Model {
    fn last(&self) -> Option<LogId> {
        self.entries.last().map(|e| e.log_id).or(self.purged)
    }

    fn next(&self) -> u64 {
        self.last().map_or(0, |id| id.index + 1)
    }

    fn term(&self) -> u64 {
        self.last().map_or(1, |id| **id.committed_leader_id())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        count: u64,
        bytes: usize,
        term_up: bool,
    },
    Truncate {
        back: u64,
    },
    Purge {
        keep: u64,
        beyond: bool,
    },
    Vote {
        term: u64,
    },
    Committed {
        back: u64,
    },
    Applied {
        back: u64,
    },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..8u64, 0..900usize, any::<bool>())
            .prop_map(|(count, bytes, term_up)| Step::Append { count, bytes, term_up }),
        2 => (0..6u64).prop_map(|back| Step::Truncate { back }),
        1 => (0..12u64, prop::bool::weighted(0.1))
            .prop_map(|(keep, beyond)| Step::Purge { keep, beyond }),
        1 => (1..9u64).prop_map(|term| Step::Vote { term }),
        2 => (0..4u64).prop_map(|back| Step::Committed { back }),
        2 => (0..4u64).prop_map(|back| Step::Applied { back }),
        2 => Just(Step::Reopen),
    ]
}

async fn check(log: &mut Log<Simulated>, model: &Model) {
    let state = log.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id, model.purged);
    assert_eq!(state.last_log_id, model.last());
    assert_eq!(log.read_vote().await.unwrap(), model.vote);
    assert_eq!(log.read_committed().await.unwrap(), model.committed);
    let entries = log.try_get_log_entries(..).await.unwrap();
    assert_eq!(entries.len(), model.entries.len());
    for (found, expected) in entries.iter().zip(&model.entries) {
        assert!(same(found, expected), "{found} instead of {expected}");
    }
    if let [_, middle @ .., _] = &model.entries[..]
        && let (Some(first), Some(last)) = (middle.first(), middle.last())
    {
        let range = first.log_id.index..=last.log_id.index;
        let found = log.try_get_log_entries(range).await.unwrap();
        assert_eq!(found.len(), middle.len());
    }
}

async fn run_steps(runtime: Simulated, steps: Vec<Step>) {
    let disk = runtime.disk(Path::new(FOLDER)).unwrap();
    let settings = settings(4096);
    let open = || Log::open(runtime.clone(), &disk, settings.clone()).unwrap();
    let mut log = open();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append {
                count,
                bytes,
                term_up,
            } => {
                let term = model.term() + u64::from(term_up);
                let from = model.next();
                let entries: Vec<_> = (from..from + count)
                    .map(|i| entry(term, i, bytes))
                    .collect();
                model.entries.extend(entries.iter().cloned());
                log.blocking_append(entries).await.unwrap();
            }
            Step::Truncate { back } => {
                let keep = (model.entries.len() as u64).saturating_sub(back) as usize;
                let after = match keep {
                    0 => model.purged,
                    _ => Some(model.entries[keep - 1].log_id),
                };
                model.entries.truncate(keep);
                log.truncate_after(after).await.unwrap();
            }
            Step::Purge { keep, beyond } => {
                let upto = if beyond {
                    Some(log_id(model.term(), model.next() + 3))
                } else {
                    let count = (model.entries.len() as u64).saturating_sub(keep) as usize;
                    count.checked_sub(1).map(|last| model.entries[last].log_id)
                };
                if let Some(upto) = upto {
                    model.entries.retain(|e| e.log_id.index > upto.index);
                    model.purged = Some(upto);
                    log.purge(upto).await.unwrap();
                }
            }
            Step::Vote { term } => {
                let vote = Vote::new(term, 1);
                model.vote = Some(vote);
                log.save_vote(&vote).await.unwrap();
            }
            Step::Committed { back } => {
                let at = (model.entries.len() as u64).saturating_sub(back + 1) as usize;
                if let Some(entry) = model.entries.get(at) {
                    model.committed = Some(entry.log_id);
                    log.save_committed(Some(entry.log_id)).await.unwrap();
                }
            }
            Step::Applied { back } => {
                // What is applied may leave memory; it is read from the disk then.
                let at = (model.entries.len() as u64).saturating_sub(back + 1) as usize;
                if let Some(entry) = model.entries.get(at) {
                    log.applied(entry.log_id.index);
                }
            }
            Step::Reopen => {
                log.close().await;
                log = open();
            }
        }
        check(&mut log, &model).await;
    }
    // And after a loss of power, once everything was synced by a vote.
    let vote = Vote::new(99, 1);
    model.vote = Some(vote);
    log.save_vote(&vote).await.unwrap();
    let disk = disk.reopen();
    let mut log = Log::open(runtime.clone(), &disk, settings.clone()).unwrap();
    check(&mut log, &model).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_does_what_the_model_does(
        seed: u64,
        steps in prop::collection::vec(step(), 1..40),
    ) {
        Sim::run(seed, |runtime| run_steps(runtime, steps));
    }
}

/// Three batches in one segment; returns its bytes, and after how many bytes each batch ends.
fn three_batches(runtime: &Simulated) -> impl Future<Output = (Vec<u8>, [usize; 3])> {
    let runtime = runtime.clone();
    async move {
        let disk = runtime.disk(Path::new(FOLDER)).unwrap();
        let settings = settings(8192);
        let mut log = Log::open(runtime.clone(), &disk, settings.clone()).unwrap();
        let mut ends = [0; 3];
        for (batch, end) in ends.iter_mut().enumerate() {
            let from = batch as u64 * 3;
            let entries: Vec<_> = (from..from + 3).map(|i| entry(1, i, 20)).collect();
            log.blocking_append(entries).await.unwrap();
            *end = log.status().bytes as usize;
        }
        let bytes = disk.read_whole(SEGMENT).unwrap();
        (bytes, ends)
    }
}

const SEGMENT: &str = "log/00000000000000000001.wal";

/// A disk with a log whose only segment has these bytes.
fn disk_of(seed: u64, bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_folder("log").unwrap();
    let file = disk.open(SEGMENT, Open::CreateNew).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync().unwrap();
    disk.sync_folder("log").unwrap();
    disk.sync_folder("").unwrap();
    disk
}

/// Opens a log whose only segment has these bytes.
async fn open_bytes(runtime: &Simulated, bytes: &[u8]) -> Result<Vec<Entry>, LogError> {
    let disk = disk_of(1, bytes);
    let settings = settings(8192);
    let mut log = Log::open(runtime.clone(), &disk, settings.clone())?;
    let entries = log.try_get_log_entries(..).await.unwrap();

    // It goes on, and what was cut off does not come back.
    let next = entries.len() as u64;
    log.blocking_append([entry(2, next, 5)]).await.unwrap();
    log.close().await;
    let mut log = Log::open(runtime.clone(), &disk, settings).unwrap();
    let again = log.try_get_log_entries(..).await.unwrap();
    assert_eq!(again.len() as u64, next + 1);
    assert_eq!(again[next as usize].log_id, log_id(2, next));
    Ok(entries)
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_at_the_last_whole_batch() {
    Sim::run(1, |runtime| async move {
        let (bytes, ends) = three_batches(&runtime).await;
        for cut in ends[1]..=ends[2] {
            // The rest never reached the disk: it is missing, or reads as zeros.
            let missing = bytes[..cut].to_vec();
            let mut zeros = missing.clone();
            zeros.resize(bytes.len(), 0);
            // Or its first half was lost and its second half was not.
            let mut holed = bytes.clone();
            holed[ends[1]..cut].fill(0);
            for torn in [&missing, &zeros] {
                let entries = open_bytes(&runtime, torn).await.unwrap();
                let whole = if torn.starts_with(&bytes[..ends[2]]) {
                    9
                } else {
                    6
                };
                assert_eq!(entries.len(), whole, "cut at {cut}");
            }
            let entries = open_bytes(&runtime, &holed).await.unwrap();
            let whole = if holed == bytes { 9 } else { 6 };
            assert_eq!(entries.len(), whole, "hole up to {cut}");
        }
        // The file's header alone, or less.
        for cut in [0, 1, 31, 32, 40] {
            let entries = open_bytes(&runtime, &bytes[..cut]).await.unwrap();
            assert_eq!(entries.len(), 0);
        }
    });
}

/// A tail is cut off for good, so a bit that flips in one read must not make it look torn.
#[test]
fn a_bit_that_flips_in_one_read_cuts_nothing_off() {
    Sim::run(1, |runtime| async move {
        let (bytes, ends) = three_batches(&runtime).await;
        let (mut opened, mut refused) = (0, 0);
        for seed in 0..400 {
            let batches = 1 + seed as usize % 3;
            let disk = disk_of(seed, &bytes[..ends[batches - 1]]);
            disk.flip_bits_on_read(Some(1 + seed % 3));
            let settings = settings(8192);
            match Log::open(runtime.clone(), &disk, settings.clone()) {
                Ok(_) => opened += 1,
                Err(error) => {
                    let sentence = error.to_string();
                    assert!(sentence.contains("segment log/"), "{sentence}");
                    refused += 1;
                }
            }
            disk.heal();
            let mut log = Log::open(runtime.clone(), &disk.reopen(), settings).unwrap();
            let entries = log.try_get_log_entries(..).await.unwrap();
            assert_eq!(entries.len(), 3 * batches, "seed {seed}");
        }
        assert!(opened > 50 && refused > 50, "{opened} {refused}");
    });
}

#[test]
fn a_changed_byte_before_the_tail_is_damage_and_not_a_torn_tail() {
    Sim::run(1, |runtime| async move {
        let (bytes, ends) = three_batches(&runtime).await;
        let whole = open_bytes(&runtime, &bytes).await.unwrap();
        let mut refused = 0;
        for at in 0..ends[1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            match open_bytes(&runtime, &damaged).await {
                Err(LogError::Corrupt { offset, .. }) => {
                    assert!(offset as usize <= at, "{offset} {at}");
                    refused += 1;
                }
                Err(LogError::Version { .. }) => panic!("the header's checksum covers the version"),
                Err(other) => panic!("byte {at}: {other}"),
                // Only padding may change without harm.
                Ok(entries) => {
                    assert_eq!(entries.len(), whole.len(), "byte {at}");
                    assert!(entries.iter().zip(&whole).all(|(a, b)| same(a, b)));
                }
            }
        }
        assert!(refused * 10 > ends[1] * 9, "{refused} of {}", ends[1]);
    });
}

/// An entry whose record has a body of `body` bytes.
fn entry_of(index: u64, body: usize) -> Entry {
    // Index 2 is that of a command.
    let bytes = |data| match entry(1, 2, data).payload {
        EntryPayload::Normal(proposal) => 18 + proposal.encoded().len(),
        _ => unreachable!("it is a command"),
    };
    let data = (0..body).rev().find(|data| bytes(*data) <= body).unwrap();
    assert_eq!(bytes(data), body);
    Entry {
        log_id: log_id(1, index),
        ..entry(1, 2, data)
    }
}

#[test]
fn a_record_beyond_its_bound_stops_the_log_and_leaves_it_readable() {
    Sim::run(1, |runtime| async move {
        let disk = runtime.disk(Path::new(FOLDER)).unwrap();
        let settings = Arc::new(Settings {
            record_bytes_max: 1000,
            ..(*settings(8192)).clone()
        });
        let mut log = Log::open(runtime.clone(), &disk, settings.clone()).unwrap();
        log.blocking_append([entry_of(0, 999), entry_of(1, 1000)])
            .await
            .unwrap();
        // One too long, behind one that would be written with it and one that waits for its sync.
        let (waits, told) = TypeConfig::<Simulated>::oneshot();
        let callback = IOFlushed::signal(waits);
        log.append([entry_of(2, 100)], callback).await.unwrap();
        let error = log
            .blocking_append([entry_of(3, 100), entry_of(4, 1001)])
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("it has 1001 bytes, and 1000 is the most"),
            "{error}"
        );
        let told = told.await.unwrap().unwrap_err().to_string();
        assert!(told.contains("1001 bytes"), "{told}");
        // Nothing is taken any more.
        let vote = Vote::new(9, 1);
        let again = log.save_vote(&vote).await.unwrap_err().to_string();
        assert!(again.contains("1001 bytes"), "{again}");
        log.close().await;
        drop(log);

        // What was acknowledged is there, and nothing of what was not.
        let mut log = Log::open(runtime.clone(), &disk, settings).unwrap();
        let entries = log.try_get_log_entries(..).await.unwrap();
        let indexes: Vec<_> = entries.iter().map(|entry| entry.log_id.index).collect();
        assert_eq!(indexes, [0, 1]);
        assert_eq!(log.read_vote().await.unwrap(), None);
        log.blocking_append([entry_of(2, 1000)]).await.unwrap();
    });
}

#[test]
fn a_missing_segment_is_a_hole() {
    Sim::run(1, |runtime| async move {
        let disk = runtime.disk(Path::new(FOLDER)).unwrap();
        let settings = settings(4096);
        let mut log = Log::open(runtime.clone(), &disk, settings.clone()).unwrap();
        for index in 0..60 {
            log.blocking_append([entry(1, index, 300)]).await.unwrap();
        }
        log.close().await;
        let files = disk.list("log").unwrap();
        assert!(files.len() > 3, "{files:?}");
        disk.remove(&format!("log/{}", files[1])).unwrap();
        let error = Log::open(runtime.clone(), &disk, settings).unwrap_err();
        assert!(matches!(error, LogError::Hole { .. }), "{error}");
    });
}

#[test]
fn a_newer_format_is_named() {
    Sim::run(1, |runtime| async move {
        let (mut bytes, _) = three_batches(&runtime).await;
        bytes[8] = 2;
        let mut covered = bytes[..12].to_vec();
        covered.extend_from_slice(&bytes[16..32]);
        let crc = crc32c::crc32c(&covered);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        let error = open_bytes(&runtime, &bytes).await.unwrap_err();
        assert!(
            matches!(error, LogError::Version { found: 2, .. }),
            "{error}"
        );
    });
}

#[test]
fn segments_go_by_age_and_by_size_and_only_below_a_checkpoint() {
    Sim::run(1, |runtime| async move {
        let disk = runtime.disk(Path::new(FOLDER)).unwrap();
        let settings = Arc::new(Settings {
            segment_bytes: 4096,
            retention_age: std::time::Duration::from_secs(60),
            retention_bytes: 8000,
            ..Settings::default()
        });
        let mut log = Log::open(runtime.clone(), &disk, settings).unwrap();
        for index in 0..60 {
            log.blocking_append([entry(1, index, 300)]).await.unwrap();
        }
        let total = log.status().bytes;
        assert!(total > 15_000 && total < 40_000, "{total}");
        // By size: only what lies more than 8,000 bytes back.
        let by_size = log.purge_point(1000).unwrap();
        assert!(by_size > 5 && by_size < 40, "{by_size}");
        assert!(log.purge_point(3).is_none(), "nothing above the checkpoint");
        // By age: every sealed segment.
        runtime.sleep(std::time::Duration::from_secs(61)).await;
        let by_age = log.purge_point(1000).unwrap();
        assert!(by_age > by_size && by_age < 60, "{by_age}");
        log.purge(log_id(1, by_size)).await.unwrap();
        log.save_vote(&Vote::new(1, 1)).await.unwrap();
        let first = &disk.list("log").unwrap()[0];
        assert_ne!(first, "00000000000000000001.wal");
        assert_eq!(log.status().first_index, Some(by_size + 1));
    });
}
