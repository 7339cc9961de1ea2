//! The handle that a node in simulation gets: [`Runtime`] for one life of one host.

use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use openraft_rt_sim::SimSleep;

use super::disk::SimDisk;
use super::life::Life;
use super::machine::{Machine, is_over};
use super::raft::SimRaft;
use super::socket::{self, SimListener, SimStream};
use super::state::WorldState;
use crate::{
    Ended, Ending, Instant, Latest, LatestReader, Polls, Program, Runtime, Task, ThreadRole,
};

/// The handle to one host of a simulated world, for one of its lives.
///
/// Invariants:
/// - What is done through it happens on its host: tasks, sockets, disks, clocks and randomness.
/// - After the end of its life a task that is spawned is dropped, and opening a disk or a socket
///   fails.
#[derive(Clone)]
pub struct Simulated {
    home: Arc<Home>,
}

struct Home {
    world: Arc<WorldState>,
    machine: Arc<Machine>,
    life: Arc<Life>,
}

impl Simulated {
    pub(super) fn new(world: Arc<WorldState>, machine: Arc<Machine>, life: Arc<Life>) -> Self {
        Self {
            home: Arc::new(Home {
                world,
                machine,
                life,
            }),
        }
    }

    pub(super) fn life(&self) -> &Arc<Life> {
        &self.home.life
    }

    /// Makes the host's wall clock jump, forwards or backwards; the monotonic clock goes on.
    pub fn jump_wall_clock(&self, by_ms: i64) {
        self.home.machine.jump_wall_clock(by_ms);
    }

    /// The seed of the world.
    pub fn seed(&self) -> u64 {
        self.home.world.seed
    }

    fn check_alive(&self) -> io::Result<()> {
        if self.home.life.is_over() {
            return Err(is_over());
        }
        Ok(())
    }
}

impl Runtime for Simulated {
    type Raft = SimRaft;
    type Disk = SimDisk;
    type Stream = SimStream;
    type Listener = SimListener;
    type Sleep = SimSleep;

    fn now(&self) -> Instant {
        self.home.life.now()
    }

    fn wall_ms(&self) -> u64 {
        self.home.machine.wall_ms()
    }

    fn sleep_until(&self, deadline: Instant) -> SimSleep {
        self.home.life.sleep_until(deadline)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.home.machine.fill_random(bytes);
    }

    #[track_caller]
    fn spawn<F>(&self, role: ThreadRole, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.home.life.spawn(role, future)
    }

    fn raft_polls(&self) -> Arc<Polls> {
        Arc::default()
    }

    fn threads(&self, _role: ThreadRole) -> usize {
        1
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.home.world.resolve(name)
    }

    async fn listen_tcp(&self, addr: SocketAddr) -> io::Result<SimListener> {
        self.check_alive()?;
        let Home { machine, .. } = &*self.home;
        socket::listen_tcp(machine.net(), machine.id, addr)
    }

    async fn connect_tcp(&self, addr: SocketAddr) -> io::Result<SimStream> {
        self.check_alive()?;
        let Home { machine, .. } = &*self.home;
        socket::connect_tcp(machine.net().clone(), machine.id, addr).await
    }

    async fn listen_unix(&self, path: &Path) -> io::Result<SimListener> {
        self.check_alive()?;
        let Home { machine, .. } = &*self.home;
        Ok(socket::listen_unix(machine.net(), machine.id, path))
    }

    async fn connect_unix(&self, path: &Path) -> io::Result<SimStream> {
        self.check_alive()?;
        let Home { machine, .. } = &*self.home;
        socket::connect_unix(machine.net().clone(), machine.id, path).await
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
        self.check_alive()?;
        Ok(self.home.machine.disk(root))
    }
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Home { world, machine, .. } = &*self.home;
        write!(f, "Simulated({machine:?}, seed {})", world.seed)
    }
}
