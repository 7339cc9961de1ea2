//! What the simulated disk forgets, keeps and breaks.

use std::io;
use std::time::Duration;

use innkeeper_runtime::sim::{CutAt, SyncTime, Tail, Unsynced};
use innkeeper_runtime::{Disk, File, Open, Runtime, Sim, SimDisk, ThreadRole, World};

/// A file whose name is durable.
fn file(disk: &SimDisk, path: &str) -> <SimDisk as Disk>::File {
    let file = disk.open(path, Open::Create).unwrap();
    disk.sync_folder("").unwrap();
    file
}

#[test]
fn unsynced_writes_are_forgotten_and_synced_ones_kept() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        disk.set_unsynced(Unsynced::Lost);
        let file = file(&disk, "log");
        file.write_at(b"durable", 0).unwrap();
        file.sync().unwrap();
        file.write_at(b"DURABLE, and more", 0).unwrap();
        file.set_len(4).unwrap();
        disk.power_cut();
        assert_eq!(disk.reopen().read_whole("log").unwrap(), b"durable");
    }
}

#[test]
fn a_file_without_a_synced_folder_vanishes() {
    let disk = SimDisk::new(1);
    disk.set_unsynced(Unsynced::Lost);
    let file = disk.open("log", Open::Create).unwrap();
    file.write_at(b"synced, but nameless", 0).unwrap();
    file.sync().unwrap();
    let disk = disk.reopen();
    assert_eq!(disk.list("").unwrap(), Vec::<String>::new());
}

#[test]
fn a_synced_file_in_an_unsynced_folder_vanishes_with_it() {
    let disk = SimDisk::new(1);
    disk.set_unsynced(Unsynced::Lost);
    disk.create_folder("wal").unwrap();
    let file = disk.open("wal/1", Open::Create).unwrap();
    file.sync().unwrap();
    disk.sync_folder("wal").unwrap();
    let fresh = disk.reopen();
    assert_eq!(fresh.list("").unwrap(), Vec::<String>::new());

    fresh.create_folder("wal").unwrap();
    fresh.open("wal/1", Open::Create).unwrap();
    fresh.sync_folder("wal").unwrap();
    fresh.sync_folder("").unwrap();
    let fresh = fresh.reopen();
    assert_eq!(fresh.list("wal").unwrap(), ["1"]);
}

#[test]
fn an_unsynced_rename_and_remove_revert() {
    let disk = SimDisk::new(1);
    disk.set_unsynced(Unsynced::Lost);
    for name in ["a", "b", "c"] {
        let file = file(&disk, name);
        file.write_at(name.as_bytes(), 0).unwrap();
        file.sync().unwrap();
    }
    disk.rename("a", "b").unwrap();
    disk.remove("c").unwrap();
    assert_eq!(disk.list("").unwrap(), ["b"]);
    let disk = disk.reopen();
    assert_eq!(disk.list("").unwrap(), ["a", "b", "c"]);
    assert_eq!(disk.read_whole("b").unwrap(), b"b");
    disk.rename("a", "b").unwrap();
    disk.sync_folder("").unwrap();
    let disk = disk.reopen();
    assert_eq!(disk.list("").unwrap(), ["b", "c"]);
    assert_eq!(disk.read_whole("b").unwrap(), b"a");
}

/// A rename either happened or not; no seed loses the file or doubles it.
#[test]
fn a_rename_is_never_half() {
    let (mut before, mut after) = (0, 0);
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        disk.create_folder("x").unwrap();
        disk.create_folder("y").unwrap();
        disk.sync_folder("").unwrap();
        disk.open("x/f", Open::Create).unwrap();
        disk.sync_folder("x").unwrap();
        disk.rename("x/f", "y/f").unwrap();
        let disk = disk.reopen();
        let (x, y) = (disk.list("x").unwrap(), disk.list("y").unwrap());
        match (x.len(), y.len()) {
            (1, 0) => before += 1,
            (0, 1) => after += 1,
            halves => panic!("seed {seed} left {halves:?}"),
        }
    }
    assert!(before > 20 && after > 20, "the seed decides");
}

#[test]
fn seeds_lose_keep_and_tear_unsynced_writes() {
    let (mut lost, mut kept, mut torn) = (0, 0, 0);
    for seed in 0..300 {
        let disk = SimDisk::new(seed);
        let file = file(&disk, "log");
        file.write_at(&[1; 8192], 0).unwrap();
        file.sync().unwrap();
        file.write_at(&[2; 4000], 100).unwrap();
        let content = disk.reopen().read_whole("log").unwrap();
        assert_eq!(content[..100], [1; 100]);
        assert_eq!(content[4100..], [1; 8192 - 4100]);
        let written = content.iter().filter(|byte| **byte == 2).count();
        match written {
            0 => lost += 1,
            4000 => kept += 1,
            _ => {
                torn += 1;
                // A tear runs along sectors: inside one, all is old or all is new.
                for sector in content[512..4096].chunks(512) {
                    assert!(sector.iter().all(|byte| *byte == sector[0]));
                }
            }
        }
    }
    assert!(lost > 50 && kept > 50 && torn > 50, "{lost} {kept} {torn}");
}

#[test]
fn one_seed_is_one_fate() {
    let fate = |seed| {
        let disk = SimDisk::new(seed);
        let log = file(&disk, "log");
        for at in 0..40 {
            log.write_at(&[at as u8 + 1; 700], at * 700).unwrap();
        }
        for name in ["a", "b", "c", "d", "e"] {
            disk.open(name, Open::Create).unwrap();
        }
        let disk = disk.reopen();
        (disk.read_whole("log").unwrap(), disk.list("").unwrap())
    };
    assert_eq!(fate(9), fate(9));
    assert_ne!(fate(9), fate(10));
}

/// The power fails at every sync of a workload in turn, on both sides of it: what was
/// acknowledged is there, and of the rest there is a prefix or less.
#[test]
fn the_power_fails_at_every_sync() {
    const RECORDS: u64 = 20;
    for at in [CutAt::Before, CutAt::After] {
        for nth in 1..=RECORDS + 1 {
            for seed in 0..10 {
                let disk = SimDisk::new(seed);
                disk.cut_at_sync(nth, at);
                let mut acknowledged = 0;
                let work = |acknowledged: &mut u64| -> io::Result<()> {
                    let log = disk.open("log", Open::Create)?;
                    disk.sync_folder("")?;
                    for record in 0..RECORDS {
                        log.write_at(&[record as u8 + 1; 8], record * 8)?;
                        log.sync()?;
                        *acknowledged = record + 1;
                    }
                    Ok(())
                };
                let error = work(&mut acknowledged).expect_err("the power fails");
                assert!(error.to_string().ends_with("the simulated power is off"));
                assert!(!disk.is_powered());
                assert_eq!(acknowledged, nth.saturating_sub(2));
                assert!(disk.list("").is_err(), "a dead disk does nothing");

                let survived = disk.reopen();
                assert!(disk.list("").is_err(), "the old handle stays dead");
                let content = match survived.read_whole("log") {
                    Ok(content) => content,
                    Err(error) => {
                        assert_eq!((nth, at), (1, CutAt::Before), "{error}");
                        continue;
                    }
                };
                let records = content.len() as u64 / 8;
                assert!(records >= acknowledged, "an acknowledged record is gone");
                if at == CutAt::After {
                    assert_eq!(records, nth - 1, "a sync that took effect was undone");
                }
                for (record, bytes) in content.chunks(8).enumerate() {
                    assert_eq!(bytes, [record as u8 + 1; 8]);
                }
            }
        }
    }
}

#[test]
fn files_opened_before_a_cut_stay_dead() {
    let disk = SimDisk::new(1);
    let log = file(&disk, "log");
    log.sync().unwrap();
    let lock = disk.lock().unwrap();
    let survived = disk.reopen();
    assert!(log.write_at(b"ghost", 0).is_err());
    assert!(log.sync().is_err());
    // The power took the lock of the process that died; its guard frees nobody else's.
    let second = survived.lock().unwrap();
    drop(lock);
    assert!(survived.lock().is_err());
    drop(second);
    assert_eq!(survived.read_whole("log").unwrap(), b"");
}

#[test]
fn a_failed_sync_loses_what_it_covered_for_good() {
    let disk = SimDisk::new(1);
    disk.set_unsynced(Unsynced::Kept);
    let log = file(&disk, "log");
    log.write_at(b"one", 0).unwrap();
    log.sync().unwrap();
    disk.fail_sync(1);
    log.write_at(b"two", 3).unwrap();
    let error = log.sync().unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot sync log: Input/output error (os error 5)"
    );
    log.sync().unwrap();
    let mut seen = [0; 6];
    log.read_exact_at(&mut seen, 0).unwrap();
    assert_eq!(&seen, b"onetwo", "the process is none the wiser");
    assert_eq!(disk.reopen().read_whole("log").unwrap(), b"one");
}

#[test]
fn a_full_disk_says_so_and_works_again_with_room() {
    let disk = SimDisk::new(1);
    let log = file(&disk, "log");
    disk.set_capacity(Some(1_000));
    assert_eq!(disk.free_bytes().unwrap(), 1_000);
    log.preallocate(0, 900).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 100);
    let error = log.write_at(&[1; 200], 850).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(
        error.to_string(),
        "cannot write log: No space left on device (os error 28)"
    );
    assert_eq!(log.len().unwrap(), 900);
    log.write_at(&[1; 900], 0).unwrap();
    let second = file(&disk, "second");
    let error = second.preallocate(0, 200).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    disk.remove("log").unwrap();
    second.preallocate(0, 200).unwrap();
    assert_eq!(disk.used(), 200);
    disk.set_capacity(None);
    second.set_len(1 << 40).unwrap();
}

#[test]
fn reads_flip_bits_when_told_to() {
    let disk = SimDisk::new(1);
    let log = file(&disk, "log");
    log.write_at(&[0; 4096], 0).unwrap();
    disk.flip_bits_on_read(Some(4));
    let mut flipped = 0;
    for _ in 0..400 {
        let ones: u32 = disk
            .read_whole("log")
            .unwrap()
            .iter()
            .map(|byte| byte.count_ones())
            .sum();
        assert!(ones <= 1);
        flipped += ones;
    }
    assert!((50..150).contains(&flipped), "{flipped} of 400");
    disk.flip_bits_on_read(None);
    assert_eq!(disk.read_whole("log").unwrap(), [0; 4096]);
    disk.corrupt("log", 77, 0b101).unwrap();
    assert_eq!(disk.read_whole("log").unwrap()[77], 5);
}

fn slow(least_ms: u64) -> SyncTime {
    SyncTime {
        least: Duration::from_millis(least_ms),
        ..SyncTime::default()
    }
}

#[test]
fn a_sync_takes_its_time_and_then_none_again() {
    Sim::run(1, |rt| async move {
        let disk = rt.disk("/data".as_ref()).unwrap();
        let file = disk.open("f", Open::Create).unwrap();
        let took = async |syncs: u32| {
            let before = rt.now();
            for _ in 0..syncs {
                file.write_at(b"x", 0).unwrap();
                file.sync().unwrap();
            }
            disk.settled().await.unwrap();
            rt.now() - before
        };
        assert_eq!(took(3).await, Duration::ZERO);
        disk.set_sync_time(slow(10));
        assert_eq!(took(1).await, Duration::from_millis(10));
        assert_eq!(
            took(3).await,
            Duration::from_millis(30),
            "one after another"
        );
        disk.set_sync_time(SyncTime {
            stalls: Some(Tail {
                one_in: 4,
                least: Duration::from_millis(500),
                most: Duration::from_secs(4),
            }),
            ..slow(10)
        });
        let mut stalls = 0;
        for _ in 0..200 {
            let took = took(1).await;
            assert!(took >= Duration::from_millis(10) && took <= Duration::from_millis(4_010));
            stalls += usize::from(took > Duration::from_millis(500));
        }
        assert!((25..80).contains(&stalls), "{stalls}");
        disk.set_sync_time(SyncTime::default());
        assert_eq!(took(3).await, Duration::ZERO);
    });
}

/// A power cut finds a sync under way: what it was to make durable may be lost, what came after it
/// is lost, and what an earlier one has made durable is there.
#[test]
fn a_sync_under_way_is_no_sync() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..40 {
        World::run(seed, async |world| {
            let host = world.host("a");
            let rt = host.boot();
            let disk = rt.disk("/data".as_ref()).unwrap();
            disk.set_sync_time(slow(10));
            disk.replace("early", b"1").unwrap();
            disk.settled().await.unwrap();
            disk.replace("late", b"2").unwrap();
            let file = disk.open("early", Open::Write).unwrap();
            file.write_at(b"3", 0).unwrap();
            let waiting = rt.spawn(ThreadRole::Fsync, {
                let disk = disk.clone();
                async move { disk.settled().await }
            });
            // The first of the two syncs of `late` is under way.
            world.sleep(Duration::from_millis(seed % 10)).await;
            host.cut_power();
            assert!(waiting.await.is_err(), "nobody is told of it");
            let disk = host.boot().disk("/data".as_ref()).unwrap();
            assert_eq!(disk.read_whole("early").unwrap(), b"1");
            assert!(!disk.list("").unwrap().contains(&"late".to_owned()));
            // The content of the file without its last name is at the seed's mercy.
            match disk.read_whole("late.new") {
                Ok(content) if content == b"2" => kept += 1,
                _ => lost += 1,
            }
        });
    }
    assert!(kept > 3 && lost > 3, "{kept} {lost}");
}

/// After `settled` a sync is over, whatever comes then.
#[test]
fn a_settled_sync_survives() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let mut sim = Sim::new(seed);
        sim.mount("/data", disk.clone());
        sim.block_on(|rt| async move {
            let disk = rt.disk("/data".as_ref()).unwrap();
            disk.set_sync_time(slow(10));
            disk.replace("f", b"old").unwrap();
            disk.replace("f", b"new").unwrap();
            disk.settled().await.unwrap();
            let file = disk.open("f", Open::Write).unwrap();
            file.write_at(b"not", 0).unwrap();
            file.sync().unwrap();
        });
        disk.set_unsynced(Unsynced::Lost);
        assert_eq!(disk.reopen().read_whole("f").unwrap(), b"new");
    }
}
