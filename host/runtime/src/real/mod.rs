//! The real runtime: threads, clock, sockets and files of the system.
//!
//! [`Threads::start`] starts the threads of each [`ThreadRole`]. [`Real`] is the handle to them,
//! which implements [`Runtime`]. Dropping the [`Threads`] stops the threads and waits for them.

// Only this module may call these methods; other code uses the trait that it implements.
#![allow(clippy::disallowed_methods)]

mod child;
mod disk;
mod net;
mod pool;
mod private;
mod raft;
mod signals;
mod socket_path;
mod timer;

use std::fmt;
use std::future::{Future, pending};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::runtime::Handle;

pub use child::confine;
pub use disk::{RealDisk, RealFile, RealLock};
pub use net::{RealListener, RealReader, RealStream, RealWriter};
pub use raft::RealRaft;
pub use socket_path::SocketPath;
pub use timer::RealSleep;

use crate::task::OnLostPanic;
use crate::{
    Ended, Instant, LatestReader, Polls, Program, Runtime, Signal, Task, TaskPanic, ThreadRole,
};
use pool::{Pool, Priority};

/// Guests have a lower priority than everything that serves clients.
const GUEST: Priority = Priority::Nice(5);
/// Compilation has a lower priority than guests, in this process and in a child.
const COMPILE: Priority = Priority::Nice(15);
/// How long a stopping runtime waits for a thread that is busy.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// The numbers of threads of the roles that have more than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RealConfig {
    /// Threads for clients and admin HTTP.
    pub client_threads: NonZeroUsize,
    /// Threads for recipes, assignors and procedures. As many more are started for guests that
    /// compute for long.
    pub guest_threads: NonZeroUsize,
}

impl Default for RealConfig {
    /// As many client threads as there are cores, and two for guests.
    fn default() -> Self {
        Self {
            client_threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            guest_threads: const { NonZeroUsize::new(2).unwrap() },
        }
    }
}

/// The handle to a running process's threads, clock, sockets and files.
#[derive(Clone)]
pub struct Real {
    inner: Arc<Inner>,
}

struct Inner {
    started: std::time::Instant,
    config: RealConfig,
    client: Handle,
    raft: Handle,
    raft_polls: Arc<Polls>,
    fsync: Pool,
    checkpoint: Pool,
    reading: Pool,
    guest: Pool,
    spare: Pool,
    compile: Pool,
    on_lost_panic: OnLostPanic,
}

/// The threads. Dropping this stops them, waits for those that are busy, and drops every task.
pub struct Threads {
    runtime: Real,
    client: Option<tokio::runtime::Runtime>,
    raft_stop: Signal,
    raft: Option<JoinHandle<()>>,
}

impl Threads {
    /// Starts the threads.
    pub fn start(config: RealConfig) -> io::Result<Self> {
        let client = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.client_threads.get())
            .thread_name(ThreadRole::Client.name())
            .enable_all()
            .build()?;
        let raft = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let pool =
            |role: ThreadRole, threads, priority| Pool::start(role.name(), threads, priority);
        let normal = Priority::Nice(0);
        let inner = Inner {
            started: std::time::Instant::now(),
            config,
            client: client.handle().clone(),
            raft: raft.handle().clone(),
            raft_polls: Arc::default(),
            fsync: pool(ThreadRole::Fsync, 1, normal)?,
            checkpoint: pool(ThreadRole::Checkpoint, 1, normal)?,
            reading: pool(ThreadRole::Reading, 1, normal)?,
            guest: pool(ThreadRole::Guest, config.guest_threads.get(), GUEST)?,
            spare: Pool::on_demand(
                ThreadRole::Spare.name(),
                config.guest_threads.get(),
                Priority::Idle,
            )?,
            compile: Pool::on_demand(ThreadRole::Compile.name(), 1, COMPILE)?,
            on_lost_panic: Arc::new(end_or_log),
        };
        let raft_stop = Signal::new();
        let (stop, polls) = (raft_stop.clone(), inner.raft_polls.clone());
        let raft = std::thread::Builder::new()
            .name(ThreadRole::Raft.name().to_owned())
            .spawn(move || {
                raft::begin(polls);
                raft.block_on(stop.wait());
                raft.shutdown_background();
            })?;
        Ok(Self {
            runtime: Real {
                inner: Arc::new(inner),
            },
            client: Some(client),
            raft_stop,
            raft: Some(raft),
        })
    }

    /// A handle to the threads.
    pub fn runtime(&self) -> Real {
        self.runtime.clone()
    }

    /// Runs `main` on the calling thread until it is done, while the other threads work.
    pub fn block_on<F: Future>(&self, main: F) -> F::Output {
        self.runtime.inner.client.block_on(main)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // The clients' threads stop first, then those that they wait for.
        if let Some(client) = self.client.take() {
            if Handle::try_current().is_ok() {
                client.shutdown_background(); // Waiting is not allowed inside a tokio runtime.
            } else {
                client.shutdown_timeout(STOP_GRACE);
            }
        }
        let inner = &self.runtime.inner;
        let pools = [
            &inner.guest,
            &inner.spare,
            &inner.compile,
            &inner.checkpoint,
            &inner.reading,
            &inner.fsync,
        ];
        self.raft_stop.raise();
        if let Some(raft) = self.raft.take()
            && raft.join().is_err()
        {
            tracing::error!("the raft thread panicked while it stopped");
        }
        for pool in pools {
            pool.close();
        }
        for pool in pools {
            if !pool.wait_ended(STOP_GRACE) {
                tracing::warn!("a thread is still busy at shutdown and is left behind");
            }
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}

/// Ends the process or logs, for a panic in a task that no other task awaits.
fn end_or_log(panic: &TaskPanic) {
    if panic.role.is_core() {
        let sentence = "the node stops, since it cannot go on without this task";
        // Writing to stderr may fail, and a panic because of that would hide this one.
        let _ = writeln!(io::stderr(), "innkeeper: {panic}; {sentence}");
        std::process::abort();
    }
    tracing::error!("{panic}");
}

impl Real {
    /// Starts the threads, runs `main` with a handle to them, and stops them when it is done.
    pub fn run<F, Fut>(config: RealConfig, main: F) -> io::Result<Fut::Output>
    where
        F: FnOnce(Real) -> Fut,
        Fut: Future,
    {
        let threads = Threads::start(config)?;
        let runtime = threads.runtime();
        Ok(threads.block_on(main(runtime)))
    }

    /// The tokio runtime for sockets and timers that are created on this thread. The raft thread
    /// has its own, so that peers' bytes and openraft's timers need no other thread; other threads
    /// use the clients' runtime.
    fn driver(&self) -> Handle {
        match Handle::try_current() {
            Ok(current) if current.id() == self.inner.raft.id() => current,
            _ => self.inner.client.clone(),
        }
    }
}

impl Runtime for Real {
    type Raft = RealRaft;
    type Disk = RealDisk;
    type Stream = RealStream;
    type Listener = RealListener;
    type Sleep = RealSleep;

    fn now(&self) -> Instant {
        let nanos = self.inner.started.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn wall_ms(&self) -> u64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let ms = since_1970.unwrap_or_default().as_millis();
        u64::try_from(ms).unwrap_or(u64::MAX)
    }

    fn sleep_until(&self, deadline: Instant) -> RealSleep {
        // If the clock cannot hold the deadline, a year from now is used instead.
        let started = self.inner.started;
        let deadline = started
            .checked_add(deadline.since_start())
            .unwrap_or(started + Duration::from_secs(365 * 86_400));
        RealSleep::until(&self.driver(), deadline)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the kernel gives random bytes");
    }

    #[track_caller]
    fn spawn<F>(&self, role: ThreadRole, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let inner = &self.inner;
        let (task, run) = Task::wrap(role, future, inner.on_lost_panic.clone());
        match role {
            ThreadRole::Raft => _ = inner.raft.spawn(raft::measured(run)),
            ThreadRole::Client | ThreadRole::Admin => _ = inner.client.spawn(run),
            ThreadRole::Fsync => inner.fsync.spawn(run),
            ThreadRole::Checkpoint => inner.checkpoint.spawn(run),
            ThreadRole::Reading => inner.reading.spawn(run),
            ThreadRole::Guest => inner.guest.spawn(run),
            ThreadRole::Spare => inner.spare.spawn(run),
            ThreadRole::Compile => inner.compile.spawn(run),
        }
        task
    }

    fn raft_polls(&self) -> Arc<Polls> {
        self.inner.raft_polls.clone()
    }

    fn threads(&self, role: ThreadRole) -> usize {
        match role {
            ThreadRole::Raft => 1,
            ThreadRole::Client | ThreadRole::Admin => self.inner.config.client_threads.get(),
            ThreadRole::Fsync => self.inner.fsync.threads(),
            ThreadRole::Checkpoint => self.inner.checkpoint.threads(),
            ThreadRole::Reading => self.inner.reading.threads(),
            ThreadRole::Guest => self.inner.guest.threads(),
            ThreadRole::Spare => self.inner.spare.threads(),
            ThreadRole::Compile => self.inner.compile.threads(),
        }
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        net::resolve(self.inner.client.clone(), name).await
    }

    async fn listen_tcp(&self, addr: SocketAddr) -> io::Result<RealListener> {
        net::listen_tcp(self.driver(), addr)
    }

    fn connect_tcp(&self, addr: SocketAddr) -> impl Future<Output = io::Result<RealStream>> + Send {
        net::inside(self.driver(), net::connect_tcp(addr))
    }

    async fn listen_unix(&self, path: &Path) -> io::Result<RealListener> {
        net::listen_unix(self.driver(), path)
    }

    async fn connect_unix(&self, path: &Path) -> io::Result<RealStream> {
        net::inside(self.driver(), net::connect_unix(path)).await
    }

    fn run_program(
        &self,
        program: Program,
        input: Vec<Bytes>,
        output_bytes_max: usize,
    ) -> impl Future<Output = io::Result<Ended>> + Send {
        // A child ends with the thread that started it, so the thread that reads the log starts it:
        // it outlives every child, unlike the threads for compilation, and may block while the
        // program is loaded.
        let (driver, inner) = (self.inner.client.clone(), Arc::clone(&self.inner));
        let start = move |start| inner.reading.spawn(start);
        child::run(driver, start, program, input, output_bytes_max)
    }

    fn terminated(&self) -> impl Future<Output = ()> + Send + 'static {
        let requested = signals::end_requested();
        async move {
            match requested {
                Some(requested) => requested.wait().await,
                None => pending().await,
            }
        }
    }

    fn reload_requests(&self) -> LatestReader<u64> {
        signals::reload_requests(&self.inner.client)
    }

    fn disk(&self, root: &Path) -> io::Result<RealDisk> {
        RealDisk::at(root)
    }
}

impl fmt::Debug for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Real")
    }
}
