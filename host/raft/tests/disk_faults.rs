//! A disk that fails, is full, flips bits or rots, under the log, the state and the modules: the
//! node stops or refuses with one sentence, and what it acknowledged is there when the disk is well
//! again.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Ack, Recorder, create, create_wide, dump, path_of, small};
use innkeeper_raft::{ModuleStore, OpenError, Replica, Settings};
use innkeeper_runtime::sim::{FileFaults, Unsynced};
use innkeeper_runtime::{Disk, File, Open, Runtime, Select2, Sim, SimDisk, Simulated, select2};
use innkeeper_tree::Digest;

const FOLDER: &str = "/data";
const LOG: &str = "log";
const STATE: &str = "state.redb";
const MODULES: &str = "modules.redb";
/// How many different modules there are.
const MODULE_COUNT: u64 = 97;
/// Operations that are proposed together.
const BURST: u64 = 5;

/// Hardly a cache, so that redb reads from the disk what it has written.
fn settings() -> Settings {
    Settings {
        checkpoint_entries: 15,
        state_cache_bytes: 1 << 14,
        module_cache_bytes: 1 << 14,
        ..small()
    }
}

/// What was acknowledged, over all lives of a node.
#[derive(Clone, Debug, Default)]
struct Known {
    acks: BTreeMap<u64, Ack>,
    /// The numbers of modules.
    modules: BTreeSet<u64>,
}

/// A module's bytes, by its number.
fn module(number: u64) -> Bytes {
    let len = 100 + number * 7919 % 20_000;
    (0..len)
        .map(|at| (at * number) as u8)
        .collect::<Vec<_>>()
        .into()
}

fn digest(number: u64) -> Digest {
    ModuleStore::<Simulated>::digest(&module(number))
}

/// A node's present life.
struct Life {
    runtime: Simulated,
    replica: Replica<Simulated>,
    recorder: Recorder,
    /// The least length of the data of a znode.
    data_bytes: usize,
    /// How many tickets of this life are submitted.
    submitted: u64,
    modules: BTreeSet<u64>,
    /// Why modules were not stored.
    complaints: Vec<String>,
}

impl Life {
    async fn open(runtime: &Simulated) -> Result<Self, OpenError> {
        let disk = runtime.disk(Path::new(FOLDER)).expect("a folder");
        let recorder = Recorder::new();
        let delivery = Arc::new(recorder.clone());
        let replica = Replica::open(runtime.clone(), disk, settings(), delivery).await?;
        recorder.reset();
        Ok(Self {
            runtime: runtime.clone(),
            replica,
            recorder,
            data_bytes: 0,
            submitted: 0,
            modules: BTreeSet::new(),
            complaints: Vec::new(),
        })
    }

    /// Submits the operations of a burst and stores the module of its number. Returns why the node
    /// has failed, if it has.
    async fn burst(&mut self, number: u64) -> Option<String> {
        let first = number * BURST;
        let operations = first..first + BURST;
        let operations = operations.map(|ticket| create_wide(ticket, self.data_bytes));
        let operations = operations.collect();
        self.replica.proposals().submit(operations).await;
        self.submitted += BURST;
        let done = self.recorder.wait_done(self.submitted);
        if let Select2::First(sentence) = select2(self.replica.failed(), done).await {
            return Some(sentence);
        }
        let number = number % MODULE_COUNT;
        match self.replica.modules().put(module(number)).await {
            Ok(_) => _ = self.modules.insert(number),
            Err(error) => self.complaints.push(error.to_string()),
        }
        // Checkpoints are written meanwhile.
        let pause = self.runtime.sleep(Duration::from_millis(30));
        match select2(self.replica.failed(), pause).await {
            Select2::First(sentence) => Some(sentence),
            Select2::Second(()) => None,
        }
    }

    /// Adds what this life has acknowledged.
    fn tell(&self, known: &mut Known) {
        known.acks.extend(self.recorder.acks());
        known.modules.extend(&self.modules);
    }

    /// Checks that everything acknowledged is there and that nothing is there that was never
    /// written. With `faulty`, a read of a module may fail.
    async fn check(&self, known: &Known, faulty: bool) {
        let shown: BTreeMap<_, _> = dump(&self.replica.reader().view())
            .into_iter()
            .filter(|(path, ..)| path.starts_with("/n"))
            .map(|(path, data, czxid, ..)| (path, (data, czxid)))
            .collect();
        for (ticket, ack) in &known.acks {
            let found = shown.get(&path_of(*ticket));
            let (_, czxid) = found.unwrap_or_else(|| panic!("acknowledged and lost: {ticket}"));
            assert_eq!(*czxid, ack.zxid as i64, "ticket {ticket}");
        }
        for (path, (data, _)) in &shown {
            let ticket: u64 = path["/n".len()..].parse().expect("a ticket's path");
            let data = data.as_deref().expect("each has data");
            assert_eq!(data.trim_ascii_end(), ticket.to_string().as_bytes());
        }
        let store = self.replica.modules();
        for number in &known.modules {
            match store.get(digest(*number)).await {
                Ok(found) => assert_eq!(found, Some(module(*number)), "module {number}"),
                Err(error) if faulty => is_a_sentence(&error.to_string(), MODULES),
                Err(error) => panic!("module {number}: {error}"),
            }
        }
        match store.list().await {
            Ok(list) => {
                let listed: BTreeSet<_> = list.into_iter().collect();
                for number in &known.modules {
                    let row = (digest(*number), module(*number).len() as u64);
                    assert!(listed.contains(&row), "module {number} is not listed");
                }
                let possible = (0..MODULE_COUNT).map(digest).collect::<BTreeSet<_>>();
                assert!(listed.iter().all(|(digest, _)| possible.contains(digest)));
            }
            Err(error) => assert!(faulty, "{error}"),
        }
    }
}

/// Checks that an error is one sentence that names the file and says what to do.
fn is_a_sentence(sentence: &str, file: &str) {
    assert!(!sentence.contains('\n'), "{sentence}");
    assert!(
        sentence.contains(file),
        "it does not name {file}: {sentence}"
    );
    assert!(
        sentence.contains("check") || sentence.contains("restore"),
        "it does not say what to do: {sentence}"
    );
}

/// Runs a life on a disk.
fn run<F: Future>(seed: u64, disk: &SimDisk, life: impl FnOnce(Simulated) -> F) -> F::Output {
    let mut sim = Sim::new(seed);
    sim.mount(FOLDER, disk.clone());
    sim.block_on(life)
}

/// After all faults: the node opens, everything acknowledged is there, and it goes on.
fn check_when_well(seed: u64, disk: &SimDisk, known: &Known) {
    disk.heal();
    let disk = disk.reopen();
    run(seed, &disk, |runtime| async move {
        let opened = Life::open(&runtime).await;
        let mut life = opened.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        life.check(known, false).await;
        for number in 1000..1003 {
            assert_eq!(life.burst(number).await, None);
        }
        assert_eq!(life.complaints, Vec::<String>::new());
        let mut known = known.clone();
        life.tell(&mut known);
        life.check(&known, false).await;
        life.replica.shutdown().await;
    });
}

/// A disk on which a node has written `bursts` and died, with what it acknowledged.
fn written(seed: u64, bursts: u64) -> (SimDisk, Known) {
    let disk = SimDisk::new(seed);
    let known = run(seed, &disk, |runtime| async move {
        let mut life = Life::open(&runtime).await.expect("a new folder");
        for number in 0..bursts {
            assert_eq!(life.burst(number).await, None);
        }
        // Nothing is written after this one but its own batch.
        life.replica.proposals().submit(vec![create(LAST)]).await;
        life.recorder.wait_done(life.submitted + 1).await;
        let mut known = Known::default();
        life.tell(&mut known);
        known
    });
    (disk.reopen(), known)
}

/// The ticket of the last operation on a [written] disk.
const LAST: u64 = 999;

/// Another disk with the same files, whose faults have a seed of their own.
fn copy(seed: u64, disk: &SimDisk) -> SimDisk {
    let copy = SimDisk::new(seed);
    copy.create_folder(LOG).expect("a new folder");
    let in_log = disk.list(LOG).expect("it reads");
    let in_log = in_log.iter().map(|name| format!("{LOG}/{name}"));
    for path in in_log.chain([STATE.to_owned(), MODULES.to_owned()]) {
        let content = disk.read_whole(&path).expect("it reads");
        let file = copy.open(&path, Open::CreateNew).expect("a new file");
        file.set_len(content.len() as u64).expect("there is room");
        // Nothing is written where the file is empty, so that rot hits content.
        for (block, bytes) in (0..).zip(content.chunks(512)) {
            if bytes.iter().any(|byte| *byte != 0) {
                file.write_at(bytes, block * 512).expect("there is room");
            }
        }
        file.sync().expect("it syncs");
    }
    copy.sync_folder(LOG).expect("it syncs");
    copy.sync_folder("").expect("it syncs");
    copy
}

/// The length of the files with a prefix together, in bytes.
fn used(disk: &SimDisk, prefix: &str) -> u64 {
    let mut paths = disk.list("").expect("it reads");
    let in_log = disk.list(LOG).expect("it reads");
    paths.extend(in_log.iter().map(|name| format!("{LOG}/{name}")));
    paths.retain(|path| path.starts_with(prefix) && path != LOG);
    let len = |path: &String| disk.open(path, Open::Read).and_then(|file| file.len());
    paths
        .iter()
        .map(|path| len(path).expect("it is there"))
        .sum()
}

#[test]
fn a_failed_sync_ends_the_node_and_takes_nothing_back() {
    for seed in 0..60 {
        let file = [LOG, STATE, MODULES][seed as usize % 3];
        let disk = SimDisk::new(seed);
        disk.set_unsynced([Unsynced::Seeded, Unsynced::Lost][seed as usize % 2]);
        let known = run(seed, &disk, |runtime| async move {
            let mut life = Life::open(&runtime).await.expect("a new folder");
            let healthy = runtime.random_u64() % 6;
            for number in 0..healthy {
                assert_eq!(life.burst(number).await, None);
            }
            let disk = runtime.disk(Path::new(FOLDER)).expect("a folder");
            disk.fail_sync_of(file, 1 + runtime.random_u64() % 4);
            let mut number = healthy;
            let sentence = loop {
                assert!(
                    number < 60,
                    "seed {seed}: it goes on after a failed sync of {file}"
                );
                if let Some(sentence) = life.burst(number).await {
                    break sentence;
                }
                number += 1;
            };
            is_a_sentence(&sentence, file);

            // It acknowledges nothing any more, of no kind.
            let acks = life.recorder.acks().len();
            let stored = life.modules.len();
            assert_eq!(life.burst(number + 1).await, Some(sentence.clone()));
            assert_eq!(
                life.replica.modules().put(module(96)).await.is_ok(),
                file != MODULES
            );
            runtime.sleep(Duration::from_secs(5)).await;
            assert_eq!(life.recorder.acks().len(), acks, "seed {seed}");
            assert_eq!(life.modules.len(), stored);
            let failure = life.replica.status().failure;
            assert_eq!(failure, Some(sentence));
            let mut known = Known::default();
            life.tell(&mut known);
            known
        });
        check_when_well(seed + 1, &disk, &known);
    }
}

#[test]
fn a_full_disk_takes_nothing_back_and_modules_go_on_when_there_is_room() {
    let (mut stopped, mut refused) = (0, 0);
    for seed in 0..60 {
        let (file, room_most) = [
            ("", 40_000),
            (LOG, 6_000),
            (STATE, 20_000),
            (MODULES, 40_000),
        ][seed as usize % 4];
        let disk = SimDisk::new(seed);
        let (counts, known) = run(seed, &disk, |runtime| async move {
            let mut life = Life::open(&runtime).await.expect("a new folder");
            let healthy = runtime.random_u64() % 6;
            for number in 0..healthy {
                assert_eq!(life.burst(number).await, None);
            }
            let disk = runtime.disk(Path::new(FOLDER)).expect("a folder");
            let room = runtime.random_u64() % room_most;
            let full = FileFaults {
                capacity_bytes: Some(used(&disk, file) + room),
                ..FileFaults::default()
            };
            disk.set_faults(file, full);
            // The state's file has more room inside than the others.
            life.data_bytes = if file == STATE { 20_000 } else { 0 };
            let mut sentence = None;
            let mut number = healthy;
            while sentence.is_none() && life.complaints.is_empty() {
                assert!(number < 90, "seed {seed}: {file} is never full");
                sentence = life.burst(number).await;
                number += 1;
            }
            for sentence in sentence.iter().chain(&life.complaints) {
                is_a_sentence(sentence, file);
                assert!(sentence.contains("space"), "{sentence}");
            }
            let stopped_and_refused = (usize::from(sentence.is_some()), life.complaints.len());
            if sentence.is_none() {
                // Only modules had no room. The node is well, and stores them when there is room.
                disk.heal();
                life.complaints.clear();
                for number in number..number + 3 {
                    assert_eq!(life.burst(number).await, None, "seed {seed}");
                }
                assert_eq!(life.complaints, Vec::<String>::new(), "seed {seed}");
            }
            let mut known = Known::default();
            life.tell(&mut known);
            (stopped_and_refused, known)
        });
        stopped += counts.0;
        refused += counts.1;
        check_when_well(seed + 1, &disk, &known);
    }
    assert!(stopped > 15 && refused > 15, "{stopped} {refused}");
}

/// Opens a node on a disk with faults. Returns whether it opened; then everything was there.
fn opens(seed: u64, disk: &SimDisk, file: &str, known: &Known) -> bool {
    run(seed, disk, |runtime| async move {
        match Life::open(&runtime).await {
            Ok(life) => {
                life.check(known, true).await;
                true
            }
            Err(error) => {
                is_a_sentence(&error.to_string(), file);
                false
            }
        }
    })
}

#[test]
fn bits_that_flip_in_reads_are_refused_or_do_no_harm() {
    let (mut opened, mut refused) = (0, 0);
    for seed in 0..20 {
        let (disk, known) = written(seed, 3 + seed % 10);
        for (number, file) in ["", LOG, STATE, MODULES].into_iter().enumerate() {
            let copy = copy(seed, &disk);
            let flips = FileFaults {
                flipped_reads_one_in: Some(1 << (seed % 7)),
                ..FileFaults::default()
            };
            copy.set_faults(file, flips);
            match opens(seed * 4 + number as u64, &copy, file, &known) {
                true => opened += 1,
                false => refused += 1,
            }
            check_when_well(seed + 1, &copy, &known);
        }
    }
    assert!(opened > 10 && refused > 10, "{opened} {refused}");
}

/// What was verified when the node opened is verified again when it is read.
#[test]
fn bits_that_flip_while_a_node_runs_are_refused_or_do_no_harm() {
    let mut refused = 0;
    for seed in 0..20 {
        let (disk, known) = written(seed, 3 + seed % 10);
        run(seed, &disk, |runtime| {
            let (known, refused) = (&known, &mut refused);
            async move {
                let life = Life::open(&runtime).await.expect("nothing fails yet");
                let flips = FileFaults {
                    flipped_reads_one_in: Some(1),
                    ..FileFaults::default()
                };
                let disk = runtime.disk(Path::new(FOLDER)).expect("a folder");
                disk.set_faults(MODULES, flips);
                let list = life.replica.modules().list().await;
                *refused += usize::from(list.is_err());
                life.check(known, true).await;
                disk.heal();
                life.check(known, false).await;
            }
        });
        check_when_well(seed + 1, &disk, &known);
    }
    assert!(refused > 10, "{refused}");
}

/// A checkpoint reads pages, changes them and writes them again with new checksums. What was read
/// wrong must not be written.
#[test]
fn bits_that_flip_while_checkpoints_are_made_are_not_written_back() {
    let mut stopped = 0;
    for seed in 0..40 {
        let (disk, mut known) = written(seed, 20);
        let (sentence, life_told) = run(seed, &disk, |runtime| async move {
            let mut life = Life::open(&runtime).await.expect("nothing fails yet");
            // More than the cache holds.
            life.data_bytes = 1_000;
            let flips = FileFaults {
                flipped_reads_one_in: Some(1 << (seed % 8)),
                ..FileFaults::default()
            };
            let disk = runtime.disk(Path::new(FOLDER)).expect("a folder");
            disk.set_faults(STATE, flips);
            let mut sentence = None;
            for number in 30..70 {
                if sentence.is_none() {
                    sentence = life.burst(number).await;
                }
            }
            disk.heal();
            let mut known = Known::default();
            life.tell(&mut known);
            (sentence, known)
        });
        if let Some(sentence) = sentence {
            is_a_sentence(&sentence, STATE);
            stopped += 1;
        }
        known.acks.extend(life_told.acks);
        known.modules.extend(life_told.modules);
        check_when_well(seed + 1, &disk, &known);
    }
    assert!(stopped > 10, "{stopped}");
}

#[test]
fn a_disk_that_fails_while_a_node_opens_harms_nothing() {
    let (mut opened, mut refused) = (0, 0);
    for seed in 0..15 {
        let (disk, known) = written(seed, 3 + seed % 10);
        let one_in = Some(1 << (seed % 7));
        let kinds = [
            FileFaults {
                read_errors_one_in: one_in,
                ..FileFaults::default()
            },
            FileFaults {
                write_errors_one_in: one_in,
                ..FileFaults::default()
            },
            FileFaults {
                sync_errors_one_in: one_in,
                ..FileFaults::default()
            },
            FileFaults {
                capacity_bytes: Some(seed * 1_000),
                ..FileFaults::default()
            },
        ];
        for (number, faults) in kinds.into_iter().enumerate() {
            let file = ["", LOG, STATE, MODULES][(seed as usize + number) % 4];
            let copy = copy(seed, &disk);
            copy.set_faults(file, faults);
            match opens(seed * 4 + number as u64, &copy, "", &known) {
                true => opened += 1,
                false => refused += 1,
            }
            check_when_well(seed + 1, &copy, &known);
        }
    }
    assert!(opened > 10 && refused > 10, "{opened} {refused}");
}

#[test]
fn a_rotten_bit_is_refused_or_does_no_harm() {
    let (mut harmless, mut refused, mut cut_off) = (0, 0, 0);
    for seed in 0..25 {
        let (disk, mut known) = written(seed, 3 + seed % 10);
        // The last batch is the only one whose rot looks like a torn write.
        known.acks.remove(&LAST);
        for (number, file) in [LOG, LOG, STATE, STATE, MODULES, MODULES]
            .into_iter()
            .enumerate()
        {
            let seed = seed * 6 + number as u64;
            let copy = copy(seed, &disk);
            let rot = copy.rot(file).expect("it was written");
            let is_there = run(seed, &copy, |runtime| {
                let (known, rot) = (&known, &rot);
                async move {
                    match Life::open(&runtime).await {
                        Ok(life) => {
                            life.check(known, true).await;
                            let last = path_of(LAST);
                            let shown = dump(&life.replica.reader().view());
                            Some(shown.iter().any(|(path, ..)| *path == last))
                        }
                        Err(error) => {
                            let sentence = error.to_string();
                            is_a_sentence(&sentence, &rot.path);
                            assert!(sentence.contains("restore"), "{sentence}");
                            None
                        }
                    }
                }
            });
            match is_there {
                Some(true) => harmless += 1,
                Some(false) => {
                    assert!(rot.path.starts_with(LOG), "{rot:?}");
                    cut_off += 1;
                }
                None => refused += 1,
            }
        }
    }
    assert!(
        harmless > 10 && refused > 40 && cut_off < 10,
        "{harmless} {refused} {cut_off}"
    );
}

/// Every byte of a redb file's header, which has no checksum for all of its fields.
#[test]
fn rot_in_a_header_of_redb_is_refused_or_shows_the_commit_before() {
    let (disk, known) = written(1, 9);
    let mut without_last = known.clone();
    without_last.modules.pop_last();
    let (mut harmless, mut refused) = (0, 0);
    for file in [STATE, MODULES] {
        for offset in 0..320 {
            let mask = 1 << (offset * 7 % 8);
            // The bit that says which of the last two commits counts.
            let is_the_choice = offset == 9;
            let mask = if is_the_choice { 1 } else { mask };
            let copy = copy(offset, &disk);
            copy.corrupt(file, offset, mask).expect("it is there");
            let known = match is_the_choice && file == MODULES {
                true => &without_last,
                false => &known,
            };
            match opens(offset, &copy, file, known) {
                true => harmless += 1,
                false => refused += 1,
            }
        }
    }
    assert!(harmless > 50 && refused > 50, "{harmless} {refused}");
}
