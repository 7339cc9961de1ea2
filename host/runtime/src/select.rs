//! Waiting for the first of several futures, always polled in the order written.
//!
//! tokio's `select!` picks a random branch first, which would make two simulated runs with one
//! seed differ. These functions are biased: of two futures that are ready together the earlier
//! one wins. In a loop, put the future first that must not starve (a shutdown signal before the
//! work), and pass `&mut` references to futures that must live on.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Which of two futures was ready first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select2<A, B> {
    /// The first future's output.
    First(A),
    /// The second future's output.
    Second(B),
}

/// Which of three futures was ready first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select3<A, B, C> {
    /// The first future's output.
    First(A),
    /// The second future's output.
    Second(B),
    /// The third future's output.
    Third(C),
}

/// Which of four futures was ready first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select4<A, B, C, D> {
    /// The first future's output.
    First(A),
    /// The second future's output.
    Second(B),
    /// The third future's output.
    Third(C),
    /// The fourth future's output.
    Fourth(D),
}

/// Waits for the first of two futures; the other one is dropped.
pub async fn select2<A: Future, B: Future>(a: A, b: B) -> Select2<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| {
        if let Poll::Ready(value) = a.as_mut().poll(cx) {
            return Poll::Ready(Select2::First(value));
        }
        b.as_mut().poll(cx).map(Select2::Second)
    })
    .await
}

/// Waits for the first of three futures; the others are dropped.
pub async fn select3<A: Future, B: Future, C: Future>(
    a: A,
    b: B,
    c: C,
) -> Select3<A::Output, B::Output, C::Output> {
    match select2(a, select2(b, c)).await {
        Select2::First(value) => Select3::First(value),
        Select2::Second(Select2::First(value)) => Select3::Second(value),
        Select2::Second(Select2::Second(value)) => Select3::Third(value),
    }
}

/// Waits for the first of four futures; the others are dropped.
pub async fn select4<A: Future, B: Future, C: Future, D: Future>(
    a: A,
    b: B,
    c: C,
    d: D,
) -> Select4<A::Output, B::Output, C::Output, D::Output> {
    match select2(select2(a, b), select2(c, d)).await {
        Select2::First(Select2::First(value)) => Select4::First(value),
        Select2::First(Select2::Second(value)) => Select4::Second(value),
        Select2::Second(Select2::First(value)) => Select4::Third(value),
        Select2::Second(Select2::Second(value)) => Select4::Fourth(value),
    }
}
