//! Lets connections with much work take turns, so that the others need not wait for all of them.
//!
//! A connection is a task, and a thread polls its tasks one after another. A client that asks for
//! long answers again and again keeps a thread busy until its socket takes nothing more, and many
//! such clients are polled before anybody else is.
//!
//! 1. A connection works for [`LONGEST_TURN`] at most. A write that the socket takes at once, and
//!    that is followed by the next answer, is part of the turn.
//! 2. Then it goes to the end of a line, which all such connections of the node share. As many of
//!    them have their turn as there are threads for connections. So a connection with little work
//!    waits for a few turns, however many connections stand in line.
//! 3. A connection that has nothing to do leaves the line.
//!    (test: `who_has_little_to_do_waits_for_a_few_turns_only`)

use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Instant, yield_now};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a connection may answer before other connections get their turn.
const LONGEST_TURN: Duration = Duration::from_millis(2);

/// The clock is read once per this number of answers.
const ANSWERS_PER_LOOK: u32 = 8;

/// Answers of so many bytes are a reason to read it, too.
const BYTES_PER_LOOK: usize = 16 << 10;

/// The line of all connections of a node that have much work.
#[derive(Debug)]
pub(crate) struct Turns {
    line: Arc<Semaphore>,
}

impl Turns {
    /// So many threads serve the connections.
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            line: Arc::new(Semaphore::new(threads.max(1))),
        }
    }

    /// The turn of a connection that begins to work.
    pub(crate) fn begin(&self, now: Instant) -> Turn {
        Turn {
            line: self.line.clone(),
            since: now,
            answers: 0,
            bytes: 0,
            has_rested: false,
            place: None,
        }
    }
}

/// The turn of one connection.
#[derive(Debug)]
pub(crate) struct Turn {
    line: Arc<Semaphore>,
    /// When it began.
    since: Instant,
    /// The answers and their bytes since the last look at the clock.
    answers: u32,
    bytes: usize,
    /// The connection has waited for something to do.
    has_rested: bool,
    /// It has stood in line for this turn.
    place: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// The connection has nothing to do.
    pub(crate) fn rests(&mut self) {
        self.has_rested = true;
        self.place = None;
    }

    /// The connection has something to do. If it has not rested, its turn goes on.
    pub(crate) fn works(&mut self, now: Instant) {
        if self.has_rested {
            self.has_rested = false;
            self.since = now;
        }
    }

    /// The connection has made an answer of so many bytes. Is its turn over?
    pub(crate) fn is_over(&mut self, bytes: usize, now: impl Fn() -> Instant) -> bool {
        self.answers += 1;
        self.bytes += bytes;
        if self.answers < ANSWERS_PER_LOOK && self.bytes < BYTES_PER_LOOK {
            return false;
        }
        (self.answers, self.bytes) = (0, 0);
        now().since(self.since) > LONGEST_TURN
    }

    /// Lets the others work, and returns when it is this connection's turn again.
    pub(crate) async fn give_way(&mut self, now: impl Fn() -> Instant) {
        // The others of this thread work first. Meanwhile it keeps its place, so that those in line
        // wait there and not in the thread's queue.
        yield_now().await;
        self.place = None;
        // The line is never closed.
        self.place = self.line.clone().acquire_owned().await.ok();
        self.since = now();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use innkeeper_runtime::{Runtime, Sim, ThreadRole};

    use super::*;

    #[test]
    fn who_has_little_to_do_waits_for_a_few_turns_only() {
        const BUSY: u32 = 60;
        Sim::run(1, async |runtime| {
            let turns = Arc::new(Turns::new(2));
            let worked = Arc::new(AtomicU32::new(0));
            for _ in 0..BUSY {
                let (turns, worked) = (turns.clone(), worked.clone());
                let clock = runtime.clone();
                let busy = async move {
                    let mut turn = turns.begin(clock.now());
                    for _ in 0..20 {
                        worked.fetch_add(1, Ordering::Relaxed);
                        turn.give_way(|| clock.now()).await;
                    }
                };
                runtime.spawn(ThreadRole::Client, busy).detach();
            }
            let seen = worked.clone();
            let idle = async move {
                // Each has its first turn without the line.
                while seen.load(Ordering::Relaxed) < BUSY + 2 {
                    yield_now().await;
                }
                for _ in 0..20 {
                    let before = seen.load(Ordering::Relaxed);
                    yield_now().await;
                    let turns = seen.load(Ordering::Relaxed) - before;
                    assert!(turns <= 6, "{turns}");
                }
            };
            let idle = runtime.spawn(ThreadRole::Client, idle);
            idle.await.unwrap();
            while worked.load(Ordering::Relaxed) < BUSY * 20 {
                yield_now().await;
            }
        });
    }

    #[test]
    fn a_turn_goes_on_until_the_connection_rests() {
        let at = |us: u64| Instant::from_nanos(us * 1000);
        let mut turn = Turns::new(1).begin(at(0));
        assert!(!turn.is_over(BYTES_PER_LOOK, || at(1900)));
        turn.works(at(1900));
        assert!(turn.is_over(BYTES_PER_LOOK, || at(2100)));
        turn.rests();
        turn.works(at(2100));
        assert!(!turn.is_over(BYTES_PER_LOOK, || at(4000)));
        // Of short answers only one in some asks for the time.
        for _ in 1..ANSWERS_PER_LOOK {
            assert!(!turn.is_over(1, || unreachable!("it is too early")));
        }
        assert!(turn.is_over(1, || at(5000)));
    }
}
