//! The pipeline beside a log that runs its writes whenever it likes and bounces some of them.

use std::collections::VecDeque;
use std::future::ready;
use std::task::{Context, Waker};

use bytes::Bytes;
use innkeeper_proto::request::{Auth, PathWatch, SetData};
use proptest::prelude::*;

use super::*;
use crate::sessions::read_indexes::ReadIndexes;

/// What a client sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Answered from a view.
    Read,
    /// Answered by its result.
    Write,
    /// A write that an authorizer denies, whatever view it asks.
    Denied,
    /// A write that the log would not take.
    TooLong,
    /// Answered behind a read index.
    Sync,
    /// Answered when its turn comes.
    Ping,
    /// Credentials that hold.
    Credentials,
    /// Credentials that do not.
    WrongCredentials,
    /// closeSession.
    Close,
    /// Answered with an error; the connection stays.
    Unreadable,
    /// Answered with an error; the connection ends.
    NotServed,
}

impl Kind {
    const ALL: [Kind; 11] = [
        Kind::Read,
        Kind::Write,
        Kind::Denied,
        Kind::TooLong,
        Kind::Sync,
        Kind::Ping,
        Kind::Credentials,
        Kind::WrongCredentials,
        Kind::Close,
        Kind::Unreadable,
        Kind::NotServed,
    ];

    fn body(self) -> Body {
        Body::Plain(match self {
            Kind::Read => Request::GetData(PathWatch {
                path: "/a".into(),
                watch: false,
            }),
            Kind::Write | Kind::Denied | Kind::TooLong => Request::SetData(SetData {
                path: "/a".into(),
                data: None,
                version: -1,
            }),
            Kind::Sync => Request::Sync("/a".into()),
            Kind::Ping => Request::Ping,
            Kind::Credentials | Kind::WrongCredentials => Request::Auth(Auth {
                auth_type: 0,
                scheme: "digest".into(),
                auth: Bytes::new(),
            }),
            Kind::Close => Request::CloseSession,
            Kind::Unreadable => return Body::Refused(ErrorCode::MarshallingError),
            Kind::NotServed => return Body::Refused(ErrorCode::Unimplemented),
        })
    }

    /// Whether it goes to the log.
    fn is_sent(self) -> bool {
        matches!(self, Kind::Write | Kind::Close)
    }

    /// Whether its answer is the last one.
    fn is_last(self) -> bool {
        matches!(self, Kind::WrongCredentials | Kind::Close | Kind::NotServed)
    }
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// A request comes.
    Take(Kind),
    /// At most so many requests are examined.
    Examine(usize),
    /// The log comes to its next writes: true for those that bounce.
    Log(Vec<bool>),
    /// At most so many results arrive.
    Arrive(usize),
    /// The read index that is needed begins, unless one is under way.
    Begin,
    /// The read index that is under way is answered.
    Confirm,
    /// At most so many requests at the front are answered.
    Answer(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![
        8 => Just(Kind::Write),
        4 => Just(Kind::Read),
        4 => prop::sample::select(&Kind::ALL[..7]),
        1 => prop::sample::select(&Kind::ALL[..]),
    ];
    let step = prop_oneof![
        6 => kind.prop_map(Step::Take),
        3 => (1..6usize).prop_map(Step::Examine),
        2 => prop::collection::vec(prop::bool::weighted(0.3), 1..4).prop_map(Step::Log),
        2 => (1..4usize).prop_map(Step::Arrive),
        1 => Just(Step::Begin),
        1 => Just(Step::Confirm),
        2 => (1..4usize).prop_map(Step::Answer),
    ];
    prop::collection::vec(step, 1..120)
}

/// A write on its way to the log.
struct Submitted {
    seq: u64,
    xid: i32,
}

enum Outcome {
    Done,
    Bounced,
    Gap,
    Duplicate,
}

/// A connection, its pipeline, and the log behind it.
#[derive(Default)]
struct World {
    pipeline: Pipeline,
    /// What came, by its xid.
    taken: Vec<Kind>,
    /// How many were answered.
    answered: usize,
    is_over: bool,
    read_indexes: ReadIndexes,
    /// How many read indexes were begun.
    begun: u64,
    /// How many had begun when each request came.
    begun_before: Vec<u64>,
    /// Sent, and not yet come to.
    log: VecDeque<Submitted>,
    last_seq: u64,
    /// The xids of the writes that were run, in order.
    run: Vec<i32>,
    results: VecDeque<(u64, Outcome)>,
}

impl World {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Take(kind) => {
                let xid = i32::try_from(self.taken.len()).unwrap();
                self.taken.push(*kind);
                self.begun_before.push(self.begun);
                let (received, bytes) = (Instant::default(), 10 + self.taken.len());
                let read_index = self.read_indexes.next();
                self.pipeline
                    .push(xid, kind.body(), bytes, received, read_index);
            }
            Step::Examine(most) => {
                for _ in 0..*most {
                    self.examine();
                }
            }
            Step::Log(bounces) => bounces.iter().for_each(|bounces| self.log(*bounces)),
            Step::Arrive(most) => {
                for _ in 0..*most {
                    self.arrive();
                }
            }
            Step::Begin => self.begin(),
            Step::Confirm => self.confirm(),
            Step::Answer(most) => {
                for _ in 0..*most {
                    self.answer();
                }
            }
        }
        self.counts_are_right();
    }

    fn begin(&mut self) {
        if self.read_indexes.wants_call() {
            self.read_indexes.begin(Box::pin(ready(Ok(()))));
            self.begun += 1;
        }
    }

    fn confirm(&mut self) {
        let polled = self
            .read_indexes
            .poll(&mut Context::from_waker(Waker::noop()));
        polled.expect("nothing fails");
    }

    /// Whether a read index that began after that request came was answered.
    fn is_shown(&self, xid: i32) -> bool {
        self.read_indexes.answered() > self.begun_before[xid as usize]
    }

    /// Examines the next request as a session does; false if there is none that may be.
    fn examine(&mut self) -> bool {
        let answered = self.read_indexes.answered();
        let Some(next) = self.pipeline.next() else {
            return false;
        };
        let (xid, read_index) = (next.request.xid, next.request.read_index);
        if next.is_held_up(answered) {
            return false;
        }
        match self.taken[xid as usize] {
            Kind::Write | Kind::Close => {
                let seq = next.seq();
                next.sent();
                self.log.push_back(Submitted { seq, xid });
            }
            Kind::Denied if next.denial_counts(answered) => {
                next.decided(State::Failed(ErrorCode::NoAuth, 0));
                assert_eq!(self.pipeline.progress.in_flight, 0);
                assert!(self.is_shown(xid), "denied by a view that is too old");
            }
            Kind::Denied => {
                next.denied();
                self.read_indexes.want(read_index);
                return false;
            }
            Kind::TooLong => next.decided(State::Failed(ErrorCode::MarshallingError, 0)),
            Kind::WrongCredentials => next.decided(State::Failed(ErrorCode::AuthFailed, 0)),
            Kind::Sync => {
                self.read_indexes.want(read_index);
                next.decided(State::Syncing);
            }
            _ => next.decided(State::Waiting),
        }
        true
    }

    /// The log comes to the next write that was sent, as `host/tree` does.
    fn log(&mut self, bounces: bool) {
        let Some(Submitted { seq, xid }) = self.log.pop_front() else {
            return;
        };
        let outcome = match seq {
            seq if seq <= self.last_seq => Outcome::Duplicate,
            seq if seq - self.last_seq > 1 => Outcome::Gap,
            _ if bounces => Outcome::Bounced,
            _ => {
                self.last_seq = seq;
                self.run.push(xid);
                Outcome::Done
            }
        };
        self.results.push_back((seq, outcome));
    }

    /// The next result arrives; false if there is none, or if its turn has not come.
    fn arrive(&mut self) -> bool {
        let Some((seq, outcome)) = self.results.front() else {
            return false;
        };
        let seq = *seq;
        match (self.pipeline.result(seq).unwrap(), outcome) {
            (Due::Stale, Outcome::Gap) => {}
            (Due::Stale, _) => {
                panic!("the log ran write {seq}, or would have, and it is forgotten")
            }
            (_, Outcome::Bounced) => self.pipeline.bounced(seq),
            (Due::Later, Outcome::Done) => return false,
            (Due::Front(_), Outcome::Done) => self.leaves(),
            (_, Outcome::Gap | Outcome::Duplicate) => panic!("write {seq} was sent out of order"),
        }
        self.results.pop_front();
        true
    }

    /// Answers the request at the front; false if it waits for something.
    fn answer(&mut self) -> bool {
        if self.is_over {
            return false;
        }
        let in_flight = self.pipeline.progress.in_flight;
        let Some(front) = self.pipeline.front(self.read_indexes.answered()) else {
            return false;
        };
        let (xid, needs_view) = (front.request.xid, front.request.body.needs_view());
        if self.taken[xid as usize] == Kind::Sync {
            assert!(self.is_shown(xid), "a sync that is not confirmed");
        }
        if needs_view {
            assert_eq!(in_flight, 0, "a read that may not see all writes before it");
            self.sees_all_writes_before_it_and_none_behind();
        }
        self.leaves();
        true
    }

    /// What a view shows now must be right for the request at the front.
    fn sees_all_writes_before_it_and_none_behind(&self) {
        let before = self.taken[..self.answered].iter().enumerate();
        let sent = before.filter(|(_, kind)| kind.is_sent());
        let expected: Vec<_> = sent.map(|(xid, _)| xid as i32).collect();
        assert_eq!(self.run, expected);
    }

    fn leaves(&mut self) {
        assert!(!self.is_over, "an answer behind the last one");
        let request = self.pipeline.answered().expect("it was at the front");
        assert_eq!(request.xid as usize, self.answered, "answered out of order");
        self.is_over = self.taken[self.answered].is_last();
        self.answered += 1;
    }

    fn counts_are_right(&self) {
        let Pipeline {
            requests,
            bytes,
            progress,
            sends,
        } = &self.pipeline;
        let (examined, waiting) = {
            let (front, back) = (progress.examined, requests.len());
            assert!(front <= back);
            (requests.range(..front), requests.range(front..))
        };
        let in_flight: Vec<_> = examined
            .clone()
            .filter_map(|request| match request.state {
                State::InFlight(seq) => Some(seq),
                _ => None,
            })
            .collect();
        let this_round = sends.unanswered.iter();
        let this_round = this_round.filter(|sent| sent.round == sends.round);
        let sent: Vec<_> = this_round.map(|sent| sent.seq).collect();
        assert_eq!(in_flight, sent);
        assert_eq!(in_flight.len(), progress.in_flight);
        assert!(in_flight.iter().all(|seq| *seq < sends.next_seq));
        assert!(in_flight.is_sorted());
        let reads = examined.clone().filter(|request| request.body.needs_view());
        assert_eq!(reads.count(), progress.reads_ahead);
        let ends = |request: &Pending| request.ends_connection();
        assert!(
            examined.clone().rev().skip(1).all(|request| !ends(request)),
            "something is examined behind the end"
        );
        assert_eq!(
            examined.clone().next_back().is_some_and(ends),
            progress.closing && examined.len() > 0
        );
        assert!(
            waiting
                .clone()
                .all(|request| matches!(request.state, State::Waiting | State::Denied))
        );
        let all: usize = requests.iter().map(|request| request.bytes).sum();
        assert_eq!(all, *bytes);
    }

    /// Lets everything come to its end, without a bounce.
    fn finish(&mut self) {
        loop {
            self.begin();
            self.confirm();
            let mut moved = false;
            while self.arrive() || self.answer() {
                moved = true;
            }
            while self.examine() {
                moved = true;
            }
            moved |= !self.log.is_empty() || self.read_indexes.wants_call();
            self.log(false);
            self.counts_are_right();
            if !moved {
                break;
            }
        }
        let ends = self.taken.iter().position(|kind| kind.is_last());
        let expected = ends.map_or(self.taken.len(), |at| at + 1);
        assert_eq!(self.answered, expected, "something is not answered");
        self.sees_all_writes_before_it_and_none_behind();
        assert_eq!(self.last_seq, self.run.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    /// Order, numbers, counts, what reads see: the invariants of [`Pipeline`].
    #[test]
    fn any_run_of_requests_and_results_keeps_the_order(steps in steps()) {
        let mut world = World::default();
        for step in &steps {
            world.step(step);
        }
        world.finish();
    }
}

fn pipeline_of(kinds: &[Kind]) -> Pipeline {
    let mut pipeline = Pipeline::default();
    for (xid, kind) in kinds.iter().enumerate() {
        pipeline.push(xid as i32, kind.body(), 1, Instant::default(), 1);
    }
    pipeline
}

#[test]
fn a_result_out_of_order_is_an_error() {
    let mut pipeline = pipeline_of(&[Kind::Write, Kind::Write]);
    assert_eq!(pipeline.result(1).err(), Some(OutOfOrder::NotSent));
    pipeline.next().expect("it may be examined").sent();
    pipeline.next().expect("it may be examined").sent();
    let not_due = OutOfOrder::NotDue { seq: 2, due: 1 };
    assert_eq!(pipeline.result(2).err(), Some(not_due));
    let too_early = OutOfOrder::TooEarly(1);
    assert_eq!(pipeline.sends.forget_stale(1), Err(too_early));
    assert!(matches!(pipeline.result(1), Ok(Due::Front(_))));
}

#[test]
fn what_was_sent_behind_a_bounce_is_sent_again_with_its_number() {
    let mut pipeline = pipeline_of(&[Kind::Write; 3]);
    for _ in 0..3 {
        pipeline.next().expect("it may be examined").sent();
    }
    pipeline.answered().expect("the first is answered");
    pipeline.bounced(2);
    for seq in [2, 3] {
        let next = pipeline.next().expect("it is examined again");
        assert_eq!((next.request.xid, next.seq()), (seq as i32 - 1, seq));
        next.sent();
    }
    assert!(matches!(pipeline.result(3), Ok(Due::Stale)));
    assert!(matches!(pipeline.result(2), Ok(Due::Front(_))));
}

#[test]
fn the_bounds_of_a_connection_and_its_share_of_the_nodes() {
    let mut pipeline = pipeline_of(&[Kind::Ping; 3]);
    assert!(!pipeline.is_full(4) && !pipeline.waits_for_others(4));
    assert!(pipeline.is_full(3) && pipeline.waits_for_others(3));
    let (body, received) = (Kind::Ping.body(), Instant::default());
    pipeline.push(3, body, MAX_PENDING_BYTES, received, 1);
    assert!(pipeline.is_full(usize::MAX), "its bytes");
    assert!(!pipeline.waits_for_others(3), "they are its own");
    let pipeline = pipeline_of(&[Kind::Ping; MAX_PENDING_REQUESTS]);
    assert!(pipeline.is_full(usize::MAX) && !pipeline.waits_for_others(1));
}

#[test]
fn nothing_is_answered_before_it_was_examined() {
    let mut pipeline = pipeline_of(&[Kind::Ping]);
    assert!(pipeline.front(0).is_none() && pipeline.answered().is_none());
    pipeline
        .next()
        .expect("it may be examined")
        .decided(State::Waiting);
    assert!(pipeline.front(0).is_some() && pipeline.answered().is_some());
    assert_eq!(pipeline.len(), 0);
}
