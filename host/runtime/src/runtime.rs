//! The trait between the host and the outside world.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft_rt::AsyncRuntime;

use crate::{
    Disk, Elapsed, Ended, Instant, Interval, LatestReader, Listener, Polls, Program, Select2,
    Stream, Task, ThreadRole, select2,
};

/// Clock, randomness, sockets, threads, processes and files. It is a cheap handle, passed by value.
///
/// Invariants:
/// - Clones of a handle are the same runtime: one clock, one network, one set of threads.
/// - Every method may be called from a task of any role, and its future may be awaited there.
/// - In simulation, two runs of the same code with the same seed are equal.
pub trait Runtime: Clone + Send + Sync + fmt::Debug + 'static {
    /// The type whose static functions openraft calls. They work inside a task of
    /// [`ThreadRole::Raft`].
    type Raft: AsyncRuntime;
    /// The disk, which holds the files.
    type Disk: Disk;
    /// A connection.
    type Stream: Stream;
    /// A listening socket.
    type Listener: Listener<Stream = Self::Stream>;
    /// The future that [`Runtime::sleep`] returns.
    type Sleep: Future<Output = ()> + Send + Unpin + fmt::Debug + 'static;

    /// Now, on the monotonic clock.
    fn now(&self) -> Instant;

    /// Now, on the wall clock, in milliseconds since 1970. It may jump, also backwards. It may be
    /// used only for what people see and for the time that the leader puts into commands.
    fn wall_ms(&self) -> u64;

    /// Waits until `deadline`.
    fn sleep_until(&self, deadline: Instant) -> Self::Sleep;

    /// Waits for `duration`.
    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.sleep_until(self.now() + duration)
    }

    /// Runs `future` for at most `limit`. If the result and the limit come at the same moment, the
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

    /// Fills `bytes` with random bytes, which are good enough for passwords and session ids.
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

    /// How long tasks of [`ThreadRole::Raft`] have held their thread, openraft's own among them.
    fn raft_polls(&self) -> Arc<Polls>;

    /// The number of threads of a role, for the sizes of pools.
    fn threads(&self, role: ThreadRole) -> usize;

    /// The addresses of a host, by its name or by an address in digits. There is at least one; a
    /// name that nobody knows is an error. It takes as long as the system's resolver does, which
    /// may be many seconds.
    fn resolve(&self, name: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send;

    /// Listens on a TCP address; port 0 picks a free one. Both spellings of "all addresses",
    /// `0.0.0.0` and `::`, mean the addresses of IPv4 and IPv6 on one port, or of IPv4 alone if
    /// there is no IPv6. A client that connects by IPv4 has an IPv4 address on each such socket.
    fn listen_tcp(
        &self,
        addr: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Connects to a TCP address.
    fn connect_tcp(
        &self,
        addr: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Listens on a Unix socket to which only this user may connect (mode 0600). An existing socket
    /// file is replaced: the caller holds the data folder's lock, so no living process uses it. The
    /// path may be as long as the path of a file.
    fn listen_unix(&self, path: &Path) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Connects to a Unix socket. The path may be as long as the path of a file.
    fn connect_unix(&self, path: &Path) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Runs a program as a process of its own until it ends. `input` goes to its stdin. It is
    /// killed if it writes more than `output_bytes_max` bytes to stdout, or if the future is
    /// dropped. It gets no environment and no open file except its three streams. The error is the
    /// system's, if the program cannot be started.
    ///
    /// In simulation the program's [stand-in](Program::stand_in) runs instead.
    fn run_program(
        &self,
        program: Program,
        input: Vec<Bytes>,
        output_bytes_max: usize,
    ) -> impl Future<Output = io::Result<Ended>> + Send;

    /// Waits until the process is asked to end (SIGTERM or SIGINT), and returns at once if that has
    /// happened already. After this call the first such signal is a request; the second one ends
    /// the process at once, with an exit code of 128 plus the signal's number. In simulation it
    /// waits for ever.
    fn terminated(&self) -> impl Future<Output = ()> + Send + 'static;

    /// How often the process was asked since this call to read its files again (SIGHUP). After this
    /// call the signal does not end the process. In simulation it stays 0.
    fn reload_requests(&self) -> LatestReader<u64>;

    /// The disk whose root is the folder `root`. The folder and its parents are created if they do
    /// not exist.
    fn disk(&self, root: &Path) -> io::Result<Self::Disk>;
}
