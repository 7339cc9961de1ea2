//! One life of a simulated host: what runs on it from a start to its end.
//!
//! Every task of a host is held by a [`Shell`], which is what the executor sees. Before each poll
//! the shell looks at the host: a task of a stopped host is parked, a task of a dead one is
//! dropped. While a task is polled or dropped, its life is the current one of the thread; so the
//! static functions that openraft calls find their host.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use openraft_rt::AsyncRuntime;
use openraft_rt_sim::{SimRuntime, SimSleep};
use parking_lot::Mutex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use super::clock::{Rate, WorldClock};
use super::wires::HostId;
use crate::task::OnLostPanic;
use crate::{Instant, Task, ThreadRole};

thread_local! {
    static CURRENT: RefCell<Option<Arc<Life>>> = const { RefCell::new(None) };
}

type BoxedTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One life of a host.
///
/// Invariants:
/// - Once it is over, none of its tasks is polled again or has an output, and a task that is
///   spawned is dropped.
/// - While it is stopped, none of its tasks is polled; its clock goes on.
/// - Its monotonic clock starts at zero and runs at the host's rate.
pub(super) struct Life {
    /// The number of its host, for the trace.
    host: HostId,
    clock: Arc<WorldClock>,
    rate: Rate,
    born: Instant,
    random: Arc<Mutex<ChaCha8Rng>>,
    on_lost_panic: OnLostPanic,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    next_task: u64,
    tasks: BTreeMap<u64, Arc<Mutex<Slot>>>,
    parked: Vec<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Stopped,
    Over,
}

/// A task's future; `None` while it is polled and after its end.
struct Slot {
    future: Option<BoxedTask>,
    waker: Option<Waker>,
}

/// What the executor polls: a task behind the state of its host.
struct Shell {
    life: Arc<Life>,
    id: u64,
    slot: Arc<Mutex<Slot>>,
}

/// Makes a life the current one of the thread until it is dropped.
pub(super) struct Entered {
    before: Option<Arc<Life>>,
}

impl Life {
    pub(super) fn new(
        host: HostId,
        clock: Arc<WorldClock>,
        rate: Rate,
        random: Arc<Mutex<ChaCha8Rng>>,
        on_lost_panic: OnLostPanic,
    ) -> Arc<Self> {
        let born = clock.now();
        Arc::new(Self {
            host,
            clock,
            rate,
            born,
            random,
            on_lost_panic,
            state: Mutex::new(State {
                phase: Phase::Running,
                next_task: 0,
                tasks: BTreeMap::new(),
                parked: Vec::new(),
            }),
        })
    }

    /// The life whose task runs on this thread.
    #[track_caller]
    pub(super) fn current() -> Arc<Life> {
        let current = CURRENT.with_borrow(Clone::clone);
        current.expect("openraft's functions are called inside a task of a simulated host")
    }

    pub(super) fn enter(self: &Arc<Self>) -> Entered {
        Entered {
            before: CURRENT.replace(Some(self.clone())),
        }
    }

    /// Now, on the host's monotonic clock.
    pub(super) fn now(&self) -> Instant {
        Instant::default() + self.rate.local(self.clock.now() - self.born)
    }

    /// Waits until the host's monotonic clock shows `deadline`.
    pub(super) fn sleep_until(&self, deadline: Instant) -> SimSleep {
        let due = self.born + self.rate.world(deadline.since_start());
        self.clock.sleep_until(due)
    }

    /// How much time of the world passes until the host's monotonic clock shows `deadline`.
    pub(super) fn until(&self, deadline: Instant) -> Duration {
        let due = self.born + self.rate.world(deadline.since_start());
        due.since(self.clock.now())
    }

    pub(super) fn random_u64(&self) -> u64 {
        let number = self.random.lock().next_u64();
        self.clock
            .note(format_args!("{} random {number}", self.host));
        number
    }

    pub(super) fn is_over(&self) -> bool {
        self.state.lock().phase == Phase::Over
    }

    /// Runs `future` as a task of this life. A task that ends its own host has no output.
    #[track_caller]
    pub(super) fn spawn<F>(self: &Arc<Self>, role: ThreadRole, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let life = self.clone();
        let future = async move {
            let output = future.await;
            if life.is_over() {
                pending::<()>().await;
            }
            output
        };
        let (task, run) = Task::wrap(role, future, self.on_lost_panic.clone());
        self.start(Box::pin(run));
        task
    }

    /// Gives a task to the executor.
    pub(super) fn start(self: &Arc<Self>, future: BoxedTask) {
        let mut state = self.state.lock();
        if state.phase == Phase::Over {
            drop(state);
            return drop(future);
        }
        let slot = Arc::new(Mutex::new(Slot {
            future: Some(future),
            waker: None,
        }));
        let id = state.next_task;
        state.next_task += 1;
        state.tasks.insert(id, slot.clone());
        self.clock.note(format_args!("{} spawn {id}", self.host));
        drop(state);
        let life = self.clone();
        drop(SimRuntime::spawn(Shell { life, id, slot }));
    }

    /// Runs a future that no executor holds as a part of this life.
    pub(super) async fn run<F: Future>(self: &Arc<Self>, main: F) -> F::Output {
        let mut main = Box::pin(main);
        let output = poll_fn(|cx| {
            if self.park(cx.waker()) {
                return Poll::Pending;
            }
            self.clock.note(format_args!("{} main", self.host));
            let _entered = self.enter();
            main.as_mut().poll(cx)
        })
        .await;
        let _entered = self.enter();
        drop(main);
        output
    }

    /// If the host is stopped, keeps the waker until it goes on, and returns true.
    fn park(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        let stopped = state.phase == Phase::Stopped;
        if stopped && !state.parked.iter().any(|parked| parked.will_wake(waker)) {
            state.parked.push(waker.clone());
        }
        stopped
    }

    /// Stops polling the tasks. Returns false if the life is over.
    pub(super) fn stop(&self) -> bool {
        self.change(Phase::Stopped)
    }

    /// Goes on after [`Life::stop`]. Returns false if the life is over.
    pub(super) fn resume(&self) -> bool {
        let changed = self.change(Phase::Running);
        let parked = std::mem::take(&mut self.state.lock().parked);
        parked.into_iter().for_each(Waker::wake);
        changed
    }

    fn change(&self, phase: Phase) -> bool {
        let mut state = self.state.lock();
        if state.phase == Phase::Over {
            return false;
        }
        self.clock.note(format_args!("{} {phase:?}", self.host));
        state.phase = phase;
        true
    }

    /// Ends the life. The caller decides when what is left of it is [dropped](Rest::bury).
    pub(super) fn end(self: &Arc<Self>) -> Rest {
        let mut state = self.state.lock();
        state.phase = Phase::Over;
        let slots = std::mem::take(&mut state.tasks).into_values().collect();
        let parked = std::mem::take(&mut state.parked);
        drop(state);
        parked.into_iter().for_each(Waker::wake);
        Rest {
            life: self.clone(),
            slots,
        }
    }
}

/// The tasks of a life that is over.
#[must_use = "bury or leave them"]
pub(super) struct Rest {
    life: Arc<Life>,
    slots: Vec<Arc<Mutex<Slot>>>,
}

impl Rest {
    /// Drops every task now. The caller must hold no lock that a task may want while it is
    /// dropped.
    pub(super) fn bury(self) {
        for slot in &self.slots {
            let future = slot.lock().future.take();
            let _entered = self.life.enter();
            drop(future);
        }
        self.leave();
    }

    /// Lets the executor drop the tasks, before time goes on.
    pub(super) fn leave(self) {
        for slot in self.slots {
            let waker = slot.lock().waker.take();
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

impl Shell {
    /// Drops the task, if it is still there.
    fn finish(&self) {
        self.life.state.lock().tasks.remove(&self.id);
        let future = self.slot.lock().future.take();
        let _entered = self.life.enter();
        drop(future);
    }
}

impl Future for Shell {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.life.park(cx.waker()) {
            return Poll::Pending;
        }
        if self.life.is_over() {
            self.finish();
            return Poll::Ready(());
        }
        let Some(mut future) = self.slot.lock().future.take() else {
            return Poll::Ready(());
        };
        let life = &self.life;
        life.clock
            .note(format_args!("{} poll {}", life.host, self.id));
        let entered = life.enter();
        let polled = future.as_mut().poll(cx);
        drop(entered);
        let mut slot = self.slot.lock();
        slot.future = Some(future);
        slot.waker = Some(cx.waker().clone());
        drop(slot);
        // The task may have ended its own host.
        if polled.is_ready() || self.life.is_over() {
            self.finish();
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { phase, tasks, .. } = &*self.state.lock();
        write!(f, "Life({phase:?}, {} tasks)", tasks.len())
    }
}
