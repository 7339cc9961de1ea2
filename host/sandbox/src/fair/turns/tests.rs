use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use super::super::account::VirtualTime;
use super::*;
use crate::clock::Clock;

const SLICE: u64 = 100_000;

/// Guests on the threads of a pool, one poll after the other: what is woken runs in the order in
/// which it was woken, as on the real threads.
struct Threads {
    turns: Arc<Shares>,
    time: Arc<VirtualTime>,
    tasks: Vec<Option<Pin<Box<dyn Future<Output = ()>>>>>,
    ready: Arc<Mutex<VecDeque<usize>>>,
    /// Which guest ran each slice.
    ran: Arc<Mutex<Vec<usize>>>,
}

struct Task {
    number: usize,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.lock();
        if !ready.contains(&self.number) {
            ready.push_back(self.number);
        }
    }
}

impl Threads {
    fn new(threads: u32) -> Threads {
        let time = Arc::<VirtualTime>::default();
        Threads {
            turns: Shares::of_turns(threads, Arc::clone(&time)),
            time,
            tasks: Vec::new(),
            ready: Arc::default(),
            ran: Arc::default(),
        }
    }

    fn account(&self) -> Arc<Account> {
        Account::new(Arc::clone(&self.time), Clock::new(|| Duration::ZERO))
    }

    /// A guest that computes for so many slices.
    fn spawn(&mut self, account: &Arc<Account>, slices: usize) -> usize {
        let number = self.tasks.len();
        let (turns, ran) = (Arc::clone(&self.turns), Arc::clone(&self.ran));
        let account = Arc::clone(account);
        let mut left = slices;
        self.tasks.push(Some(Box::pin(async move {
            let guest = poll_fn(|cx| {
                ran.lock().push(number);
                left -= 1;
                if left == 0 {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            });
            in_turns(&turns, &account, SLICE, guest).await;
        })));
        self.ready.lock().push_back(number);
        number
    }

    fn is_done(&self, number: usize) -> bool {
        self.tasks[number].is_none()
    }

    /// Polls until so many more slices have run, or nothing can run.
    fn run(&mut self, slices: usize) {
        let until = self.ran.lock().len() + slices;
        while self.ran.lock().len() < until {
            let Some(number) = self.ready.lock().pop_front() else {
                return;
            };
            let Some(task) = &mut self.tasks[number] else {
                continue;
            };
            let waker = Waker::from(Arc::new(Task {
                number,
                ready: Arc::clone(&self.ready),
            }));
            if task
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
            {
                self.tasks[number] = None;
            }
        }
    }

    fn slices_of(&self, number: usize) -> usize {
        self.ran.lock().iter().filter(|ran| **ran == number).count()
    }
}

const ENDLESS: usize = usize::MAX;

#[test]
fn a_modest_guest_waits_for_two_slices_of_a_hundred_loops_and_not_for_a_hundred() {
    let mut threads = Threads::new(2);
    let account = threads.account();
    account.succeeded();
    for _ in 0..100 {
        let account = threads.account();
        threads.spawn(&account, ENDLESS);
    }
    threads.run(5_000);
    // Its own share is a hundredth: it stays below that.
    for _ in 0..50 {
        let modest = threads.spawn(&account, 3);
        let before = threads.ran.lock().len();
        while !threads.is_done(modest) {
            threads.run(1);
        }
        let between = threads.ran.lock().len() - before - 3;
        assert!(between <= 3 * 2, "{between} slices of others");
        threads.run(1_000);
    }
}

/// Beside as many heavy ones as there are threads, a light one finds a turn at once.
#[test]
fn the_heavy_leave_as_many_turns_to_the_light() {
    let mut threads = Threads::new(2);
    for _ in 0..5 {
        let account = threads.account();
        threads.spawn(&account, ENDLESS);
    }
    threads.run(100);
    let (waker, heavy) = (Waker::noop(), threads.account());
    let mut further = pin!(threads.turns.ask(&heavy, want(&heavy, false)));
    assert!(
        further
            .as_mut()
            .poll(&mut Context::from_waker(waker))
            .is_pending()
    );
    let light = threads.account();
    light.succeeded();
    let held: Vec<_> = (0..2)
        .map(|_| {
            let mut turn = pin!(threads.turns.ask(&light, want(&light, false)));
            turn.as_mut().poll(&mut Context::from_waker(waker))
        })
        .collect();
    assert!(held.iter().all(Poll::is_ready), "{held:?}");
}

#[test]
fn who_comes_late_gets_the_same_share_from_then_on_and_no_more() {
    let mut threads = Threads::new(2);
    let early: Vec<_> = (0..9)
        .map(|_| {
            let account = threads.account();
            threads.spawn(&account, ENDLESS)
        })
        .collect();
    threads.run(9_000);
    let idle = threads.account();
    threads.run(9_000);
    let late = threads.spawn(&idle, ENDLESS);
    let before = threads.slices_of(early[0]);
    threads.run(1_000);
    let (late, early) = (
        threads.slices_of(late),
        threads.slices_of(early[0]) - before,
    );
    assert!((98..=102).contains(&late), "{late}");
    assert!((98..=102).contains(&early), "{early}");
}

#[test]
fn who_keeps_failing_goes_last_and_still_goes() {
    let mut threads = Threads::new(1);
    let (good, failing) = (threads.account(), threads.account());
    failing.failed(9);
    let good = threads.spawn(&good, ENDLESS);
    let failing = threads.spawn(&failing, ENDLESS);
    threads.run(1_100);
    let (good, failing) = (threads.slices_of(good), threads.slices_of(failing));
    // Each of its slices counts ten times.
    assert!((95..=105).contains(&failing), "{failing}");
    assert!((995..=1_005).contains(&good), "{good}");
}

#[test]
fn who_waits_for_something_else_has_no_turn_and_is_heard_when_it_comes() {
    let mut threads = Threads::new(1);
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let (turns, account) = (Arc::clone(&threads.turns), threads.account());
    threads.tasks.push(Some(Box::pin(async move {
        let (heard, charged) = in_turns(&turns, &account, SLICE, receiver).await;
        assert!(heard.is_ok());
        assert_eq!(charged, 0);
    })));
    threads.ready.lock().push_back(0);
    threads.run(1);
    let other = threads.account();
    let other = threads.spawn(&other, 5);
    threads.run(5);
    assert!(threads.is_done(other), "the only turn was free");
    sender.send(()).expect("it waits");
    threads.run(1);
    assert!(threads.is_done(0));
}

#[test]
fn a_guest_that_is_dropped_gives_its_turn_away() {
    let mut threads = Threads::new(1);
    let accounts = [threads.account(), threads.account(), threads.account()];
    let numbers = accounts.map(|account| threads.spawn(&account, 10));
    threads.run(4);
    // One of them has the turn now; whichever it is, the others go on.
    threads.tasks[numbers[0]] = None;
    threads.run(2);
    threads.tasks[numbers[1]] = None;
    threads.run(100);
    assert!(threads.is_done(numbers[2]));
    let account = threads.account();
    let fresh = threads.spawn(&account, 1);
    threads.run(1);
    assert!(threads.is_done(fresh));
}
