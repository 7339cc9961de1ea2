//! Threads whose tasks may block: the log's syncs, checkpoints, guests, compilation.
//!
//! 1. [`Pool::spawn`] puts a job on the queue.
//! 2. A free thread of the pool takes the oldest job and polls it. The job may block this thread
//!    for any time; the other threads go on.
//! 3. A job that waits is only in the pool's list of live jobs. Its waker puts it back on the
//!    queue.
//!
//! It is not a tokio runtime, because tokio keeps a woken task for the thread that woke it, where
//! the task would wait behind a guest that computes.
//!
//! A pool of a very low priority works [on demand](Pool::on_demand): a thread at the priority of
//! the process waits for jobs and starts the threads that work, which end a moment after the queue
//! is empty ([`LINGER`]).
//! The reason is the death of the process. A killed process closes its sockets when its last
//! thread ends, and a thread needs a processor to end. On a busy machine a waiting thread of
//! `SCHED_IDLE` got none for up to 700 ms, and so long the group did not notice that its leader
//! was dead. A thread cannot raise its priority while it waits: that takes privileges.
//!
//! **Invariant:** a thread that waits for jobs for longer than a moment has no lower priority than
//! `guest`, so a process whose guests and modules rest is dead at once when it is killed. (test:
//! `threads_that_wait_do_not_hold_up_the_death_of_the_process`)

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// The lowest priority.
const NICE_MOST: i32 = 19;

/// How long a thread that was started on demand waits for another job. Jobs that follow each other
/// would start a thread each: a hundred endless guests started 5,000 a second, which cost clients
/// more than the guests did. (test: `jobs_that_follow_each_other_start_one_thread`)
const LINGER: Duration = Duration::from_millis(50);

/// How long a pool waits after it could not start a thread.
const START_AGAIN: Duration = Duration::from_millis(100);

type BoxedJob = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The priority of a pool's threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// Nicer by so much than the process was when its threads were started, up to 19, which is the
    /// lowest priority. So a node that was started with `nice` keeps the order of its threads.
    Nice(i32),
    /// The threads run only while a processor has nothing else to do (`SCHED_IDLE`). The kernel
    /// treats a processor that runs only such threads as idle, and a thread that wakes runs there
    /// at once. With any nice value it does not: a thread that wakes would wait for the other
    /// processors, up to a hundred milliseconds, until the kernel balances the load.
    Idle,
}

impl Priority {
    /// Gives the calling thread this priority.
    pub(super) fn take(self) -> io::Result<()> {
        match self {
            Priority::Nice(0) => Ok(()),
            // On Linux `None`, "this process", means only the calling thread.
            Priority::Nice(nicer) => {
                let own = rustix::process::getpriority_process(None)?;
                let nice = (own + nicer).min(NICE_MOST);
                Ok(rustix::process::setpriority_process(None, nice)?)
            }
            Priority::Idle => {
                let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
                set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy)
                    .map_err(|error| io::Error::other(format!("{error:?}")))
            }
        }
    }
}

/// A set of threads and their jobs.
///
/// Invariants:
/// - A job is in the queue at most once, so the queue is bounded by the number of live jobs.
/// - A job is polled by one thread at a time; a wake during its poll makes it run again.
/// - After [`Pool::close`] no job is polled any more, and each is dropped: by `close`, or by the
///   thread that was polling it at that moment.
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: usize,
}

struct Shared {
    name: &'static str,
    state: Mutex<State>,
    work_came: Condvar,
    /// For the threads that linger.
    work_goes_on: Condvar,
    thread_ended: Condvar,
}

struct State {
    queue: VecDeque<Arc<Job>>,
    live: BTreeMap<u64, Arc<Job>>,
    next_id: u64,
    closed: bool,
    threads_running: usize,
    /// How many of them were started on demand.
    on_demand: usize,
    /// How many of those wait for another job.
    lingering: usize,
}

struct Job {
    id: u64,
    pool: Weak<Shared>,
    phase: Mutex<Phase>,
    future: Mutex<Option<BoxedJob>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Queued,
    Running,
    WokenWhileRunning,
    Done,
}

impl Pool {
    /// Starts `threads` threads, which lower their priority at once.
    pub(super) fn start(
        name: &'static str,
        threads: usize,
        priority: Priority,
    ) -> io::Result<Self> {
        let pool = Self::new(name, threads);
        for _ in 0..threads {
            pool.start_thread(move |shared| shared.work(priority))?;
        }
        Ok(pool)
    }

    /// Starts one thread, which starts up to `threads` others with this priority when there are
    /// jobs.
    pub(super) fn on_demand(
        name: &'static str,
        threads: usize,
        priority: Priority,
    ) -> io::Result<Self> {
        let pool = Self::new(name, threads);
        pool.start_thread(move |shared| shared.start_on_demand(threads, priority))?;
        Ok(pool)
    }

    fn new(name: &'static str, threads: usize) -> Self {
        let shared = Arc::new(Shared {
            name,
            state: Mutex::new(State {
                queue: VecDeque::new(),
                live: BTreeMap::new(),
                next_id: 0,
                closed: false,
                threads_running: 0,
                on_demand: 0,
                lingering: 0,
            }),
            work_came: Condvar::new(),
            work_goes_on: Condvar::new(),
            thread_ended: Condvar::new(),
        });
        Self { shared, threads }
    }

    fn start_thread(&self, run: impl FnOnce(&Arc<Shared>) + Send + 'static) -> io::Result<()> {
        let started = self.shared.start_thread(run);
        if started.is_err() {
            self.close();
        }
        started
    }

    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Adds a job. In a closed pool it is dropped at once.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.shared.state.lock();
        if state.closed {
            drop(state);
            return;
        }
        let id = state.next_id;
        state.next_id += 1;
        let job = Arc::new(Job {
            id,
            pool: Arc::downgrade(&self.shared),
            phase: Mutex::new(Phase::Queued),
            future: Mutex::new(Some(Box::pin(future))),
        });
        state.live.insert(id, job.clone());
        self.shared.add(state, job);
    }

    /// Ends the threads after their present polls, and drops all jobs.
    pub(super) fn close(&self) {
        let live = {
            let mut state = self.shared.state.lock();
            state.closed = true;
            state.queue.clear();
            std::mem::take(&mut state.live)
        };
        self.shared.work_came.notify_all();
        self.shared.work_goes_on.notify_all();
        for job in live.into_values() {
            job.discard();
        }
    }

    /// Waits until the threads have ended, but no longer than `grace`; returns whether they have.
    pub(super) fn wait_ended(&self, grace: Duration) -> bool {
        let mut state = self.shared.state.lock();
        let timed_out = self
            .shared
            .thread_ended
            .wait_while_for(&mut state, |state| state.threads_running > 0, grace)
            .timed_out();
        !timed_out
    }
}

impl Shared {
    fn start_thread(
        self: &Arc<Self>,
        run: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> io::Result<()> {
        self.state.lock().threads_running += 1;
        let shared = self.clone();
        let started = std::thread::Builder::new()
            .name(self.name.to_owned())
            .spawn(move || {
                run(&shared);
                shared.ended();
            });
        if started.is_err() {
            self.ended();
        }
        started.map(drop)
    }

    fn ended(&self) {
        self.state.lock().threads_running -= 1;
        self.thread_ended.notify_all();
    }

    fn lower(&self, priority: Priority) {
        if let Err(error) = priority.take() {
            tracing::warn!(thread = self.name, %error, "cannot lower a thread's priority");
        }
    }

    fn work(&self, priority: Priority) {
        self.lower(priority);
        while let Some(job) = self.next_job() {
            self.poll(&job);
        }
    }

    /// Starts a thread whenever a job waits that no lingering thread takes, and fewer than `most` of
    /// them work.
    fn start_on_demand(self: &Arc<Self>, most: usize, priority: Priority) {
        while self.is_wanted(most) {
            let started = self.start_thread(move |shared| {
                shared.lower(priority);
                while let Some(job) = shared.next_job_soon() {
                    shared.poll(&job);
                }
            });
            if let Err(error) = started {
                tracing::warn!(thread = self.name, %error, "cannot start a thread, and tries again");
                let mut state = self.state.lock();
                state.on_demand -= 1;
                self.work_came.wait_for(&mut state, START_AGAIN);
            }
        }
    }

    /// Waits until another thread is wanted, and counts it. False if the pool is closed.
    fn is_wanted(&self, most: usize) -> bool {
        let mut state = self.state.lock();
        while !state.closed && (!state.wants_a_thread() || state.on_demand >= most) {
            self.work_came.wait(&mut state);
        }
        state.on_demand += usize::from(!state.closed);
        !state.closed
    }

    /// The next job for a thread that was started on demand. If none comes for a moment, the thread
    /// no longer counts.
    fn next_job_soon(&self) -> Option<Arc<Job>> {
        let mut state = self.state.lock();
        state.lingering += 1;
        self.work_goes_on.wait_while_for(
            &mut state,
            |state| !state.closed && state.queue.is_empty(),
            LINGER,
        );
        state.lingering -= 1;
        let job = match state.closed {
            true => None,
            false => state.queue.pop_front(),
        };
        state.on_demand -= usize::from(job.is_none());
        job
    }

    fn next_job(&self) -> Option<Arc<Job>> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.queue.pop_front() {
                return Some(job);
            }
            self.work_came.wait(&mut state);
        }
    }

    fn poll(&self, job: &Arc<Job>) {
        *job.phase.lock() = Phase::Running;
        let Some(mut future) = job.future.lock().take() else {
            return;
        };
        let waker = Waker::from(job.clone());
        // The task's wrapper returns panics of the task's code. This catches a panic while the task
        // is dropped, so that the thread survives.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            future.as_mut().poll(&mut Context::from_waker(&waker))
        }));
        if matches!(polled, Ok(Poll::Pending)) {
            *job.future.lock() = Some(future);
            let mut phase = job.phase.lock();
            if *phase == Phase::WokenWhileRunning {
                *phase = Phase::Queued;
                drop(phase);
                self.enqueue(job.clone());
            } else {
                *phase = Phase::Waiting;
            }
        } else {
            *job.phase.lock() = Phase::Done;
            self.state.lock().live.remove(&job.id);
            if catch_unwind(AssertUnwindSafe(|| drop(future))).is_err() {
                tracing::error!(thread = self.name, "a task panicked while it was dropped");
            }
        }
        if self.state.lock().closed {
            job.discard();
        }
    }

    fn enqueue(&self, job: Arc<Job>) {
        let state = self.state.lock();
        if !state.closed {
            self.add(state, job);
        }
    }

    /// Adds a job to the queue, and wakes a thread for it.
    fn add(&self, mut state: MutexGuard<'_, State>, job: Arc<Job>) {
        state.queue.push_back(job);
        let wakes = match state.wants_a_thread() {
            true => &self.work_came,
            false => &self.work_goes_on,
        };
        drop(state);
        wakes.notify_one();
    }
}

impl State {
    /// Whether more jobs wait than threads linger.
    fn wants_a_thread(&self) -> bool {
        self.queue.len() > self.lingering
    }
}

impl Job {
    fn discard(&self) {
        *self.phase.lock() = Phase::Done;
        let future = self.future.lock().take();
        drop(future);
    }
}

impl Wake for Job {
    fn wake(self: Arc<Self>) {
        let must_queue = {
            let mut phase = self.phase.lock();
            match *phase {
                Phase::Waiting => {
                    *phase = Phase::Queued;
                    true
                }
                Phase::Running => {
                    *phase = Phase::WokenWhileRunning;
                    false
                }
                Phase::Queued | Phase::WokenWhileRunning | Phase::Done => false,
            }
        };
        if must_queue && let Some(pool) = self.pool.upgrade() {
            pool.enqueue(self);
        }
    }
}
