//! The simulated runtime: one thread, a virtual clock, and one seed for everything random.
//!
//! 1. [`Sim::run`] creates a simulated world from a seed and runs a future in it. The future gets a
//!    [`Simulated`], which implements [`Runtime`].
//! 2. The tasks of all roles run on one executor in the order in which they are woken. It is
//!    openraft's `SimRuntime`, whose static functions openraft calls.
//! 3. When no task can run, the clock jumps to the next timer. So an hour passes at once, and a
//!    deadlock ends in a panic that says so.
//! 4. Bytes between sockets arrive after a random time and in random pieces, both from the seed.
//!    Disks are [`SimDisk`]s, which outlive the world if the test holds them.

mod content;
mod disk;
mod names;
mod net;
mod pages;
mod pipe;

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use openraft_rt::AsyncRuntime;
use openraft_rt_sim::{SimInstant, SimRuntime, SimSleep};
use parking_lot::Mutex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

pub use content::Unsynced;
pub use disk::{CutAt, SimDisk, SimFile, SimLock};
pub use net::{SimListener, SimReader, SimStream, SimWriter};

use crate::task::OnLostPanic;
use crate::{
    Ended, Ending, Instant, Latest, LatestReader, Program, Runtime, Select2, Task, TaskPanic,
    ThreadRole, select2,
};
use net::Net;

/// The wall clock at the start of every simulation: 2026-01-01, in milliseconds since 1970.
const WALL_START_MS: u64 = 1_767_225_600_000;
/// Bytes travel at least this long between two sockets.
const LATENCY_MIN: Duration = Duration::from_micros(50);
/// Bytes travel less than this much longer.
const LATENCY_SPREAD_NANOS: u64 = 100_000;
/// One read in this many gets only a piece of what has arrived.
const SHORT_READ_ONE_IN: u32 = 8;
/// Such a piece has at most this many bytes.
const SHORT_READ_MAX: u32 = 16;
/// A timer further off than this never fires: some 100 years.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A simulated world and its executor.
///
/// Invariants:
/// - Two worlds with one seed that run the same code do the same in the same order; the traces
///   are equal line by line.
/// - A panic of a core task that nobody awaits ends [`Sim::block_on`] with that panic, as it
///   ends the process in reality.
#[derive(Debug)]
pub struct Sim {
    executor: SimRuntime,
    handle: Simulated,
}

/// The handle to a simulated world.
#[derive(Clone)]
pub struct Simulated {
    world: Arc<World>,
}

struct World {
    seed: u64,
    random: Mutex<ChaCha8Rng>,
    weather: Mutex<ChaCha8Rng>,
    net: Mutex<Net>,
    disks: Mutex<BTreeMap<PathBuf, SimDisk>>,
    wall_offset_ms: AtomicI64,
    last_now: AtomicU64,
    core_panic: Latest<Option<TaskPanic>>,
    on_lost_panic: OnLostPanic,
}

impl Sim {
    /// A new world.
    pub fn new(seed: u64) -> Self {
        let core_panic = Latest::new(None);
        let world = World {
            seed,
            random: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
            weather: Mutex::new(ChaCha8Rng::seed_from_u64(!seed)),
            net: Mutex::new(Net::new()),
            disks: Mutex::new(BTreeMap::new()),
            wall_offset_ms: AtomicI64::new(0),
            last_now: AtomicU64::new(0),
            on_lost_panic: Arc::new({
                let core_panic = core_panic.clone();
                move |panic: &TaskPanic| {
                    tracing::error!("{panic}");
                    if panic.role.is_core() {
                        core_panic.set(Some(panic.clone()));
                    }
                }
            }),
            core_panic,
        };
        Self {
            executor: SimRuntime::with_seed(seed),
            handle: Simulated {
                world: Arc::new(world),
            },
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

    /// Like [`Sim::run`], and returns also the executor's trace: every spawn, poll, wake, timer
    /// and random draw.
    pub fn run_traced<F, Fut>(seed: u64, main: F) -> (Fut::Output, Vec<String>)
    where
        F: FnOnce(Simulated) -> Fut,
        Fut: Future,
    {
        let mut sim = Self::new(seed);
        sim.executor.record_trace(true);
        let output = sim.block_on(main);
        let trace = sim.executor.take_trace();
        (output, trace)
    }

    /// Puts a disk at a folder of this world: the one that survived another world's power cut,
    /// or one with faults ordered. A folder without one gets an empty disk.
    pub fn mount(&self, root: impl Into<PathBuf>, disk: SimDisk) {
        self.handle.world.disks.lock().insert(root.into(), disk);
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
        let handle = self.handle.clone();
        let core_panic = handle.world.core_panic.clone();
        self.executor.block_on(async move {
            let panicked = core_panic.wait_for(Option::is_some);
            match select2(panicked, main(handle)).await {
                Select2::First(panic) => panic!("{}", panic.expect("waited for Some")),
                Select2::Second(output) => output,
            }
        })
    }
}

impl Simulated {
    /// Makes the wall clock jump, forwards or backwards; the monotonic clock goes on.
    pub fn jump_wall_clock(&self, by_ms: i64) {
        self.world
            .wall_offset_ms
            .fetch_add(by_ms, Ordering::Relaxed);
    }

    /// The seed of this world.
    pub fn seed(&self) -> u64 {
        self.world.seed
    }

    /// When bytes sent now arrive.
    fn arrival(&self) -> Instant {
        let spread = self.world.weather.lock().next_u64() % LATENCY_SPREAD_NANOS;
        self.now() + LATENCY_MIN + Duration::from_nanos(spread)
    }

    /// How many bytes the next read may get.
    fn read_limit(&self) -> usize {
        let mut weather = self.world.weather.lock();
        if weather.next_u32().is_multiple_of(SHORT_READ_ONE_IN) {
            (1 + weather.next_u32() % SHORT_READ_MAX) as usize
        } else {
            usize::MAX
        }
    }
}

impl Runtime for Simulated {
    type Raft = SimRuntime;
    type Disk = SimDisk;
    type Stream = SimStream;
    type Listener = SimListener;
    type Sleep = SimSleep;

    fn now(&self) -> Instant {
        // Outside of `block_on`, where what a world left behind is dropped, its clock stands.
        let last = &self.world.last_now;
        match SimInstant::try_now() {
            Some(now) => {
                let nanos = now.elapsed_since_start().as_nanos() as u64;
                last.store(nanos, Ordering::Relaxed);
                Instant::from_nanos(nanos)
            }
            None => Instant::from_nanos(last.load(Ordering::Relaxed)),
        }
    }

    fn wall_ms(&self) -> u64 {
        let offset_ms = self.world.wall_offset_ms.load(Ordering::Relaxed);
        let elapsed_ms = self.now().since_start().as_millis() as u64;
        (WALL_START_MS + elapsed_ms).saturating_add_signed(offset_ms)
    }

    fn sleep_until(&self, deadline: Instant) -> SimSleep {
        SimRuntime::sleep(deadline.since(self.now()).min(NEVER))
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.world.random.lock().fill_bytes(bytes);
    }

    #[track_caller]
    fn spawn<F>(&self, role: ThreadRole, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (task, run) = Task::wrap(role, future, self.world.on_lost_panic.clone());
        drop(SimRuntime::spawn(run));
        task
    }

    fn threads(&self, _role: ThreadRole) -> usize {
        1
    }

    async fn listen_tcp(&self, addr: SocketAddr) -> io::Result<SimListener> {
        net::listen_tcp(self, addr)
    }

    fn connect_tcp(&self, addr: SocketAddr) -> impl Future<Output = io::Result<SimStream>> + Send {
        net::connect_tcp(self.clone(), addr)
    }

    async fn listen_unix(&self, path: &Path) -> io::Result<SimListener> {
        Ok(net::listen_unix(self, path))
    }

    async fn connect_unix(&self, path: &Path) -> io::Result<SimStream> {
        net::connect_unix(self.clone(), path).await
    }

    async fn run_program(
        &self,
        program: Program,
        input: Vec<Bytes>,
        output_bytes_max: usize,
    ) -> io::Result<Ended> {
        // A task, so that others run before it and a caller that went away stops it.
        let stand_in = async move {
            let mut output = Vec::new();
            let done = (program.stand_in)(&mut &input.concat()[..], &mut output);
            let complaint = done.as_ref().err().map(ToString::to_string);
            let how = match done {
                Ok(()) if output.len() > output_bytes_max => Ending::TooMuchOutput,
                Ok(()) => Ending::Exit(0),
                Err(_) => Ending::Exit(1),
            };
            Ended {
                how,
                output: output.into(),
                complaint: complaint.unwrap_or_default(),
            }
        };
        let running = self.spawn(ThreadRole::Compile, stand_in).abort_on_drop();
        running.await.map_err(io::Error::other)
    }

    fn terminated(&self) -> impl Future<Output = ()> + Send + 'static {
        pending()
    }

    fn reload_requests(&self) -> LatestReader<u64> {
        Latest::new(0).reader()
    }

    fn disk(&self, root: &Path) -> io::Result<SimDisk> {
        let mut disks = self.world.disks.lock();
        let seed = self.world.seed.wrapping_add(disks.len() as u64);
        let disk = disks
            .entry(root.to_owned())
            .or_insert_with(|| SimDisk::new(seed));
        Ok(disk.clone())
    }
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Simulated(seed {})", self.world.seed)
    }
}
