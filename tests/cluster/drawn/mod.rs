//! A whole group on bad days, drawn from a seed: three or five voters, some with an observer, under
//! a schedule of faults, with clients at every door.
//!
//! 1. [`run`] sets up the nodes and the clients, draws the faults, and judges a run at its end.
//! 2. A [`caller`] is a session of a client, on whichever node it is connected to at the moment.
//!    The [`clients`] use one each: they create, set, read, watch, hold locks, fall silent, and
//!    read without a quorum. In one run of ten a recipe counts what they create, and they write
//!    under a policy that changes again and again.
//! 3. In every second run or so an [`operator`] changes the members of the group meanwhile.
//! 4. [`history`] is told everything that the clients ask and are answered, in true time, and is
//!    shown the state of every node again and again. It belongs to the test and forgets nothing.
//! 5. Each of the [`invariants`] has a file. What can be judged at once is judged when it happens.
//!    The rest is judged after everything has healed, and once more after all machines have lost
//!    their power together.
//!
//! A run that fails shows its seed and what faults there were. `INNKEEPER_SEEDS=FROM..TO` runs
//! other seeds than `make test` does, for instance `INNKEEPER_SEEDS=1000..2000`. `make soak` runs
//! thousands.

mod caller;
mod clients;
mod history;
mod invariants;
mod operator;
mod run;

use std::ops::Range;

use innkeeper_runtime::sim::FaultKind;

use super::seeds;
use run::{Sum, run};

/// The seeds of `make test`.
const SEEDS: Range<u64> = 0..300;

#[test]
fn clients_see_one_service_whatever_happens_to_its_nodes() {
    let seeds = seeds::asked(&SEEDS);
    let mut all = Sum::default();
    for seed in seeds.clone() {
        let sum = run(seed);
        // One in ten is run twice, and must be the same run; of those with guests one in five.
        if seed.is_multiple_of(10) || seed % 50 == 5 {
            assert_eq!(run(seed), sum, "seed {seed} is two runs");
        }
        all.add(&sum);
    }
    println!("{all}");
    if seeds == SEEDS {
        let missing = FaultKind::ALL
            .iter()
            .find(|kind| all.record.count(**kind) == 0);
        assert_eq!(missing, None, "each kind of fault took effect");
        all.counts.are_enough();
    }
}
