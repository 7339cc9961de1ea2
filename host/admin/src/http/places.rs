//! The places of a listener: how many clients may be connected, and how many of their requests are
//! answered at a time. They are shared out so that an idle or slow client holds up no other one.
//!
//! 1. Every client that connects is let in at once ([`Places::enter`]). If that is one too many, a
//!    connection is closed that has not sent a whole request, or that has its answer: the oldest of
//!    the address that has the most of them.
//! 2. A request whose head has come takes one of the places for answering ([`Visit::begin`]), or
//!    waits for one. The next free place goes to the address that has the fewest, and of its
//!    requests to the oldest.
//! 3. A request that has waited for [`PATIENCE`] takes a place from another one that has had it for
//!    so long: its client does not read the answer, or sends the body in drops. The oldest of the
//!    address that has the most of these is closed. The super user's requests are left alone.
//!
//! An IPv6 address counts together with all others of its /64, since one customer has all of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Instant, Runtime, Select2, Signal, select2};
use innkeeper_server::stats::Counter;
use parking_lot::Mutex;

/// After how long an answer may have to make room for others.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// How many connections a listener may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Connections at a time.
    pub(super) connections: usize,
    /// Requests that are answered at a time; fewer than `connections`.
    pub(super) answering: usize,
}

/// Whom a connection counts for: an IPv4 address, an IPv6 network of 64 bits, or, over a Unix
/// socket, nobody in particular.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Origin(Option<IpAddr>);

impl Origin {
    /// The origin of a peer.
    pub(super) fn of(peer: Option<SocketAddr>) -> Self {
        Self(peer.map(|peer| match peer.ip().to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from(network))
            }
            v4 @ IpAddr::V4(_) => v4,
        }))
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Its request's head has not come, or its answer has gone.
    Idle,
    /// It waits for a place.
    Waiting,
    /// It has had a place since that moment.
    Answering(Instant),
}

struct Visitor {
    origin: Origin,
    stage: Stage,
    /// Raised when it has a place.
    called: Signal,
    /// Raised when it has to go.
    ended: Signal,
    /// Raised when it has proved to be the super user.
    trusted: Signal,
}

/// The connections of one listener.
///
/// Invariants:
/// - At most `bounds.connections` stand here, and at most `bounds.answering` of them have a place.
/// - While somebody waits, all places are taken.
#[derive(Clone)]
pub(super) struct Places<R> {
    runtime: R,
    room: Arc<Mutex<Room>>,
}

struct Room {
    bounds: Bounds,
    /// In the order in which they came.
    visitors: BTreeMap<u64, Visitor>,
    next: u64,
    answering: usize,
    evicted: Arc<Counter>,
}

impl<R: Runtime> Places<R> {
    /// A listener without connections. `evicted` counts the connections that were closed to make room.
    pub(super) fn new(runtime: R, bounds: Bounds, evicted: Arc<Counter>) -> Self {
        let room = Room {
            bounds,
            visitors: BTreeMap::new(),
            next: 0,
            answering: 0,
            evicted,
        };
        Self {
            runtime,
            room: Arc::new(Mutex::new(room)),
        }
    }

    /// Lets a connection in. `trusted` is raised when it has proved to be the super user's.
    pub(super) fn enter(&self, origin: Origin, trusted: Signal) -> Visit<R> {
        let mut room = self.room.lock();
        if room.visitors.len() >= room.bounds.connections {
            room.make_room(self.runtime.now());
        }
        let number = room.next;
        room.next += 1;
        let (called, ended) = (Signal::new(), Signal::new());
        let visitor = Visitor {
            origin,
            stage: Stage::Idle,
            called: called.clone(),
            ended: ended.clone(),
            trusted,
        };
        room.visitors.insert(number, visitor);
        Visit {
            places: self.clone(),
            number,
            called,
            ended,
        }
    }
}

impl Room {
    /// How many connections of an address are in that state.
    fn count(&self, origin: Origin, fits: impl Fn(Stage) -> bool) -> usize {
        let all = self.visitors.values();
        all.filter(|other| other.origin == origin && fits(other.stage))
            .count()
    }

    /// Of those who fit, the oldest of the address that has the most of them.
    fn most_crowded(&self, fits: impl Fn(&Visitor) -> bool) -> Option<u64> {
        let mut crowds: BTreeMap<Origin, (usize, u64)> = BTreeMap::new();
        for (number, visitor) in &self.visitors {
            if fits(visitor) {
                let crowd = crowds.entry(visitor.origin).or_insert((0, *number));
                crowd.0 += 1;
            }
        }
        let most = crowds
            .into_values()
            .max_by_key(|(size, oldest)| (*size, std::cmp::Reverse(*oldest)));
        most.map(|(_, oldest)| oldest)
    }

    /// One has to go: somebody idle, or, where nobody is, somebody who waits.
    fn make_room(&mut self, now: Instant) {
        let idle = self.most_crowded(|visitor| visitor.stage == Stage::Idle);
        let victim = idle
            .or_else(|| self.most_crowded(|visitor| visitor.stage == Stage::Waiting))
            // With fewer places than connections somebody has none.
            .or_else(|| self.visitors.keys().next().copied());
        if let Some(victim) = victim {
            self.evict(victim, now);
        }
    }

    fn evict(&mut self, number: u64, now: Instant) {
        if let Some(visitor) = self.remove(number, now) {
            self.evicted.add(1);
            visitor.ended.raise();
        }
    }

    fn remove(&mut self, number: u64, now: Instant) -> Option<Visitor> {
        let visitor = self.visitors.remove(&number)?;
        if let Stage::Answering(_) = visitor.stage {
            self.answering -= 1;
            self.call_next(now);
        }
        Some(visitor)
    }

    /// Gives free places to those who wait.
    fn call_next(&mut self, now: Instant) {
        while self.answering < self.bounds.answering {
            let waiting = self.visitors.iter();
            let waiting = waiting.filter(|(_, visitor)| visitor.stage == Stage::Waiting);
            let next = waiting
                .min_by_key(|(number, visitor)| {
                    let has = |stage| matches!(stage, Stage::Answering(_));
                    (self.count(visitor.origin, has), **number)
                })
                .map(|(number, _)| *number);
            let Some(visitor) = next.and_then(|next| self.visitors.get_mut(&next)) else {
                return;
            };
            visitor.stage = Stage::Answering(now);
            visitor.called.raise();
            self.answering += 1;
        }
    }
}

/// A connection that is in. It leaves when this is dropped.
pub(super) struct Visit<R: Runtime> {
    places: Places<R>,
    number: u64,
    called: Signal,
    /// Raised when the connection has to go: it made room for another one.
    pub(super) ended: Signal,
}

impl<R: Runtime> Visit<R> {
    /// Waits for a place for the connection's request. Of one that has to go meanwhile, never
    /// returns.
    pub(super) async fn begin(&self) {
        let runtime = &self.places.runtime;
        {
            let mut room = self.places.room.lock();
            if let Some(visitor) = room.visitors.get_mut(&self.number)
                && visitor.stage == Stage::Idle
            {
                visitor.stage = Stage::Waiting;
            }
            room.call_next(runtime.now());
        }
        while let Select2::Second(()) = select2(self.called.wait(), runtime.sleep(PATIENCE)).await {
            self.press(runtime.now());
        }
    }

    /// Takes a place from somebody who has had it for long.
    fn press(&self, now: Instant) {
        let mut room = self.places.room.lock();
        let slow = room.most_crowded(|visitor| {
            matches!(visitor.stage, Stage::Answering(since) if now.since(since) >= PATIENCE)
                && !visitor.trusted.is_raised()
        });
        if let Some(slow) = slow {
            room.evict(slow, now);
        }
    }

    /// The answer has gone: the place is free, and the connection may go when another one comes.
    pub(super) fn answered(&self) {
        let mut room = self.places.room.lock();
        if let Some(visitor) = room.visitors.get_mut(&self.number)
            && let Stage::Answering(_) = visitor.stage
        {
            visitor.stage = Stage::Idle;
            room.answering -= 1;
            room.call_next(self.places.runtime.now());
        }
    }
}

impl<R: Runtime> Drop for Visit<R> {
    fn drop(&mut self) {
        let now = self.places.runtime.now();
        let _ = self.places.room.lock().remove(self.number, now);
    }
}

#[cfg(test)]
mod tests {
    use innkeeper_runtime::{Sim, Simulated, ThreadRole};

    use super::*;

    const BOUNDS: Bounds = Bounds {
        connections: 8,
        answering: 3,
    };

    fn places(runtime: &Simulated) -> Places<Simulated> {
        Places::new(runtime.clone(), BOUNDS, Arc::new(Counter::default()))
    }

    fn from(last: u8) -> Origin {
        Origin::of(Some(SocketAddr::from(([10, 0, 0, last], 1000))))
    }

    fn enter(places: &Places<Simulated>, origin: Origin) -> Visit<Simulated> {
        places.enter(origin, Signal::new())
    }

    /// The request of a visit, in a task of its own, which notes when it has its place.
    fn ask(runtime: &Simulated, visit: &Arc<Visit<Simulated>>, done: &Signal) {
        let (visit, done) = (Arc::clone(visit), done.clone());
        let asked = async move {
            visit.begin().await;
            done.raise();
        };
        runtime.spawn(ThreadRole::Admin, asked).detach();
    }

    #[test]
    fn networks_of_one_customer_are_one_origin() {
        let of = |text: &str| Origin::of(Some(text.parse().unwrap()));
        assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::ffff:1:2:3]:9"));
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8:0:1::1]:1"));
        assert_eq!(of("[::ffff:10.0.0.1]:1"), of("10.0.0.1:2"));
        assert_ne!(of("10.0.0.1:1"), of("10.0.0.2:1"));
        assert_eq!(Origin::of(None), Origin::of(None));
    }

    #[test]
    fn the_oldest_idle_one_of_the_largest_crowd_makes_room() {
        Sim::run(1, async |runtime| {
            let places = places(&runtime);
            let modest = enter(&places, from(1));
            let crowd: Vec<_> = (0..7).map(|_| enter(&places, from(2))).collect();
            let newcomer = enter(&places, from(3));
            assert!(crowd[0].ended.is_raised(), "the oldest of the crowd goes");
            let gone = |all: &[Visit<_>]| all.iter().filter(|one| one.ended.is_raised()).count();
            assert_eq!((gone(&crowd), modest.ended.is_raised()), (1, false));
            // The crowd displaces itself alone.
            let more: Vec<_> = (0..20).map(|_| enter(&places, from(2))).collect();
            assert_eq!(gone(&crowd) + gone(&more), 21);
            assert!(!modest.ended.is_raised() && !newcomer.ended.is_raised());
            assert_eq!(places.room.lock().visitors.len(), BOUNDS.connections);
            assert_eq!(places.room.lock().evicted.get(), 21);
        });
    }

    #[test]
    fn the_next_place_goes_to_who_has_the_fewest() {
        Sim::run(1, async |runtime| {
            let places = places(&runtime);
            let done: Vec<Signal> = (0..6).map(|_| Signal::new()).collect();
            let visits: Vec<_> = [1, 1, 1, 1, 1, 2]
                .into_iter()
                .map(|last| Arc::new(enter(&places, from(last))))
                .collect();
            for (visit, done) in visits.iter().zip(&done) {
                ask(&runtime, visit, done);
            }
            runtime.sleep(PATIENCE / 2).await;
            let placed = || done.iter().map(Signal::is_raised).collect::<Vec<_>>();
            assert_eq!(placed(), [true, true, true, false, false, false]);
            visits[0].answered();
            runtime.sleep(Duration::from_millis(1)).await;
            assert_eq!(placed(), [true, true, true, false, false, true]);
            // Who has an answer is idle again, and nobody had to go.
            assert!(visits.iter().all(|visit| !visit.ended.is_raised()));
            visits[1].answered();
            runtime.sleep(Duration::from_millis(1)).await;
            assert_eq!(placed(), [true, true, true, true, false, true]);
        });
    }

    #[test]
    fn an_answer_that_takes_long_makes_room_but_for_the_super_users() {
        Sim::run(1, async |runtime| {
            let places = places(&runtime);
            let trusted = Signal::new();
            let done = Signal::new();
            let super_users = Arc::new(places.enter(from(1), trusted.clone()));
            let slow: Vec<_> = (0..2).map(|_| Arc::new(enter(&places, from(1)))).collect();
            for visit in [&super_users].into_iter().chain(&slow) {
                ask(&runtime, visit, &Signal::new());
            }
            runtime.sleep(PATIENCE / 2).await;
            trusted.raise();
            let began = runtime.now();
            let quick = Arc::new(enter(&places, from(2)));
            ask(&runtime, &quick, &done);
            done.wait().await;
            assert_eq!(runtime.now().since(began), PATIENCE);
            assert!(!super_users.ended.is_raised());
            let gone = [slow[0].ended.is_raised(), slow[1].ended.is_raised()];
            assert_eq!(gone, [true, false]);
        });
    }

    #[test]
    fn those_who_leave_leave_their_places() {
        Sim::run(1, async |runtime| {
            let places = places(&runtime);
            for _ in 0..100 {
                let visit = enter(&places, from(1));
                visit.begin().await;
                assert!(places.room.lock().answering <= BOUNDS.answering);
            }
            let room = places.room.lock();
            assert_eq!((room.visitors.len(), room.answering), (0, 0));
        });
    }
}
