//! Running in turns.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

use super::account::Account;
use super::shares::{Asking, Held, Shares, Want};

/// Runs a guest to its end, in turns. It yields its thread now and then, as wasmtime does it: by
/// waking itself and returning; each time `slice_fuel` is charged to `account`, and the guest
/// queues behind those that used less. While it waits for anything else, it has no turn.
///
/// Returns its output and the fuel that was charged for it.
pub(crate) async fn in_turns<F: Future>(
    turns: &Arc<Shares>,
    account: &Account,
    slice_fuel: u64,
    guest: F,
) -> (F::Output, u64) {
    let _computing = account.computes();
    let mut guest = pin!(guest);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut charged = 0;
    let first = turns.ask(account, want(account, false));
    // The heavy are given the time to move to other threads.
    let mut turn = match account.is_heavy() {
        true => yielding(first).await,
        false => first.await,
    };
    loop {
        let ran = poll_fn(|_| {
            woken.forget();
            let mut context = Context::from_waker(&waker);
            Poll::Ready(guest.as_mut().poll(&mut context))
        });
        if let Poll::Ready(output) = ran.await {
            return (output, charged);
        }
        if woken.is_set() {
            charged += slice_fuel;
            account.charge(slice_fuel);
            // Queued before the turn is given back, so that it goes to the first of all.
            let next = turns.ask(account, want(account, true));
            drop(turn);
            turn = yielding(next).await;
        } else {
            drop(turn);
            poll_fn(|cx| woken.poll(cx)).await;
            turn = turns.ask(account, want(account, true)).await;
        }
    }
}

fn want(account: &Account, goes_on: bool) -> Want {
    Want {
        memory_bytes: 0,
        is_doubtful: account.is_heavy(),
        goes_on,
    }
}

/// Waits for the next turn, and lets the thread's other tasks run once, even if the turn is there
/// already: those tasks may be about to ask for a turn.
async fn yielding(next: Asking) -> Held {
    let mut next = pin!(next);
    let mut granted = None;
    let mut has_yielded = false;
    poll_fn(|cx| {
        if granted.is_none()
            && let Poll::Ready(turn) = next.as_mut().poll(cx)
        {
            granted = Some(turn);
        }
        if has_yielded && let Some(turn) = granted.take() {
            return Poll::Ready(turn);
        }
        has_yielded = true;
        if granted.is_some() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}

/// Whether the guest was woken since it was last polled, and the waker of the task that runs it.
#[derive(Default)]
struct Woken {
    state: Mutex<(bool, Option<Waker>)>,
}

impl Woken {
    fn forget(&self) {
        *self.state.lock() = (false, None);
    }

    fn is_set(&self) -> bool {
        self.state.lock().0
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let waker = {
            let mut state = self.state.lock();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests;
