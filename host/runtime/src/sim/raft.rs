//! The runtime that openraft gets in simulation: its static functions act for the host whose task
//! calls them.

use std::fmt;
use std::future::Future;
use std::io;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use openraft_rt::{AsyncRuntime, OptionalSend};
use openraft_rt_sim::{SimRuntime, SimSleep};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::life::Life;
use crate::{Instant, Task, TaskError, ThreadRole};

/// openraft subtracts time limits from instants, so its clock starts one day in, as the clock of
/// openraft's own simulated runtime does.
const START: Duration = Duration::from_secs(86_400);

/// openraft's simulated runtime, for many hosts.
///
/// Invariants:
/// - A task belongs to the host whose task spawned it, and the clock, the timers and the
///   randomness are those of this host.
/// - Every function except the channels' panics outside a task of a host.
#[derive(Debug)]
pub struct SimRaft {
    executor: SimRuntime,
}

/// A point of a host's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostInstant(Instant);

impl HostInstant {
    /// The same point, counted from the start of the host's life.
    fn of_life(self) -> Instant {
        self.0 - START
    }
}

impl openraft_rt::Instant for HostInstant {
    #[track_caller]
    fn now() -> Self {
        Self(Life::current().now() + START)
    }
}

impl Add<Duration> for HostInstant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0 + rhs)
    }
}

impl AddAssign<Duration> for HostInstant {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl Sub<Duration> for HostInstant {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0 - rhs)
    }
}

impl SubAssign<Duration> for HostInstant {
    fn sub_assign(&mut self, rhs: Duration) {
        *self = *self - rhs;
    }
}

impl Sub for HostInstant {
    type Output = Duration;

    fn sub(self, rhs: Self) -> Duration {
        self.0 - rhs.0
    }
}

/// The handle of a task that openraft spawned. If it is dropped, the task runs on.
#[derive(Debug)]
pub struct SimJoin<T>(Task<T>);

impl<T> Future for SimJoin<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// A stream of random numbers that a host's own stream has seeded.
pub struct HostRng(ChaCha8Rng);

impl rand_core::TryRng for HostRng {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.0.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl fmt::Debug for HostRng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostRng")
    }
}

impl AsyncRuntime for SimRaft {
    type JoinError = TaskError;
    type JoinHandle<T: OptionalSend + 'static> = SimJoin<T>;
    type Sleep = SimSleep;
    type Instant = HostInstant;
    type TimeoutError = <SimRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> =
        <SimRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = HostRng;
    type Mpsc = <SimRuntime as AsyncRuntime>::Mpsc;
    type Watch = <SimRuntime as AsyncRuntime>::Watch;
    type Oneshot = <SimRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <SimRuntime as AsyncRuntime>::Mutex<T>;

    #[track_caller]
    fn spawn<T>(future: T) -> SimJoin<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        SimJoin(Life::current().spawn(ThreadRole::Raft, future))
    }

    #[track_caller]
    fn sleep(duration: Duration) -> SimSleep {
        let life = Life::current();
        life.sleep_until(life.now() + duration)
    }

    #[track_caller]
    fn sleep_until(deadline: HostInstant) -> SimSleep {
        Life::current().sleep_until(deadline.of_life())
    }

    #[track_caller]
    fn timeout<R, F>(duration: Duration, future: F) -> Self::Timeout<R, F>
    where
        F: Future<Output = R> + OptionalSend,
    {
        let life = Life::current();
        SimRuntime::timeout(life.until(life.now() + duration), future)
    }

    #[track_caller]
    fn timeout_at<R, F>(deadline: HostInstant, future: F) -> Self::Timeout<R, F>
    where
        F: Future<Output = R> + OptionalSend,
    {
        SimRuntime::timeout(Life::current().until(deadline.of_life()), future)
    }

    fn is_panic(join_error: &TaskError) -> bool {
        matches!(join_error, TaskError::Panicked(_))
    }

    #[track_caller]
    fn thread_rng() -> HostRng {
        HostRng(ChaCha8Rng::seed_from_u64(Life::current().random_u64()))
    }

    fn new(threads: usize) -> Self {
        Self {
            executor: SimRuntime::new(threads),
        }
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.executor.block_on(future)
    }

    fn spawn_blocking<F, T>(work: F) -> impl Future<Output = Result<T, io::Error>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        SimRuntime::spawn_blocking(work)
    }
}
