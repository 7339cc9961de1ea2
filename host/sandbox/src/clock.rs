//! Time by the clock, which is handed in: this crate has none of its own.
//!
//! 1. An invocation's [`Deadline`] begins when its instance is made. Its time counts while the
//!    invocation has its thread: what it waits for through no doing of its own (a place, its
//!    next turn, an assignor's turn) costs it nothing.
//! 2. It is looked at in host calls, at the runs of a long one ([`crate::meter`]), and whenever
//!    the guest yields ([`until`]): fuel yields come every 100,000 units, so a guest that calls
//!    nobody is found, too.
//! 3. A view's age counts from the beginning, whatever the invocation waits for.
//! 4. A guest that is over ends in its next host call, which names the function that made it. One
//!    that makes none for some more turns is dropped where it stands, inside the sandbox: its store
//!    is still there, so that what it used, logged and called is told.
//!
//! In a simulation the clock stands still while a guest runs, so there fuel alone ends a loop.
//!
//! **Invariant:** a host call that may be long lets other guests run in between, and no invocation
//! takes longer than its `limits.time_ms`, whether it computes or calls. The status of one that is
//! cut off shows what it used and logged, and which of its functions called the host last. (tests:
//! `a_long_host_call_lets_others_run`,
//! `an_invocation_is_over_by_the_clock_and_what_it_did_is_told`)

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use crate::failure::{FailureKind, GuestFailure, LimitPassed};

/// A clock that only goes forward; where it starts does not matter.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// A clock that reads `now`.
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now))
    }

    fn now_ns(&self) -> u64 {
        nanos((self.0)())
    }

    /// What it shows, in microseconds.
    pub(crate) fn now_us(&self) -> u64 {
        self.now_ns() / 1000
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

const NEVER: u64 = u64::MAX;

/// Yields, of 100,000 units of fuel each, that a call which is over may make until it is dropped:
/// about a millisecond, in which a guest that calls the host at all does so.
const LAST_YIELDS: usize = 10;

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

/// By when one invocation has to be over.
///
/// The call's future and the host functions inside it share it; they never run at the same time.
pub(crate) struct Deadline {
    clock: Clock,
    time_ms: u64,
    /// What is left of `limits.time_ms` while the invocation does not have its thread.
    left_ns: AtomicU64,
    /// When that will be used up; [`NEVER`] while it does not have its thread.
    own_end_ns: AtomicU64,
    view_end_ns: AtomicU64,
    outer: Outer,
    /// How often it has got its thread.
    turn: AtomicU64,
}

/// What ends an invocation beside its own limit.
#[derive(Clone)]
pub(crate) enum Outer {
    /// Nothing.
    Nothing,
    /// It holds a view for so long at most.
    View(Duration),
    /// The recipe that called has to be over.
    Caller(Arc<Deadline>),
}

/// What was it that ended it?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passed {
    Own,
    Outer,
}

impl Deadline {
    /// One that has not begun.
    pub(crate) fn new(clock: &Clock, time_ms: u64, outer: Outer) -> Deadline {
        Deadline {
            clock: clock.clone(),
            time_ms,
            left_ns: AtomicU64::new(NEVER),
            own_end_ns: AtomicU64::new(NEVER),
            view_end_ns: AtomicU64::new(NEVER),
            outer,
            turn: AtomicU64::new(0),
        }
    }

    /// The number of its turn.
    pub(crate) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    /// An invocation begins, with all of its time.
    fn begin(&self) {
        self.left_ns.store(
            nanos(Duration::from_millis(self.time_ms)),
            Ordering::Relaxed,
        );
        if let Outer::View(most) = self.outer {
            let end_ns = self.clock.now_ns().saturating_add(nanos(most));
            self.view_end_ns.store(end_ns, Ordering::Relaxed);
        }
    }

    /// It has its thread.
    fn resume(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
        let left_ns = self.left_ns.load(Ordering::Relaxed);
        self.own_end_ns.store(
            self.clock.now_ns().saturating_add(left_ns),
            Ordering::Relaxed,
        );
    }

    /// It gives its thread away.
    fn pause(&self) {
        let end_ns = self.own_end_ns.swap(NEVER, Ordering::Relaxed);
        self.left_ns.store(
            end_ns.saturating_sub(self.clock.now_ns()),
            Ordering::Relaxed,
        );
    }

    /// Is the invocation over by the clock?
    #[cfg(not(innkeeper_break = "host-work-deadline"))]
    fn passed(&self) -> Option<Passed> {
        let now_ns = self.clock.now_ns();
        if now_ns >= self.own_end_ns.load(Ordering::Relaxed) {
            return Some(Passed::Own);
        }
        let is_outer_over = match &self.outer {
            Outer::Nothing => false,
            Outer::View(_) => now_ns >= self.view_end_ns.load(Ordering::Relaxed),
            Outer::Caller(caller) => caller.passed().is_some(),
        };
        is_outer_over.then_some(Passed::Outer)
    }

    /// The build that must fail: nobody looks at the clock.
    #[cfg(innkeeper_break = "host-work-deadline")]
    fn passed(&self) -> Option<Passed> {
        let _ = (&self.view_end_ns, [Passed::Own, Passed::Outer]);
        None
    }

    /// Is it over only because its caller's time is?
    pub(crate) fn is_over_for_the_caller(&self) -> bool {
        matches!(self.outer, Outer::Caller(_)) && self.passed() == Some(Passed::Outer)
    }

    /// Looks at the clock, in a host call.
    pub(crate) fn check(&self) -> wasmtime::Result<()> {
        match self.passed() {
            None => Ok(()),
            Some(passed) => Err(LimitPassed::raise(FailureKind::Time, self.sentence(passed))),
        }
    }

    fn sentence(&self, passed: Passed) -> String {
        match (passed, &self.outer) {
            (Passed::Outer, Outer::View(most)) => format!(
                "its reaction did not end within {most:?}, which is as long as a view may be held; let it do less at a time"
            ),
            (Passed::Outer, _) => "the time of the recipe that called it was up".to_string(),
            (Passed::Own, _) => format!(
                "it did not end within {} ms (limits.time_ms); let it do less at a time",
                self.time_ms
            ),
        }
    }
}

/// How long a guest may run in one go that yields so often that most of its yields are not passed
/// on, in nanoseconds.
const TURN_NS_MOST: u64 = 10_000_000;

/// Runs a call of a guest until it returns or its deadline passes, which is looked at whenever
/// it yields. A call that is over and meets no host call soon is dropped. Of so many yields in a row
/// only the last one lets others run, unless they took long.
pub(crate) async fn until<T>(
    deadline: &Deadline,
    yields: u64,
    call: impl Future<Output = T>,
) -> Result<T, GuestFailure> {
    let mut call = pin!(call);
    deadline.begin();
    poll_fn(|context| {
        deadline.resume();
        let mut polled = call.as_mut().poll(context);
        let mut passed = polled.is_pending().then(|| deadline.passed()).flatten();
        if yields > 1 {
            let turn_end_ns = deadline.clock.now_ns().saturating_add(TURN_NS_MOST);
            let mut left = yields - 1;
            while polled.is_pending()
                && passed.is_none()
                && left > 0
                && deadline.clock.now_ns() < turn_end_ns
            {
                left -= 1;
                polled = call.as_mut().poll(context);
                passed = polled.is_pending().then(|| deadline.passed()).flatten();
            }
        }
        if passed.is_some() {
            for _ in 0..LAST_YIELDS {
                if polled.is_pending() {
                    polled = call.as_mut().poll(context);
                }
            }
        }
        deadline.pause();
        match (polled, passed) {
            (Poll::Ready(value), _) => Poll::Ready(Ok(value)),
            (Poll::Pending, None) => Poll::Pending,
            (Poll::Pending, Some(passed)) => Poll::Ready(Err(GuestFailure::new(
                FailureKind::Time,
                deadline.sentence(passed),
            ))),
        }
    })
    .await
}

/// Lets others run once.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
