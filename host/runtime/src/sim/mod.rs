//! The simulated runtime: one thread, virtual time, one seed for everything random, and any number
//! of hosts.
//!
//! 1. [`World::run`] creates a world from a seed and runs its director, which adds [`Host`]s. A host
//!    has a name, an address, disks, clocks and a random stream. [`Sim::run`] is a world of one
//!    host, and runs a future on that host.
//! 2. [`Host::start`] begins a *life* of the host. The node gets a [`Simulated`], which implements
//!    [`Runtime`](crate::Runtime) for this life. Everything that is done through it belongs to the
//!    host.
//! 3. The tasks of all hosts and roles run on one executor in the order in which they are woken. It
//!    is openraft's `SimRuntime`. Before a task is polled, its host is looked at: the tasks of a
//!    stopped host wait, those of a dead one are dropped. openraft's static functions ([`SimRaft`])
//!    act for the host whose task calls them.
//! 4. When no task can run, time jumps to the next timer. So an hour passes at once, and a deadlock
//!    ends in a panic that says so.
//! 5. Bytes between sockets arrive after a time that their link draws, and in random pieces. Links
//!    are slow, cut or lossy as the director [says](LinkSettings), and hosts [close
//!    their ports](World::close_ports). Disks are [`SimDisk`]s, which
//!    outlive the world if the test holds them. Each has one [plan of faults](SimDisk), which the
//!    log's files and redb's share.
//! 6. A host is [killed](Host::kill), [stopped](Host::stop) or [loses power](Host::cut_power), and
//!    starts again in the same world on the disks that survived.
//! 7. A [`Schedule`] draws all such faults from a seed, plays them on a [`Cast`] of hosts beside
//!    what these do, and heals everything at its end.
//!
//! **Invariant:** what one host does reaches another one only over the network. Tasks, timers,
//! clocks, random numbers, files and addresses have one host each. (tests:
//! `a_kill_takes_tasks_sockets_and_lock_in_one_step`, `hosts_have_clocks_of_their_own`,
//! `one_hosts_draws_leave_another_hosts_alone`)
//!
//! **Invariant:** two runs of the same code with the same seed do the same in the same order.
//! (tests: `one_seed_is_one_run`, `one_seed_is_one_world`)
//!
//! **Invariant:** a panic that would end a real process ends its host, and the run fails with its
//! message unless a test expects it ([`Host::expect_panic`]). (tests:
//! `a_panic_ends_its_host_and_the_run`, `an_expected_panic_ends_only_its_host`)
//!
//! **Invariant:** everything on a disk goes through its plan of faults, which outlives each life
//! of its host, and a disk that cuts its power cuts that of its host in the middle of the sync.
//! (tests: `faults_of_the_hardware_survive_a_restart_and_end_when_healed`,
//! `a_disk_that_cuts_its_power_ends_its_host_within_the_sync`,
//! `what_was_synced_is_there_after_any_faults`)

mod clock;
mod content;
mod device;
mod disk;
mod faults;
mod file;
mod host;
mod life;
mod link;
mod machine;
mod names;
mod net;
mod pages;
mod pipe;
mod raft;
mod schedule;
mod simulated;
mod socket;
mod state;
mod sync_time;
mod trace;
mod wires;
mod world;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use openraft_rt_sim::SimRuntime;

pub use content::Unsynced;
pub use disk::SimDisk;
pub use faults::{CutAt, FileFaults, Rot};
pub use file::{SimFile, SimLock};
pub use host::{Died, Host, Process};
pub use link::{LinkSettings, Tail};
pub use machine::HostSettings;
pub use net::ClosedPorts;
pub use raft::{HostInstant, HostRng, SimJoin, SimRaft};
pub use schedule::{
    Cast, Fault, FaultKind, FaultRate, Rates, Record, Schedule, ScheduleSettings, Scope,
};
pub use simulated::Simulated;
pub use socket::{SimListener, SimReader, SimStream, SimWriter};
pub use sync_time::SyncTime;
pub use trace::{Trace, Window, first_difference};
pub use world::World;

use machine::Machine;
use state::WorldState;

/// A simulated world of one host, whose main future runs on that host.
///
/// Invariants:
/// - Two worlds with one seed that run the same code do the same in the same order; their traces
///   are equal.
/// - A panic of a core task that nobody awaits ends [`Sim::block_on`] with that panic, as it
///   ends the process in reality.
pub struct Sim {
    executor: SimRuntime,
    state: Arc<WorldState>,
    machine: Arc<Machine>,
    handle: Simulated,
}

impl Sim {
    /// A new world.
    pub fn new(seed: u64) -> Self {
        let state = WorldState::new(seed);
        let machine = state.add("host", &HostSettings::default());
        let life = machine.begin();
        Self {
            executor: SimRuntime::with_seed(seed),
            handle: Simulated::new(state.clone(), machine.clone(), life),
            state,
            machine,
        }
    }

    /// Runs `main` in a new world and returns its output. What it leaves running is dropped.
    pub fn run<F, Fut>(seed: u64, main: F) -> Fut::Output
    where
        F: FnOnce(Simulated) -> Fut,
        Fut: Future,
    {
        Self::new(seed).block_on(main)
    }

    /// Like [`Sim::run`], and returns also the trace: every spawn, poll, send and random draw.
    /// [`first_difference`] gives the window; otherwise it is the default.
    pub fn run_traced<F, Fut>(seed: u64, window: Window, main: F) -> (Fut::Output, Trace)
    where
        F: FnOnce(Simulated) -> Fut,
        Fut: Future,
    {
        let mut sim = Self::new(seed);
        let clock = sim.state.net.clock.clone();
        clock.recorder().start(window);
        let output = sim.block_on(main);
        (output, clock.recorder().take())
    }

    /// Puts a disk at a folder of this world: the one that survived another world's power cut,
    /// or one with faults ordered. A folder without one gets an empty disk. A disk that cuts its
    /// power is dead for this world, and nothing else is: the main future is on the host, and must
    /// return. In a [`World`] the host would end.
    pub fn mount(&self, root: impl Into<PathBuf>, disk: SimDisk) {
        self.machine.mount(root.into(), disk);
    }

    /// The handle to this world; it works while [`Sim::block_on`] runs.
    pub fn runtime(&self) -> Simulated {
        self.handle.clone()
    }

    /// Runs `main` in this world. Tasks that it leaves running go on in the next call.
    pub fn block_on<F, Fut>(&mut self, main: F) -> Fut::Output
    where
        F: FnOnce(Simulated) -> Fut,
        Fut: Future,
    {
        let life = self.handle.life().clone();
        let handle = self.handle.clone();
        let main = async { main(handle).await };
        self.state.block_on(&mut self.executor, life.run(main))
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sim(seed {})", self.state.seed)
    }
}
