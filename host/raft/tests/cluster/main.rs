//! A group of three or five replicas in a simulated world on bad days. A schedule of faults kills
//! them, cuts their power, stops them, cuts and slows down their links, closes their ports, lets
//! their clocks jump, and makes their disks slow, full or wrong, while clients at each of them write
//! and read.
//!
//! 1. [`stage`] sets up the replicas and draws the faults. [`clients`] are tasks in the process of
//!    a replica and end with it: the next process has new ones.
//! 2. [`actions`] are what operators do meanwhile: they hand the leadership over and empty data
//!    folders. [`changes`] are their changes of the group's members: some hosts run from the
//!    beginning and are in no group until they are taken in.
//! 3. [`history`] is told everything that the clients submit, read and are answered, and everything
//!    that a replica applies. It belongs to the test and forgets nothing.
//! 4. Each of the [`invariants`] has a file. What can be judged at once is judged when it happens,
//!    and the replica that broke the invariant ends the run; the rest is judged after everything
//!    has healed, and once more after all machines have lost their power together.
//!
//! A run that fails shows its seed, its plan of faults and what was done. `INNKEEPER_SEEDS=FROM..TO`
//! runs other seeds than `make test` does, for instance `INNKEEPER_SEEDS=1000..2000`.

mod actions;
mod changes;
mod clients;
#[path = "../common/mod.rs"]
mod common;
#[path = "../../../../tests/emptied.rs"]
mod emptied;
mod history;
mod invariants;
mod scenes;
#[path = "../../../../tests/seeds.rs"]
mod seeds;
mod stage;

use std::ops::Range;

use innkeeper_runtime::sim::FaultKind;
use stage::{Sum, run};

/// The seeds of `make test`.
const SEEDS: Range<u64> = 24..40;

#[test]
fn every_operation_is_applied_once_and_in_order_whatever_happens() {
    let seeds = seeds::asked(&SEEDS);
    let mut all = Sum::default();
    for seed in seeds.clone() {
        all.add(&run(seed));
    }
    println!(
        "{all:?}, {} restarts, {} ended by themselves",
        all.record.restarts(),
        all.record.ended_by_itself()
    );
    if seeds != SEEDS {
        return;
    }
    let missing = FaultKind::ALL
        .iter()
        .find(|kind| all.record.count(**kind) == 0);
    assert_eq!(missing, None, "each kind of fault took effect");
    // The faults came while clients were at work, and leaders changed.
    assert!(
        all.applied > 40_000 && all.read > 5_000 && all.terms > 80 && all.lives > 300,
        "{all:?}"
    );
    // Some answers were "not done", each bound was reached, and snapshots travelled.
    assert!(
        all.refused > 0 && all.full.is_each() && all.installs > 20,
        "{all:?}"
    );
    // Operators were at work: they handed the leadership over, emptied folders, and changed the
    // members in each way.
    assert!(all.transfers > 10 && all.wipes > 3, "{all:?}");
    let changes = &all.changes;
    assert!(changes.of_kind.iter().all(|count| *count > 0), "{all:?}");
    assert!(
        changes.twice > 3 && changes.finished > 1 && changes.returned > 3 && changes.reached > 10,
        "{all:?}"
    );
}

#[test]
fn one_seed_is_one_run() {
    assert_eq!(run(24), run(24));
}
