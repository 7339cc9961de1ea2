//! A host of a simulated world, as the test sees it: its life, its death and its clock.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::disk::SimDisk;
use super::machine::{Ends, Machine};
use super::simulated::Simulated;
use super::state::WorldState;
use super::wires::HostId;

/// A host of a [`World`](super::World). Clones are the same host.
///
/// A host is off until it is [started](Host::start). Its name, address, disks, wall clock and
/// random stream go on from one life to the next; tasks, sockets, open files and the monotonic
/// clock do not.
#[derive(Clone)]
pub struct Host {
    world: Arc<WorldState>,
    machine: Arc<Machine>,
}

/// A process that runs on a host. Awaiting it gives the output of its main function; if it is
/// dropped, the process runs on.
#[must_use = "await the process, or detach it"]
pub struct Process<T> {
    output: oneshot::Receiver<T>,
}

/// The error of a [`Process`] that was ended before its main function returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the process was ended before its main function returned")]
pub struct Died;

impl Host {
    pub(super) fn new(world: Arc<WorldState>, machine: Arc<Machine>) -> Self {
        machine.follow_disks();
        Self { world, machine }
    }

    pub(super) fn id(&self) -> HostId {
        self.machine.id
    }

    /// The name that [`Runtime::resolve`](crate::Runtime::resolve) finds on every host.
    pub fn name(&self) -> &str {
        &self.machine.name
    }

    /// The host's address. Each host has also loopback addresses of its own.
    pub fn address(&self) -> IpAddr {
        self.machine.address.into()
    }

    /// Starts the host, and switches its machine on if it had lost power, with the disks that
    /// survived. The handle is good for this life.
    ///
    /// # Panics
    ///
    /// If the host runs.
    pub fn boot(&self) -> Simulated {
        let life = self.machine.begin();
        Simulated::new(self.world.clone(), self.machine.clone(), life)
    }

    /// Starts the host and runs `main` on it. When `main` returns, the process ends and everything
    /// that it left running is dropped. If `main` panics, the host ends and the run fails.
    ///
    /// # Panics
    ///
    /// If the host runs.
    pub fn start<F, Fut>(&self, main: F) -> Process<Fut::Output>
    where
        F: FnOnce(Simulated) -> Fut,
        Fut: Future + Send + 'static,
        Fut::Output: Send + 'static,
    {
        let runtime = self.boot();
        let life = runtime.life().clone();
        let main = {
            let _entered = life.enter();
            main(runtime)
        };
        let machine = self.machine.clone();
        let (sender, output) = oneshot::channel();
        let own = life.clone();
        life.start(Box::pin(async move {
            match AssertUnwindSafe(main).catch_unwind().await {
                // It lost power in its last moment, so it has no output.
                Ok(_) if own.is_over() => {}
                Ok(output) => {
                    // If the process is not awaited, its output is of no interest.
                    _ = sender.send(output);
                    machine.end(Ends::Exit);
                }
                Err(payload) => {
                    let message = crate::task::message_of(payload.as_ref());
                    machine.panicked(format!("its main function panicked: {message}"));
                }
            }
        }));
        Process { output }
    }

    /// Whether the host has a life. A stopped host has one.
    pub fn is_running(&self) -> bool {
        self.machine.life().is_some()
    }

    /// Kills the host's process, as SIGKILL does. In one step its tasks are gone, its connections
    /// are reset and its listeners closed. What it wrote to its disks and did not sync is kept.
    /// Returns false if the host did not run.
    pub fn kill(&self) -> bool {
        self.machine.end(Ends::Kill)
    }

    /// Cuts the power of the host's machine. In one step its tasks are gone, and so are the writes
    /// that were not synced, as [its disks](SimDisk::set_unsynced) decide. The other hosts hear
    /// nothing: bytes to it wait, and connecting to it takes until the time limit. After the next
    /// start the machine answers bytes of an old connection with a reset. Returns false if the
    /// host did not run.
    pub fn cut_power(&self) -> bool {
        self.machine.end(Ends::PowerCut)
    }

    /// Stops the host's process, as SIGSTOP does: nothing of it is polled. Its clocks go on, and
    /// its machine still takes connections and bytes. Returns false if the host does not run.
    pub fn stop(&self) -> bool {
        self.machine.life().is_some_and(|life| life.stop())
    }

    /// Lets a stopped process go on. Returns false if the host does not run.
    pub fn resume(&self) -> bool {
        self.machine.life().is_some_and(|life| life.resume())
    }

    /// Makes the host's wall clock jump, forwards or backwards; the monotonic clock goes on.
    pub fn jump_wall_clock(&self, by_ms: i64) {
        self.machine.jump_wall_clock(by_ms);
    }

    /// The disk at a folder of the host, for planning faults and for looking at what survived. The
    /// handle is that of the present life; the faults of [`SimDisk`] can be planned through an old
    /// one, too. They stay from one life to the next until they are [ended](SimDisk::heal). A disk
    /// that [cuts the power](SimDisk::cut_at_sync) cuts that of the whole machine.
    pub fn disk(&self, root: impl AsRef<Path>) -> SimDisk {
        self.machine.disk(root.as_ref())
    }

    /// Puts a disk at a folder of the host, which must be off.
    pub fn mount(&self, root: impl Into<PathBuf>, disk: SimDisk) {
        self.machine.mount(root.into(), disk);
    }

    /// From now on a panic ends only this host and is kept for [`Host::take_panics`]. Without this
    /// it also fails the run.
    pub fn expect_panic(&self) {
        self.machine.expect_panic();
    }

    /// The messages of the panics that ended this host since the last call.
    pub fn take_panics(&self) -> Vec<String> {
        self.machine.take_panics()
    }
}

impl<T> Process<T> {
    /// Lets the process run on by itself.
    pub fn detach(self) {}
}

impl<T> Future for Process<T> {
    type Output = Result<T, Died>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let received = Pin::new(&mut self.output).poll(cx);
        received.map(|output| output.map_err(|_| Died))
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address: Ipv4Addr = self.machine.address;
        write!(f, "Host({} at {address})", self.name())
    }
}

impl<T> fmt::Debug for Process<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Process")
    }
}
