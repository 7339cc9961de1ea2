//! Power cuts, full disks and failing syncs, on a simulated disk that forgets.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{Ack, Recorder, create, dump, path_of, set, small};
use innkeeper_raft::{Replica, Settings};
use innkeeper_runtime::sim::{CutAt, SyncTime, Tail, Unsynced, Window};
use innkeeper_runtime::{Disk, Runtime, Select2, Sim, SimDisk, Simulated, World, select2};
use innkeeper_tree::{Command, Operation, Tree, Zxid};

const FOLDER: &str = "/data";

/// The ticket's operation: every third sets what an earlier one created.
fn operation(ticket: u64) -> Operation {
    match ticket % 3 {
        0 => set(ticket, ticket - 2),
        _ => create(ticket),
    }
}

/// Opens, and writes `writes` operations from `first` on in small bursts, until all are done or
/// the node fails. Returns why it failed.
async fn load(
    runtime: &Simulated,
    recorder: &Recorder,
    first: u64,
    writes: u64,
) -> Result<(), String> {
    let disk = runtime.disk(Path::new(FOLDER)).unwrap();
    let delivery = Arc::new(recorder.clone());
    let opened = Replica::open(runtime.clone(), disk, small(), delivery).await;
    let replica = opened.map_err(|error| error.to_string())?;
    recorder.reset();
    let proposals = replica.proposals();
    let failed = replica.failed();
    let work = async {
        let mut next = first;
        while next < first + writes {
            let end = (next + 5).min(first + writes);
            proposals.submit((next..end).map(operation).collect()).await;
            recorder.wait_done(end - first).await;
            next = end;
            // Checkpoints by time come in between too.
            runtime.sleep(Duration::from_millis(30)).await;
        }
    };
    match select2(failed, work).await {
        Select2::First(sentence) => Err(sentence),
        Select2::Second(()) => {
            replica.shutdown().await;
            Ok(())
        }
    }
}

/// What a node shows after it was opened again: its znodes, its zxid, and the recomputed tree.
async fn reopened(runtime: &Simulated, acks: &BTreeMap<u64, Ack>) -> (Zxid, Recorder) {
    let disk = runtime.disk(Path::new(FOLDER)).unwrap();
    let recorder = Recorder::new();
    let delivery = Arc::new(recorder.clone());
    let replica = Replica::open(runtime.clone(), disk.clone(), small(), delivery)
        .await
        .unwrap_or_else(|error| panic!("it does not open again: {error}"));
    let zxid = replica.reader().last_zxid();
    let view = replica.reader().view();

    // Everything acknowledged is there, at the zxid that was acknowledged.
    let shown = dump(&view);
    for (ticket, ack) in acks {
        assert!(
            ack.zxid <= zxid.0,
            "the zxid went back: {ack:?}, now {zxid}"
        );
        let path = match ticket % 3 {
            0 => path_of(ticket - 2),
            _ => path_of(*ticket),
        };
        let found = shown.iter().find(|znode| znode.0 == path);
        let found = found.unwrap_or_else(|| panic!("acknowledged and lost: {ticket} {ack:?}"));
        let zxid = if ticket % 3 == 0 { found.3 } else { found.2 };
        assert_eq!(zxid, ack.zxid as i64, "ticket {ticket}");
    }

    // And it is what the operations come to, in the order of their zxids; one submitter, so
    // ticket n got zxid n. The time of those that were never acknowledged stands in their znode.
    let mut time = 0;
    let mut recomputed = Tree::new();
    for ticket in 1..=zxid.0 {
        let stamped = match acks.get(&ticket) {
            Some(ack) => ack.time_ms,
            None => recorder.acks().get(&ticket).map_or_else(
                || {
                    let created = shown.iter().find(|znode| znode.2 == ticket as i64);
                    created.map_or(time, |znode| znode.4 as u64)
                },
                |ack| ack.time_ms,
            ),
        };
        time = stamped;
        recomputed.apply(&Command {
            time_ms: stamped,
            operation: operation(ticket),
        });
    }
    recomputed.publish();
    assert_eq!(shown, dump(&recomputed.reader().view()));
    replica.shutdown().await;
    (zxid, recorder)
}

/// One run: write until the power goes at the `nth` sync, switch it on, look.
fn cut_once(seed: u64, nth: u64, at: CutAt, unsynced: Unsynced, writes: u64) -> Outcome {
    let disk = SimDisk::new(seed);
    disk.set_unsynced(unsynced);
    disk.cut_at_sync(nth, at);
    let recorder = Recorder::new();
    let sim = Sim::new(seed);
    sim.mount(FOLDER, disk.clone());
    let mut sim = sim;
    let ended = sim.block_on(|runtime| {
        let recorder = recorder.clone();
        async move { load(&runtime, &recorder, 1, writes).await }
    });
    if disk.is_powered() {
        assert_eq!(ended, Ok(()), "it failed with the power on");
        return Outcome::NoCut;
    }
    drop(sim);
    let survived = disk.reopen();
    let mut sim = Sim::new(seed + 1);
    sim.mount(FOLDER, survived);
    let acked = recorder.acks().len();
    sim.block_on(|runtime| async move {
        let (zxid, _) = reopened(&runtime, &recorder.acks()).await;
        // It goes on where it stopped.
        let more = Recorder::new();
        load(&runtime, &more, zxid.0 / 3 * 3 + 4, 7).await.unwrap();
        let first = more.acks().values().map(|ack| ack.zxid).min();
        assert_eq!(first, Some(zxid.0 + 1), "the zxid goes on by one");
    });
    Outcome::Cut { acked }
}

enum Outcome {
    /// The run ended before its power cut.
    NoCut,
    Cut {
        acked: usize,
    },
}

#[test]
fn a_power_cut_at_any_sync_loses_nothing_that_was_acknowledged() {
    const WRITES: u64 = 150;
    let mut cuts = 0;
    let mut with_acks = 0;
    for nth in 1.. {
        let mut over = true;
        for (variant, (at, unsynced)) in [
            (CutAt::Before, Unsynced::Seeded),
            (CutAt::After, Unsynced::Seeded),
            (CutAt::Before, Unsynced::Lost),
        ]
        .into_iter()
        .enumerate()
        {
            let seed = nth * 10 + variant as u64;
            if let Outcome::Cut { acked } = cut_once(seed, nth, at, unsynced, WRITES) {
                over = false;
                cuts += 1;
                with_acks += usize::from(acked > 0);
            }
        }
        if over {
            break;
        }
    }
    assert!(cuts > 100, "only {cuts} power cuts");
    assert!(
        with_acks > cuts / 2,
        "{with_acks} of {cuts} had acknowledged anything"
    );
}

/// Runs the load on a faulty disk; afterwards, without the fault, nothing acknowledged is lost.
/// Returns why the node stopped, if it did.
fn fault(seed: u64, order: impl FnOnce(&SimDisk)) -> Option<String> {
    let disk = SimDisk::new(seed);
    order(&disk);
    let recorder = Recorder::new();
    let mut sim = Sim::new(seed);
    sim.mount(FOLDER, disk.clone());
    let ended = sim.block_on(|runtime| {
        let recorder = recorder.clone();
        async move { load(&runtime, &recorder, 1, 400).await }
    });
    drop(sim);
    disk.heal();
    let survived = disk.reopen();
    let mut sim = Sim::new(seed + 1);
    sim.mount(FOLDER, survived);
    sim.block_on(|runtime| async move {
        reopened(&runtime, &recorder.acks()).await;
    });
    ended.err()
}

#[test]
fn a_failed_sync_stops_the_node_with_one_sentence() {
    let mut went_on = Vec::new();
    for nth in 1..60 {
        match fault(nth, |disk| disk.fail_sync(nth)) {
            Some(sentence) => {
                assert!(!sentence.contains('\n'), "{sentence}");
                assert!(sentence.contains("check"), "{sentence}");
            }
            None => went_on.push(nth),
        }
    }
    // redb tidies up when it closes a file that was made whole before, and does without if it
    // cannot; that happens only while the folder is set up.
    assert!(
        went_on.len() <= 8 && went_on.iter().all(|nth| *nth < 27),
        "went on after the failed syncs {went_on:?}"
    );
}

/// A sync fails, and the node ends. The next process still reads what the sync did not make durable,
/// goes on behind it, and then the power fails, which takes what is not on the disk.
fn fail_go_on_and_cut(nth: u64, prefix: &str) -> bool {
    let disk = SimDisk::new(nth);
    disk.set_unsynced(Unsynced::Lost);
    disk.fail_sync_of(prefix, nth);
    let run = |seed, disk: SimDisk, first, writes| {
        let recorder = Recorder::new();
        let mut sim = Sim::new(seed);
        sim.mount(FOLDER, disk);
        let ended = sim.block_on(|runtime| {
            let recorder = recorder.clone();
            async move { load(&runtime, &recorder, first, writes).await }
        });
        (ended.is_err(), recorder.acks())
    };
    let look = |seed, disk: SimDisk, acks: BTreeMap<u64, Ack>| {
        let mut sim = Sim::new(seed);
        sim.mount(FOLDER, disk);
        sim.block_on(|runtime| async move { reopened(&runtime, &acks).await.0.0 })
    };
    let (failed, mut acks) = run(nth, disk.clone(), 1, 100);
    disk.fail_sync_of(prefix, 0);
    let zxid = look(nth + 1_000, disk.clone(), acks.clone());
    let (failed_again, more) = run(nth + 2_000, disk.clone(), zxid + 1, 40);
    assert!(!failed_again, "the disk is well");
    acks.extend(more);
    look(nth + 3_000, disk.reopen(), acks);
    failed
}

#[test]
fn what_a_failed_sync_did_not_write_is_written_by_the_next_process() {
    for prefix in ["log/", "state.redb"] {
        let failed = (1..60).filter(|nth| fail_go_on_and_cut(*nth, prefix));
        let failed = failed.count();
        assert!(failed > 20, "only {failed} syncs of {prefix} have failed");
    }
}

#[test]
fn a_full_disk_stops_the_node_with_one_sentence() {
    let mut sentences = Vec::new();
    // redb's files and the first segment take the most of it.
    for kilobytes in (0..400).step_by(20) {
        let seed = 1000 + kilobytes;
        let base = base_size();
        let full = fault(seed, |disk| {
            disk.set_capacity(Some(base + kilobytes * 100));
        });
        sentences.push(full.expect("a node whose disk is full stops"));
    }
    for sentence in sentences {
        assert!(!sentence.contains('\n'), "{sentence}");
        assert!(sentence.contains("check"), "{sentence}");
        assert!(
            sentence.contains("full") || sentence.contains("space"),
            "{sentence}"
        );
    }
}

/// How large a fresh node's files are.
fn base_size() -> u64 {
    let disk = SimDisk::new(1);
    let mut sim = Sim::new(1);
    sim.mount(FOLDER, disk.clone());
    sim.block_on(|runtime| async move {
        load(&runtime, &Recorder::new(), 1, 1).await.unwrap();
    });
    disk.used()
}

#[test]
fn one_seed_gives_one_trace() {
    let run = |seed| {
        let (ended, trace) = Sim::run_traced(seed, Window::default(), |runtime| async move {
            load(&runtime, &Recorder::new(), 1, 60).await
        });
        assert_eq!(ended, Ok(()));
        trace
    };
    let first = run(7);
    assert!(first.lines() > 200, "{first:?}");
    assert_eq!(first, run(7));
}

/// Syncs of 5 to 20 ms, with a stall now and then.
fn slow_syncs() -> SyncTime {
    SyncTime {
        least: Duration::from_millis(5),
        jitter: Duration::from_millis(15),
        stalls: Some(Tail {
            one_in: 20,
            least: Duration::from_millis(100),
            most: Duration::from_secs(1),
        }),
    }
}

#[test]
fn with_slow_syncs_one_sync_serves_many_commands() {
    const COMMANDS: u64 = 1_000;
    Sim::run(1, |runtime| async move {
        let disk = runtime.disk(Path::new(FOLDER)).unwrap();
        let recorder = Recorder::new();
        let delivery = Arc::new(recorder.clone());
        let settings = Settings::default();
        let opened = Replica::open(runtime.clone(), disk.clone(), settings, delivery).await;
        let replica = opened.unwrap();
        disk.set_sync_time(slow_syncs());
        let (syncs, began) = (disk.sync_count(), runtime.now());
        for ticket in 1..=COMMANDS {
            replica.proposals().submit(vec![create(ticket)]).await;
        }
        recorder.wait_done(COMMANDS).await;
        let syncs = disk.sync_count() - syncs;
        let took = runtime.now() - began;
        assert!(took >= Duration::from_millis(5), "{took:?}");
        assert!((1..100).contains(&syncs), "{syncs} for {COMMANDS} commands");
        replica.shutdown().await;
    });
}

/// A host dies while syncs are under way: by a kill or by a power cut that keeps any part of what
/// was not synced. Whatever was acknowledged is there afterwards.
#[test]
fn what_was_acknowledged_survives_any_death_during_slow_syncs() {
    let (mut acknowledged, mut cut_short) = (0, 0);
    for seed in 0..60 {
        World::run(seed, async |world| {
            let host = world.host("node");
            host.disk(FOLDER).set_sync_time(slow_syncs());
            let everything = Recorder::new();
            let recorder = everything.clone();
            host.start(move |runtime| async move { load(&runtime, &recorder, 1, 60).await })
                .detach();
            let life = Duration::from_micros(100_000 + seed * 37_777);
            world.sleep(life).await;
            let done = everything.acks().len();
            acknowledged += done;
            cut_short += usize::from(done < 60);
            match seed % 3 {
                0 => host.kill(),
                _ => host.cut_power(),
            };
            let again = host.start(move |runtime| async move {
                reopened(&runtime, &everything.acks()).await;
            });
            again.await.expect("it ends by itself");
        });
    }
    assert!(
        acknowledged > 500 && cut_short > 20,
        "{acknowledged} {cut_short}"
    );
}
