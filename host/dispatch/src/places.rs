//! Places for compilations: one that turns out to be slow does not hold up the others.
//!
//! 1. The first that comes gets the first place that is free. A compilation for which a binding
//!    waits has one more place, which no push takes.
//! 2. Nobody knows beforehand how long a module takes: a small one may take the longest. So one
//!    that has had its place for [`Places::slow_after`] counts as slow, and the slow may hold all
//!    places but one.
//! 3. One that turns slow where the others are slow as well goes on until somebody waits. Then it
//!    gives up its place, with what it has done so far, and begins anew when a slow one has ended;
//!    this time it is let finish.
//!
//! So a quick module waits for other quick ones, and never for more than `slow_after` each, however
//! many slow ones there are; and a slow one is begun twice at most.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use innkeeper_runtime::{Latest, Runtime, Select2, Signal, select2};
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// The places of one node.
///
/// Invariant: no more run at a time than there are places, and one in the reserve; of those in a
/// place that are let finish though they are slow, one less.
pub(super) struct Places {
    common: Semaphore,
    /// Leave to finish in one of them, however long it takes.
    slow: Semaphore,
    /// The place for what bindings wait for.
    reserve: Semaphore,
    /// How many wait for a place.
    waiting: Latest<usize>,
    slow_after: Duration,
}

/// A place that one holds, and leave to be slow in it; dropping it gives both back.
struct Held<'a> {
    is_reserve: bool,
    _place: SemaphorePermit<'a>,
    _slow: Option<SemaphorePermit<'a>>,
}

impl Places {
    /// `places` are two at least: one is never held by the slow.
    pub(super) fn new(places: usize, slow_after: Duration) -> Places {
        Places {
            common: Semaphore::new(places),
            slow: Semaphore::new(places - 1),
            reserve: Semaphore::new(1),
            waiting: Latest::new(0),
            slow_after,
        }
    }

    /// Runs `work` in a place. `bound` is raised once a binding waits for it. Where it has to give
    /// up its place, `again` is called, and `work` is begun anew. Fails only where the places are
    /// closed.
    pub(super) async fn run<R: Runtime, W: Future>(
        &self,
        runtime: &R,
        bound: &Signal,
        mut work: impl FnMut() -> W,
        again: impl FnOnce(),
    ) -> Result<W::Output, AcquireError> {
        let held = self.first_of(bound, self.common(None)).await?;
        if let Some(done) = self.quickly(runtime, held, work()).await? {
            return Ok(done);
        }
        again();
        let slowly = async {
            let slow = self.slow.acquire().await?;
            self.common(Some(slow)).await
        };
        let _held = self.first_of(bound, slowly).await?;
        Ok(work().await)
    }

    /// The reserve, if a binding waits and it is free, or else what comes first.
    async fn first_of<'a>(
        &'a self,
        bound: &Signal,
        other: impl Future<Output = Result<Held<'a>, AcquireError>>,
    ) -> Result<Held<'a>, AcquireError> {
        let reserve = async {
            bound.wait().await;
            Ok(Held {
                is_reserve: true,
                _place: self.reserve.acquire().await?,
                _slow: None,
            })
        };
        match select2(reserve, other).await {
            Select2::First(held) | Select2::Second(held) => held,
        }
    }

    async fn common<'a>(
        &'a self,
        slow: Option<SemaphorePermit<'a>>,
    ) -> Result<Held<'a>, AcquireError> {
        let place = match self.common.try_acquire() {
            Ok(place) => place,
            // Only who does not find one at once counts as waiting.
            Err(_) => {
                let _waits = Waits::begin(&self.waiting);
                self.common.acquire().await?
            }
        };
        Ok(Held {
            is_reserve: false,
            _place: place,
            _slow: slow,
        })
    }

    /// Works until it is done, or has to give up its place because it is slow.
    async fn quickly<R: Runtime, W: Future>(
        &self,
        runtime: &R,
        held: Held<'_>,
        work: W,
    ) -> Result<Option<W::Output>, AcquireError> {
        let mut work = pin!(work);
        if held.is_reserve {
            return Ok(Some(work.await));
        }
        let turned_slow = async {
            runtime.sleep(self.slow_after).await;
            let somebody_waits = self.waiting.wait_for(|waiting| *waiting > 0);
            select2(self.slow.acquire(), somebody_waits).await
        };
        match select2(work.as_mut(), turned_slow).await {
            Select2::First(done) => Ok(Some(done)),
            Select2::Second(Select2::First(slow)) => {
                let _slow = slow?;
                Ok(Some(work.await))
            }
            Select2::Second(Select2::Second(_)) => Ok(None),
        }
    }
}

/// One who waits for a place.
struct Waits<'a>(&'a Latest<usize>);

impl<'a> Waits<'a> {
    fn begin(waiting: &'a Latest<usize>) -> Waits<'a> {
        waiting.update(|count| {
            *count += 1;
            true
        });
        Waits(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.update(|count| {
            *count -= 1;
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use innkeeper_runtime::{Sim, Simulated, Task, ThreadRole};
    use parking_lot::Mutex;

    use super::*;

    const HOUR_S: u64 = 3_600;

    /// Places, and what happens in them.
    struct Scene {
        runtime: Simulated,
        places: Arc<Places>,
        /// Who begins and ends, and when, in seconds.
        log: Arc<Mutex<Vec<(String, u64)>>>,
    }

    impl Scene {
        fn new(runtime: Simulated, places: usize) -> Scene {
            Scene {
                runtime,
                places: Arc::new(Places::new(places, Duration::from_secs(10))),
                log: Arc::default(),
            }
        }

        /// Something that takes so long is to be done.
        fn begin(&self, name: &str, takes_s: u64, bound: Signal) -> Task<()> {
            let (places, runtime) = (self.places.clone(), self.runtime.clone());
            let (log, name) = (self.log.clone(), name.to_owned());
            self.runtime.spawn(ThreadRole::Client, async move {
                let note = |what: &str| {
                    let at = runtime.now().since_start().as_secs();
                    log.lock().push((format!("{name} {what}"), at));
                };
                let work = || {
                    note("begins");
                    runtime.sleep(Duration::from_secs(takes_s))
                };
                let done = places.run(&runtime, &bound, work, || note("gives up"));
                done.await.expect("open");
                note("ends");
            })
        }

        fn pushed(&self, name: &str, takes_s: u64) {
            self.begin(name, takes_s, Signal::new()).detach();
        }

        /// What was noted in so many seconds.
        async fn noted_in(&self, seconds: u64) -> Vec<String> {
            self.runtime.sleep(Duration::from_secs(seconds)).await;
            let noted = std::mem::take(&mut *self.log.lock());
            noted
                .iter()
                .map(|(what, at)| format!("{at} {what}"))
                .collect()
        }
    }

    #[test]
    fn slow_ones_hold_all_places_but_one() {
        Sim::run(1, async |runtime| {
            let scene = Scene::new(runtime, 2);
            for name in ["a", "b", "c"] {
                scene.pushed(name, HOUR_S);
            }
            // The quick one waits for the slow one before it, and for that one's ten seconds.
            scene.runtime.sleep(Duration::from_secs(1)).await;
            scene.pushed("quick", 2);
            assert_eq!(
                scene.noted_in(29).await,
                [
                    "0 a begins",
                    "0 b begins",
                    "10 b gives up",
                    "10 c begins",
                    "20 c gives up",
                    "20 quick begins",
                    "22 quick ends",
                ]
            );
            // A slow one goes on, and the others are let finish one after the other.
            assert_eq!(
                scene.noted_in(4 * HOUR_S).await,
                [
                    "3600 a ends",
                    "3600 b begins",
                    "7200 b ends",
                    "7200 c begins",
                    "10800 c ends",
                ]
            );
        });
    }

    #[test]
    fn nobody_gives_up_a_place_that_nobody_waits_for() {
        Sim::run(2, async |runtime| {
            let scene = Scene::new(runtime, 3);
            for name in ["a", "b", "c"] {
                scene.pushed(name, HOUR_S);
            }
            let begun = ["0 a begins", "0 b begins", "0 c begins"];
            assert_eq!(scene.noted_in(100).await, begun);
            scene.pushed("quick", 1);
            assert_eq!(
                scene.noted_in(10).await,
                ["100 c gives up", "100 quick begins", "101 quick ends"]
            );
        });
    }

    #[test]
    fn what_a_binding_waits_for_has_a_place_more_and_is_let_finish_in_it() {
        Sim::run(3, async |runtime| {
            let scene = Scene::new(runtime, 2);
            let (pushed, bound) = (Signal::new(), Signal::new());
            bound.raise();
            scene.pushed("a", HOUR_S);
            scene.pushed("b", 9);
            scene.begin("pushed", HOUR_S, pushed.clone()).detach();
            scene.begin("bound", HOUR_S, bound).detach();
            assert_eq!(
                scene.noted_in(5).await,
                ["0 a begins", "0 b begins", "0 bound begins"]
            );
            // A binding that comes later takes a place like anybody else, if the one is taken.
            pushed.raise();
            assert_eq!(scene.noted_in(5).await, ["9 b ends", "9 pushed begins"]);
            let later = scene.noted_in(2 * HOUR_S).await;
            assert_eq!(
                later,
                ["3600 a ends", "3600 bound ends", "3609 pushed ends"]
            );
        });
    }

    #[test]
    fn one_that_goes_away_leaves_its_place() {
        Sim::run(4, async |runtime| {
            let scene = Scene::new(runtime, 2);
            scene.pushed("a", HOUR_S);
            let gone = scene.begin("gone", HOUR_S, Signal::new()).abort_on_drop();
            let waits = scene.begin("waits", HOUR_S, Signal::new()).abort_on_drop();
            scene.runtime.sleep(Duration::from_secs(1)).await;
            drop((waits, gone));
            scene.pushed("quick", 1);
            assert_eq!(
                scene.noted_in(20).await,
                [
                    "0 a begins",
                    "0 gone begins",
                    "1 quick begins",
                    "2 quick ends"
                ]
            );
            assert_eq!(scene.places.waiting.get(), 0);
        });
    }
}
