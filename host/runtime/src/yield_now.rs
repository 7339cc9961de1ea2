//! Giving way to other tasks.

use std::future::poll_fn;
use std::task::Poll;

/// Goes to the end of the thread's queue of tasks once, so that the others run first. A task that
/// works for long without waiting calls it between two pieces of its work. It works on every
/// executor.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
