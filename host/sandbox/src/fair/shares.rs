//! A stock of places and memory, and the queue of those who wait for some of it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::account::{Account, VirtualTime};

/// What there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stock {
    pub(crate) places: u32,
    pub(crate) memory_bytes: u64,
    /// How much of both those in doubtful standing may hold together. Where they hold nothing,
    /// one of them may hold more memory than that.
    pub(crate) doubtful_places: u32,
    pub(crate) doubtful_memory_bytes: u64,
}

impl Stock {
    /// Half of it for those in doubtful standing, and one place at least.
    pub(crate) fn halved(places: u32, memory_bytes: u64) -> Stock {
        Stock {
            places,
            memory_bytes,
            doubtful_places: (places / 2).max(1),
            doubtful_memory_bytes: memory_bytes / 2,
        }
    }

    /// Turns: on each thread one for a light binding, and one for a heavy one.
    pub(crate) fn turns(threads: u32) -> Stock {
        Stock {
            places: threads.saturating_mul(2),
            memory_bytes: 0,
            doubtful_places: threads,
            doubtful_memory_bytes: 0,
        }
    }

    /// All of it for everybody.
    pub(crate) fn whole(places: u32, memory_bytes: u64) -> Stock {
        Stock {
            places,
            memory_bytes,
            doubtful_places: places,
            doubtful_memory_bytes: memory_bytes,
        }
    }
}

/// The wish for a place with this much memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Want {
    pub(crate) memory_bytes: u64,
    pub(crate) is_doubtful: bool,
    /// Whether the invocation has begun already. Of two whose bindings used the same, the one that
    /// begins is first.
    pub(crate) goes_on: bool,
}

/// The order in a queue: first the least used account, then an invocation that begins, then the
/// one that came first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Order {
    used: u64,
    goes_on: bool,
    number: u64,
}

#[derive(Clone, Copy, Default, Debug)]
struct Sum {
    places: u32,
    memory_bytes: u64,
}

impl Sum {
    fn add(&mut self, want: &Want) {
        self.places += 1;
        self.memory_bytes += want.memory_bytes;
    }

    fn subtract(&mut self, want: &Want) {
        self.places -= 1;
        self.memory_bytes -= want.memory_bytes;
    }
}

#[derive(Debug)]
struct Waiting {
    want: Want,
    waker: Waker,
}

#[derive(Default, Debug)]
struct State {
    held: Sum,
    held_doubtful: Sum,
    good: BTreeMap<Order, Waiting>,
    doubtful: BTreeMap<Order, Waiting>,
    /// Numbers of those that got their place and have not been polled since.
    granted: BTreeSet<u64>,
    next: u64,
}

/// A stock and its queue.
///
/// Invariants:
/// - What is held, what was granted included, is never more than the stock.
/// - The first in order of those that could have their place does not wait: whenever a place is
///   given back, or one that waits leaves, the first ones are served.
/// - A binding in good standing is not passed by one that used more, not even by one that wants
///   less memory: otherwise those that want much would starve.
/// - One that leaves, while it waits or after it was served, leaves nothing behind.
///
/// Bound: one entry for each invocation that its owners have in flight.
#[derive(Debug)]
pub(crate) struct Shares {
    stock: Stock,
    state: Mutex<State>,
    /// Set where what is given out is a turn: virtual time is that of the one who runs.
    time: Option<Arc<VirtualTime>>,
}

impl Shares {
    pub(crate) fn new(stock: Stock) -> Arc<Shares> {
        Arc::new(Shares {
            stock,
            state: Mutex::default(),
            time: None,
        })
    }

    /// Turns on so many threads, and as many for the heavy.
    pub(crate) fn of_turns(threads: u32, time: Arc<VirtualTime>) -> Arc<Shares> {
        Arc::new(Shares {
            stock: Stock::turns(threads),
            state: Mutex::default(),
            time: Some(time),
        })
    }

    /// The memory of the whole stock, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.stock.memory_bytes
    }

    /// Queues at once, and waits when it is awaited. What can never be had is waited for in
    /// vain: compare with [`Shares::memory_bytes`] before.
    pub(crate) fn ask(self: &Arc<Self>, account: &Account, want: Want) -> Asking {
        let used = account.used();
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        let order = Order {
            used,
            goes_on: want.goes_on,
            number,
        };
        let served = state.nobody_is_before(&want) && state.fits(&self.stock, &want);
        let stage = if served {
            self.give(&mut state, order.used, &want);
            Stage::Granted
        } else {
            let waiting = Waiting {
                want,
                waker: Waker::noop().clone(),
            };
            state.queue(want.is_doubtful).insert(order, waiting);
            Stage::Waiting
        };
        drop(state);
        if stage == Stage::Waiting {
            // It may be before those who wait for more than there is.
            self.serve();
        }
        Asking {
            shares: Arc::clone(self),
            want,
            order,
            stage,
        }
    }

    /// What is there, if nobody has to wait for it.
    pub(crate) fn ask_now(self: &Arc<Self>, account: &Account, want: Want) -> Option<Held> {
        let asking = self.ask(account, want);
        match asking.stage {
            Stage::Granted => Some(asking.take()),
            _ => None,
        }
    }

    fn give(&self, state: &mut State, used: u64, want: &Want) {
        state.held.add(want);
        if want.is_doubtful {
            state.held_doubtful.add(want);
        }
        if let Some(time) = &self.time {
            time.reach(used);
        }
    }

    fn take_back(&self, want: &Want) {
        {
            let mut state = self.state.lock();
            state.held.subtract(want);
            if want.is_doubtful {
                state.held_doubtful.subtract(want);
            }
        }
        self.serve();
    }

    /// Serves all who can be served; they are woken outside the lock.
    fn serve(&self) {
        while let Some(waker) = self.serve_one() {
            waker.wake();
        }
    }

    fn serve_one(&self) -> Option<Waker> {
        let mut state = self.state.lock();
        let is_doubtful = state.first(&self.stock)?;
        let (order, waiting) = state.queue(is_doubtful).pop_first()?;
        self.give(&mut state, order.used, &waiting.want);
        state.granted.insert(order.number);
        Some(waiting.waker)
    }
}

impl State {
    fn queue(&mut self, is_doubtful: bool) -> &mut BTreeMap<Order, Waiting> {
        match is_doubtful {
            true => &mut self.doubtful,
            false => &mut self.good,
        }
    }

    /// Whether nobody waits that stands before this one.
    fn nobody_is_before(&self, want: &Want) -> bool {
        self.good.is_empty() && (!want.is_doubtful || self.doubtful.is_empty())
    }

    fn fits(&self, stock: &Stock, want: &Want) -> bool {
        let all = self.held.places < stock.places
            && self.held.memory_bytes + want.memory_bytes <= stock.memory_bytes;
        all && (!want.is_doubtful || self.fits_doubtful(stock, want))
    }

    fn fits_doubtful(&self, stock: &Stock, want: &Want) -> bool {
        let held = &self.held_doubtful;
        held.places == 0
            || (held.places < stock.doubtful_places
                && held.memory_bytes + want.memory_bytes <= stock.doubtful_memory_bytes)
    }

    /// In which queue the next one stands that is to be served (`true`: the doubtful), if any can
    /// be.
    #[cfg(not(innkeeper_break = "fair-order"))]
    fn first(&self, stock: &Stock) -> Option<bool> {
        let doubtful = self.doubtful.first_key_value();
        let doubtful = doubtful.filter(|(_, waiting)| self.fits(stock, &waiting.want));
        let good = self.good.first_key_value();
        match (good, doubtful) {
            (Some((good, _)), Some((doubtful, _))) if doubtful < good => Some(true),
            (Some((_, waiting)), _) => self.fits(stock, &waiting.want).then_some(false),
            (None, Some(_)) => Some(true),
            (None, None) => None,
        }
    }

    /// The build that must fail: first come, first served, however much a binding used.
    #[cfg(innkeeper_break = "fair-order")]
    fn first(&self, stock: &Stock) -> Option<bool> {
        let oldest = |queue: &BTreeMap<Order, Waiting>| {
            queue
                .first_key_value()
                .map(|(order, waiting)| (order.number, waiting.want))
        };
        let (_, want) = [oldest(&self.good), oldest(&self.doubtful)]
            .into_iter()
            .flatten()
            .min_by_key(|(number, _)| *number)?;
        let all = self.held.places < stock.places
            && self.held.memory_bytes + want.memory_bytes <= stock.memory_bytes;
        all.then_some(want.is_doubtful)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Waiting,
    Granted,
    /// Taken over by a [`Held`].
    Taken,
}

/// A place that is waited for: a future. Dropping it leaves the queue.
#[derive(Debug)]
#[must_use = "await it"]
pub(crate) struct Asking {
    shares: Arc<Shares>,
    want: Want,
    order: Order,
    stage: Stage,
}

impl Asking {
    fn take(mut self) -> Held {
        self.stage = Stage::Taken;
        Held {
            shares: Arc::clone(&self.shares),
            want: self.want,
        }
    }
}

impl Future for Asking {
    type Output = Held;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Held> {
        let this = &mut *self;
        if this.stage == Stage::Waiting {
            let mut state = this.shares.state.lock();
            if !state.granted.remove(&this.order.number) {
                if let Some(waiting) = state.queue(this.want.is_doubtful).get_mut(&this.order) {
                    waiting.waker.clone_from(cx.waker());
                }
                return Poll::Pending;
            }
        }
        this.stage = Stage::Taken;
        Poll::Ready(Held {
            shares: Arc::clone(&this.shares),
            want: this.want,
        })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        match self.stage {
            Stage::Taken => {}
            Stage::Granted => self.shares.take_back(&self.want),
            Stage::Waiting => {
                let was_granted = {
                    let mut state = self.shares.state.lock();
                    let queue = state.queue(self.want.is_doubtful);
                    queue.remove(&self.order).is_none() && state.granted.remove(&self.order.number)
                };
                if was_granted {
                    self.shares.take_back(&self.want);
                } else {
                    // It may have been the one that nobody could pass.
                    self.shares.serve();
                }
            }
        }
    }
}

/// What one holds; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Held {
    shares: Arc<Shares>,
    want: Want,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shares.take_back(&self.want);
    }
}

#[cfg(test)]
mod tests;
