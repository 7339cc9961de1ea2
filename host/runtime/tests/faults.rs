//! Each fault of a simulated disk: what it does, and that it ends.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use innkeeper_runtime::sim::{CutAt, Died, FileFaults, SimFile, SyncTime, Unsynced};
use innkeeper_runtime::{Disk, File, Listener, Open, Runtime, SimDisk, ThreadRole, World};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use tokio::io::AsyncReadExt;

/// A file whose name is durable.
fn file(disk: &SimDisk, path: &str) -> SimFile {
    let file = disk.open(path, Open::Create).expect("a file");
    disk.sync_folder("").expect("a durable name");
    file
}

fn is_io_error<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| {
        error
            .to_string()
            .ends_with("Input/output error (os error 5)")
    })
}

/// How many of 400 calls fail.
fn failures(call: impl Fn() -> io::Result<()>) -> usize {
    (0..400).filter(|_| is_io_error(call())).count()
}

#[test]
fn reads_writes_and_syncs_fail_for_a_prefix_until_they_are_healed() {
    let disk = SimDisk::new(1);
    let (log, state) = (file(&disk, "log"), file(&disk, "state"));
    for file in [&log, &state] {
        file.write_at(b"before", 0).expect("no fault");
    }
    let read = |file: &SimFile| file.read_exact_at(&mut [0; 6], 0);
    let write = |file: &SimFile| file.write_at(b"after!", 0);
    let call = |file: &SimFile| {
        [
            failures(|| read(file)),
            failures(|| write(file)),
            failures(|| file.sync()),
        ]
    };

    disk.set_faults(
        "log",
        FileFaults {
            read_errors_one_in: Some(2),
            write_errors_one_in: Some(4),
            sync_errors_one_in: Some(8),
            ..FileFaults::default()
        },
    );
    let [reads, writes, syncs] = call(&log);
    assert!((150..250).contains(&reads), "{reads}");
    assert!((60..140).contains(&writes), "{writes}");
    assert!((25..80).contains(&syncs), "{syncs}");
    assert_eq!(call(&state), [0; 3], "another file is well");

    disk.set_faults("log", FileFaults::default());
    assert_eq!(call(&log), [0; 3]);
}

#[test]
fn a_failed_write_changes_nothing() {
    let disk = SimDisk::new(1);
    let log = file(&disk, "log");
    log.write_at(b"kept", 0).expect("no fault");
    let broken = FileFaults {
        write_errors_one_in: Some(1),
        ..FileFaults::default()
    };
    disk.set_faults("", broken);
    let failed = [
        log.write_at(b"gone", 0),
        log.set_len(1),
        log.preallocate(0, 100),
        disk.rename("log", "moved"),
        disk.remove("log"),
        disk.create_folder("folder"),
        disk.open("fresh", Open::Create).map(drop),
    ];
    assert!(failed.into_iter().all(is_io_error));
    assert_eq!(disk.list("").expect("it reads"), ["log"]);
    assert_eq!(disk.read_whole("log").expect("it reads"), b"kept");
    disk.heal();
    disk.rename("log", "moved").expect("it is well again");
    assert_eq!(disk.read_whole("moved").expect("it reads"), b"kept");
}

#[test]
fn some_files_are_full_while_others_have_room() {
    let disk = SimDisk::new(1);
    let (first, second, state) = (
        file(&disk, "log1"),
        file(&disk, "log2"),
        file(&disk, "state"),
    );
    disk.set_faults(
        "log",
        FileFaults {
            capacity_bytes: Some(1_000),
            ..FileFaults::default()
        },
    );
    first.set_len(600).expect("there is room");
    let full = second.set_len(500).expect_err("the two share it");
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    state.set_len(5_000).expect("another file has room");
    second.set_len(400).expect("so much fits");
    first.write_at(&[1; 600], 0).expect("nothing grows");
    disk.remove("log1").expect("it is there");
    second.set_len(1_000).expect("there is room again");
    disk.set_faults("log", FileFaults::default());
    second.set_len(50_000).expect("nothing is full");
}

#[test]
fn reads_of_some_files_flip_bits() {
    let disk = SimDisk::new(1);
    for name in ["log", "state"] {
        file(&disk, name).write_at(&[0; 100], 0).expect("no fault");
    }
    let flipped = |name: &str| -> u32 {
        let reads = (0..50).map(|_| disk.read_whole(name).expect("it reads"));
        reads.flatten().map(u8::count_ones).sum()
    };
    let flips = FileFaults {
        flipped_reads_one_in: Some(1),
        ..FileFaults::default()
    };
    disk.set_faults("log", flips);
    assert_eq!((flipped("log"), flipped("state")), (50, 0));
    disk.set_faults("log", FileFaults::default());
    assert_eq!(flipped("log"), 0, "the bits on the disk were right");
}

#[test]
fn planned_faults_count_the_syncs_of_their_prefix() {
    let disk = SimDisk::new(1);
    let (log, state) = (file(&disk, "log"), file(&disk, "state"));
    disk.fail_sync_of("state", 2);
    for _ in 0..5 {
        log.sync().expect("another file");
    }
    state.sync().expect("the first one");
    assert!(is_io_error(state.sync()));
    state.sync().expect("it is spent");

    // A planned one can be taken back; another prefix's stays.
    disk.fail_sync_of("state", 1);
    disk.fail_sync_of("log", 1);
    disk.fail_sync_of("state", 0);
    state.sync().expect("taken back");
    assert!(is_io_error(log.sync()));

    disk.cut_at_sync_of("state", 1, CutAt::Before);
    log.sync().expect("another file");
    assert!(state.sync().is_err());
    assert!(!disk.is_powered());
    let disk = disk.reopen();
    disk.sync_folder("").expect("it is spent");
}

#[test]
fn rot_is_one_bit_that_stays_until_it_is_written_over() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        assert_eq!(disk.rot("log"), None, "nothing is written");
        let (log, state) = (file(&disk, "log"), file(&disk, "state"));
        log.preallocate(0, 1 << 30).expect("there is room");
        log.write_at(&[0; 300], 5_000).expect("no fault");
        state.write_at(&[0; 300], 0).expect("no fault");
        log.sync().expect("no fault");
        state.sync().expect("no fault");

        let rot = disk.rot("log").expect("a page is written");
        assert_eq!(rot.path, "log");
        assert!((4096..8192).contains(&rot.offset), "{rot:?}");
        assert_eq!(rot.mask.count_ones(), 1);
        let disk = disk.reopen();
        let log = disk.open("log", Open::Write).expect("it is there");
        let mut byte = [0];
        log.read_exact_at(&mut byte, rot.offset).expect("it reads");
        assert_eq!(byte, [rot.mask]);
        assert_eq!(disk.read_whole("state").expect("it reads"), [0; 300]);

        log.write_at(&[0], rot.offset).expect("no fault");
        log.read_exact_at(&mut byte, rot.offset).expect("it reads");
        assert_eq!(byte, [0]);
    }
}

/// A disk that is full, slow or failing is so after a restart of its machine, too; `heal` ends it.
#[test]
fn faults_of_the_hardware_survive_a_restart_and_end_when_healed() {
    World::run(1, async |world| {
        let host = world.host("a");
        let rt = host.boot();
        let disk = rt.disk("/data".as_ref()).expect("a disk");
        file(&disk, "f").set_len(100).expect("there is room");
        disk.open("f", Open::Write)
            .expect("a file")
            .sync()
            .expect("it syncs");
        let took = async |disk: &SimDisk| {
            let begun = world.now();
            disk.sync_folder("").expect("it syncs");
            disk.settled().await.expect("it is over");
            world.now() - begun
        };
        let is_full = |disk: &SimDisk| {
            let file = disk.open("f", Open::Write).expect("it is there");
            let grown = file.set_len(file.len().expect("it has one") + 1);
            grown.is_err_and(|error| error.kind() == io::ErrorKind::StorageFull)
        };
        let slow = SyncTime {
            least: Duration::from_millis(10),
            ..SyncTime::default()
        };
        disk.set_sync_time(slow.clone());
        disk.set_capacity(Some(100));
        disk.fail_sync(6);
        for ends in 0..2 {
            match ends {
                0 => host.kill(),
                _ => host.cut_power(),
            };
            let disk = host.boot().disk("/data".as_ref()).expect("a disk");
            assert!(is_full(&disk));
            assert_eq!(took(&disk).await, slow.least);
            assert_eq!(took(&disk).await, slow.least);
        }
        host.kill();
        let disk = host.boot().disk("/data".as_ref()).expect("a disk");
        assert_eq!(took(&disk).await, slow.least);
        assert!(is_io_error(disk.sync_folder("")), "the planned one comes");

        disk.fail_sync(1);
        disk.cut_at_sync(2, CutAt::Before);
        let broken = FileFaults {
            read_errors_one_in: Some(1),
            ..FileFaults::default()
        };
        disk.set_faults("f", broken);
        // Any handle will do.
        rt.disk("/data".as_ref()).expect_err("its life is over");
        disk.clone().heal();
        assert!(!is_full(&disk));
        assert_eq!(took(&disk).await, Duration::ZERO);
        for _ in 0..10 {
            disk.sync_folder("").expect("nothing is planned");
        }
        disk.read_whole("f").expect("it reads");
    });
}

/// A disk that cuts its power in the middle of a sync takes its whole machine with it.
#[test]
fn a_disk_that_cuts_its_power_ends_its_host_within_the_sync() {
    for seed in 0..20 {
        World::run(seed, async |world| {
            let (host, peer) = (world.host("host"), world.host("peer"));
            let peer_rt = peer.boot();
            let everywhere = ([0, 0, 0, 0], 7).into();
            let listener = peer_rt.listen_tcp(everywhere).await.expect("a free port");
            let other = host.disk("/other");
            other.set_unsynced(Unsynced::Lost);
            let ticks = Arc::new(AtomicU64::new(0));
            let at = match seed % 2 {
                0 => CutAt::Before,
                _ => CutAt::After,
            };

            let (peer_addr, counted) = ((peer.address(), 7).into(), ticks.clone());
            let process = host.start(move |rt| async move {
                let _stream = rt.connect_tcp(peer_addr).await.expect("it listens");
                let clock = rt.clone();
                rt.spawn(ThreadRole::Client, async move {
                    loop {
                        clock.sleep(Duration::from_millis(1)).await;
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                })
                .detach();
                let other = rt.disk("/other".as_ref()).expect("a disk");
                file(&other, "f")
                    .write_at(b"not synced", 0)
                    .expect("no fault");
                let disk = rt.disk("/data".as_ref()).expect("a disk");
                disk.set_unsynced(Unsynced::Lost);
                let f = file(&disk, "f");
                f.write_at(b"old", 0).expect("no fault");
                f.sync().expect("no fault");
                rt.sleep(Duration::from_millis(10)).await;
                disk.cut_at_sync(1, at);
                f.write_at(b"new", 0).expect("no fault");
                let synced = f.sync();
                // Whatever it does now, no other machine hears of it.
                if seed % 4 < 2 {
                    synced.expect("it panics if the sync fails");
                }
            });
            let mut stream = listener.accept().await.expect("it connects");
            assert_eq!(process.await, Err(Died));
            assert!(!host.is_running());
            let counted = ticks.load(Ordering::Relaxed);
            assert!(counted > 0);

            // The peer sees nothing, and none of its tasks runs.
            let silence = peer_rt
                .timeout(Duration::from_secs(60), stream.read_u8())
                .await;
            assert!(silence.is_err(), "the peer heard of it: {silence:?}");
            assert_eq!(ticks.load(Ordering::Relaxed), counted);

            // All of its disks had lost power, and start again with it.
            assert!(!other.is_powered() && !host.disk("/data").is_powered());
            let rt = host.boot();
            let other = rt.disk("/other".as_ref()).expect("a disk");
            assert_eq!(other.read_whole("f").expect("its name was synced"), b"");
            let disk = rt.disk("/data".as_ref()).expect("a disk");
            let survived: &[u8] = match at {
                CutAt::Before => b"old",
                CutAt::After => b"new",
            };
            assert_eq!(disk.read_whole("f").expect("it was synced"), survived);
            disk.replace("f", b"new").expect("the cut is spent");
        });
    }
}

/// What a task that had no output any more would have returned is not seen by another machine.
#[test]
fn a_task_that_loses_power_has_no_output() {
    World::run(1, async |world| {
        let host = world.host("a");
        let rt = host.boot();
        let disk = rt.disk("/data".as_ref()).expect("a disk");
        let task = rt.spawn(ThreadRole::Fsync, async move {
            disk.power_cut();
            "the last word"
        });
        assert!(task.await.is_err());
        assert!(!host.is_running());
    });
}

/// What a model knows of one file.
#[derive(Default)]
struct Model {
    /// What a power cut must leave in each slot, if nothing is unsynced there.
    synced: BTreeMap<u64, u8>,
    /// What else it may leave there.
    unsynced: BTreeMap<u64, Vec<u8>>,
    is_name_durable: bool,
}

const SLOT: usize = 700;
const FILES: u64 = 3;

/// One call, drawn from a seed, with the model beside it.
fn step(disk: &SimDisk, models: &mut [Model], random: &mut ChaCha8Rng) {
    let number = random.next_u64() % FILES;
    let (name, model) = (format!("f{number}"), &mut models[number as usize]);
    let slot = random.next_u64() % 4;
    match random.next_u64() % 10 {
        0..5 => {
            let value = random.next_u64() as u8 | 1;
            let written = disk
                .open(&name, Open::Create)
                .and_then(|file| file.write_at(&[value; SLOT], slot * SLOT as u64));
            if written.is_ok() {
                model.unsynced.entry(slot).or_default().push(value);
            }
        }
        5..8 => {
            let Ok(file) = disk.open(&name, Open::Write) else {
                return;
            };
            let synced = file.sync();
            for (slot, values) in std::mem::take(&mut model.unsynced) {
                // What a failed sync covered never becomes durable.
                if synced.is_ok() {
                    model.synced.extend(values.last().map(|last| (slot, *last)));
                }
            }
        }
        _ => {
            if disk.sync_folder("").is_ok() {
                let names = disk.list("").expect("it reads");
                for (number, model) in models.iter_mut().enumerate() {
                    model.is_name_durable |= names.contains(&format!("f{number}"));
                }
            }
        }
    }
}

/// Whatever fails and whenever the power goes: what was synced is there, and nothing else appears.
#[test]
fn what_was_synced_is_there_after_any_faults() {
    let mut torn = 0;
    for seed in 0..300 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut disk = SimDisk::new(seed);
        let mut models: Vec<Model> = (0..FILES).map(|_| Model::default()).collect();
        for _ in 0..4 {
            let mut one_in = || Some(2 + random.next_u64() % 20);
            disk.set_faults(
                "",
                FileFaults {
                    capacity_bytes: Some(5 * SLOT as u64),
                    write_errors_one_in: one_in(),
                    sync_errors_one_in: one_in(),
                    ..FileFaults::default()
                },
            );
            for _ in 0..40 {
                step(&disk, &mut models, &mut random);
            }
            disk = disk.reopen();
            disk.heal();
            for (number, model) in models.iter_mut().enumerate() {
                let name = format!("f{number}");
                let Ok(content) = disk.read_whole(&name) else {
                    assert!(!model.is_name_durable, "seed {seed}: {name} is gone");
                    *model = Model::default();
                    continue;
                };
                for slot in 0..4 {
                    let begin = slot as usize * SLOT;
                    let end = (begin + SLOT).min(content.len());
                    let found = content.get(begin..end).unwrap_or_default();
                    let synced = model.synced.get(&slot).copied();
                    let unsynced = model.unsynced.remove(&slot).unwrap_or_default();
                    let may = |byte: &u8| *byte == synced.unwrap_or(0) || unsynced.contains(byte);
                    assert!(found.iter().all(may), "seed {seed}: slot {slot} of {name}");
                    assert!(
                        synced.is_none() || found.len() == SLOT,
                        "seed {seed}: {name} is short"
                    );
                    torn += usize::from(found.first() != found.last());
                }
                model.is_name_durable = true;
            }
            for (number, model) in models.iter_mut().enumerate() {
                // Torn slots are written over, so that the model knows them again.
                if let Ok(file) = disk.open(&format!("f{number}"), Open::Write) {
                    for slot in 0..4 {
                        let value = model.synced.get(&slot).copied().unwrap_or(0);
                        file.write_at(&[value; SLOT], slot * SLOT as u64)
                            .expect("healed");
                        model.synced.insert(slot, value);
                    }
                    file.sync().expect("healed");
                }
            }
        }
    }
    assert!(torn > 50, "{torn}");
}
