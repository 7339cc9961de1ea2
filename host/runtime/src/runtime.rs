//! The seam between the host and the world.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use openraft_rt::AsyncRuntime;

use crate::{
    Disk, Elapsed, Ended, Instant, Interval, LatestReader, Listener, Program, Select2, Stream,
    Task, ThreadRole, select2,
};

/// Everything that is not a pure function of its input: a cheap handle, passed by value.
///
/// Invariants:
/// - Two handles that are clones of each other are the same runtime: one clock, one network, one
///   set of threads.
/// - Every method may be called from a task of any role, and the futures it returns may be
///   awaited there.
/// - Of the same simulation, with the same seed, every run is the same run.
pub trait Runtime: Clone + Send + Sync + fmt::Debug + 'static {
    /// What openraft calls by static functions. They work inside a task of [`ThreadRole::Raft`].
    type Raft: AsyncRuntime;
    /// Where files are.
    type Disk: Disk;
    /// A connection.
    type Stream: Stream;
    /// A listening socket.
    type Listener: Listener<Stream = Self::Stream>;
    /// What [`Runtime::sleep`] returns.
    type Sleep: Future<Output = ()> + Send + Unpin + fmt::Debug + 'static;

    /// Now, on the monotonic clock.
    fn now(&self) -> Instant;

    /// Now, on the wall clock, in milliseconds since 1970. It may jump, also backwards; nothing
    /// may depend on it but what is shown to people and the time that the leader stamps.
    fn wall_ms(&self) -> u64;

    /// Waits until `deadline`.
    fn sleep_until(&self, deadline: Instant) -> Self::Sleep;

    /// Waits for `duration`.
    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.sleep_until(self.now() + duration)
    }

    /// Runs `future` for at most `limit`; of a result and the limit at the same moment, the
    /// result wins.
    fn timeout<F>(
        &self,
        limit: Duration,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Elapsed>> + Send
    where
        F: Future + Send,
        F::Output: Send,
    {
        let sleep = self.sleep(limit);
        async move {
            match select2(future, sleep).await {
                Select2::First(output) => Ok(output),
                Select2::Second(()) => Err(Elapsed),
            }
        }
    }

    /// Ticks every `period`; a late tick counts as one.
    fn interval(&self, period: Duration) -> Interval<Self> {
        Interval::new(self.clone(), period)
    }

    /// Fills `bytes` with randomness fit for passwords and session ids.
    fn fill_random(&self, bytes: &mut [u8]);

    /// A random number.
    fn random_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_random(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Starts a task on the threads of its role.
    #[track_caller]
    fn spawn<F>(&self, role: ThreadRole, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// How many threads a role has, so that pools can be sized from it.
    fn threads(&self, role: ThreadRole) -> usize;

    /// Listens on a TCP address; port 0 picks a free one. All addresses, in whatever spelling
    /// (`0.0.0.0`, `::`), are those of both families on one port, or of IPv4 alone where there is
    /// no IPv6. A client that comes by IPv4 has an address of IPv4 on every such socket.
    fn listen_tcp(
        &self,
        addr: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Connects to a TCP address.
    fn connect_tcp(
        &self,
        addr: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Listens on a Unix socket that only this user may connect to (mode 0600). A socket file
    /// that a dead process left there is replaced; the caller holds the data folder's lock, so
    /// that it cannot be a living one's. The path may have any length that a file's may have.
    fn listen_unix(&self, path: &Path) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Connects to a Unix socket, whose path may have any length.
    fn connect_unix(&self, path: &Path) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Runs a program as a process of its own until it ends: `input` goes to its stdin, and it is
    /// killed if it writes more than `output_bytes_max` to stdout. Dropping the future kills it.
    /// It gets no environment and no open file but its three streams. The error is the system's,
    /// where the program cannot be started.
    ///
    /// In simulation the program's [stand-in](Program::stand_in) runs instead.
    fn run_program(
        &self,
        program: Program,
        input: Vec<Bytes>,
        output_bytes_max: usize,
    ) -> impl Future<Output = io::Result<Ended>> + Send;

    /// Waits until the process is asked to end (SIGTERM or SIGINT); returns at once if it was. From
    /// the call on, the first such signal is a request, and the second ends the process at once,
    /// with exit code 128 and the signal's number. In simulation nobody asks.
    fn terminated(&self) -> impl Future<Output = ()> + Send + 'static;

    /// How often the process was asked to read its files again (SIGHUP), from the call on, since
    /// when the signal ends it no more. In simulation nobody asks.
    fn reload_requests(&self) -> LatestReader<u64>;

    /// The disk whose root is the folder `root`, which is made, with its parents, if it does not
    /// exist.
    fn disk(&self, root: &Path) -> io::Result<Self::Disk>;
}
