use std::collections::BTreeMap;
use std::sync::Arc;

use innkeeper_tree::applied::Applied;
use innkeeper_tree::transaction::Read;
use innkeeper_tree::{Ticket, Transaction, Tree, Zxid};
use proptest::prelude::*;

use super::*;
use crate::Delivery;
use crate::error::{Failure, Refusal};
use crate::proposals::Proposals;
use crate::settings::Settings;

const HOLD_BACK: Duration = Duration::from_millis(5);

struct NoDelivery;

impl Delivery for NoDelivery {
    fn deliver(&self, _batch: Vec<Applied>, _publish: &mut dyn FnMut()) {}
    fn installed(&self, _before: &View, _after: &View, _publish: &mut dyn FnMut()) {}
    fn refused(&self, _operation: Operation, _refusal: Refusal) {}
}

/// The proposer's task without a log: the operations that come in, and the order in which they go
/// out.
struct Desk {
    fairness: Fairness,
    proposals: Proposals,
    footprints: InFlight,
    view: View,
    intake: VecDeque<(Operation, Holder)>,
    out: Vec<Operation>,
    now: Instant,
}

impl Desk {
    fn new() -> Self {
        let delivery = Arc::new(NoDelivery);
        let (proposals, _queue) = Proposals::new(&Settings::default(), Failure::new(), delivery);
        Self {
            fairness: Fairness::new(HOLD_BACK),
            proposals,
            footprints: InFlight::new(7),
            view: Tree::new().reader().view(),
            intake: VecDeque::new(),
            out: Vec::new(),
            now: Instant::from_nanos(1_000_000_000),
        }
    }

    fn comes(&mut self, operation: Operation) {
        let room = self.proposals.room_now(1).expect("the queue has room");
        self.intake.push_back((operation, Holder::Own(room)));
    }

    fn lost(&mut self, operation: &Operation) {
        let (footprints, view) = (&self.footprints, &self.view);
        self.fairness.lost(operation, footprints, view, self.now);
    }

    /// Proposes a batch of at most so many.
    fn turn(&mut self, most: usize) {
        for _ in 0..most {
            let (intake, footprints) = (&mut self.intake, &self.footprints);
            let Some((operation, _room)) = self.fairness.next(intake, footprints, self.now) else {
                return;
            };
            self.out.push(operation);
        }
    }

    /// How many operations are neither out nor still to be looked at.
    fn held(&self) -> usize {
        self.fairness.waiting.len()
    }
}

fn path_of(place: u8) -> String {
    format!("/p{place}")
}

/// The write of a session with that number.
fn write(session: u64, seq: u64, place: u8) -> Operation {
    let op = WriteOp::SetData {
        path: path_of(place),
        data: None,
        version: -1,
    };
    Operation::Session {
        session: SessionId(session),
        attachment: 1,
        seq,
        request: SessionRequest::Write {
            identities: Vec::new(),
            policy_zxid: Some(Zxid(0)),
            write: Write::Single(op),
            enforce_quota: false,
            upgrade_local: false,
        },
    }
}

fn close(session: u64, seq: u64) -> Operation {
    Operation::Session {
        session: SessionId(session),
        attachment: 1,
        seq,
        request: SessionRequest::Close,
    }
}

/// A transaction of a binding that read these.
fn transaction(binding: u8, places: &[u8]) -> Operation {
    let read = |place: &u8| Read::Node {
        path: path_of(*place),
        mzxid: Zxid(1),
    };
    Operation::Transaction {
        ticket: Ticket(1),
        transaction: Transaction {
            binding: format!("b{binding}"),
            activation: Zxid(1),
            depth: 0,
            reads: places.iter().map(read).collect(),
            writes: Vec::new(),
            acks: Vec::new(),
            called: Vec::new(),
        },
    }
}

/// The numbers of a session's operations, in the order in which they went out.
fn seqs(out: &[Operation], of: u64) -> Vec<u64> {
    let seq = |operation: &Operation| match operation {
        Operation::Session { session, seq, .. } if session.0 == of => Some(*seq),
        _ => None,
    };
    out.iter().filter_map(seq).collect()
}

#[test]
fn writes_behind_the_favoured_transaction_do_not_pass_those_that_waited_for_it() {
    let mut desk = Desk::new();
    let loser = transaction(1, &[1]);
    (0..LOSSES).for_each(|_| desk.lost(&loser));
    // One intake: two writes that wait, one that waits only behind them, the favoured one, more.
    desk.comes(write(7, 1, 1));
    desk.comes(write(7, 2, 1));
    desk.comes(write(7, 3, 2));
    desk.comes(loser.clone());
    desk.comes(write(7, 4, 1));
    desk.comes(write(7, 5, 2));
    desk.comes(close(7, 6));
    desk.turn(usize::MAX);
    desk.turn(usize::MAX);
    assert_eq!(desk.out.first(), Some(&loser), "it was favoured");
    assert_eq!(seqs(&desk.out, 7), [1, 2, 3, 4, 5, 6]);
    assert_eq!(desk.held(), 0);
}

#[test]
fn nothing_waits_longer_than_once_however_many_keep_losing() {
    let mut desk = Desk::new();
    let millisecond = Duration::from_millis(1);
    let begin = desk.now;
    (0..LOSSES).for_each(|_| desk.lost(&transaction(0, &[1])));
    desk.comes(write(7, 1, 1));
    desk.comes(write(7, 2, 2));
    // Each millisecond another binding has lost three times, and none comes back.
    for binding in 1..50 {
        desk.turn(usize::MAX);
        if desk.out.len() == 2 {
            break;
        }
        desk.now = desk.now + millisecond;
        (0..LOSSES).for_each(|_| desk.lost(&transaction(binding, &[1])));
    }
    assert_eq!(seqs(&desk.out, 7), [1, 2]);
    assert!(desk.now - begin <= HOLD_BACK, "{:?}", desk.now - begin);
}

/// What may happen to the proposer.
#[derive(Clone, Debug)]
enum Step {
    Write { session: u64, place: u8 },
    Close { session: u64 },
    Expire { session: u64 },
    Reattach { session: u64 },
    Transaction { binding: u8, places: Vec<u8> },
    Activate,
    LostRaces { binding: u8, places: Vec<u8> },
    Bounces { session: u64 },
    Pass { micros: u64 },
    Turn { most: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let places = || prop::collection::vec(0..4u8, 1..3);
    let step = prop_oneof![
        12 => (0..3u64, 0..4u8).prop_map(|(session, place)| Step::Write { session, place }),
        1 => (0..3u64).prop_map(|session| Step::Close { session }),
        1 => (0..3u64).prop_map(|session| Step::Expire { session }),
        1 => (0..3u64).prop_map(|session| Step::Reattach { session }),
        3 => (0..3u8, places()).prop_map(|(binding, places)| Step::Transaction { binding, places }),
        1 => Just(Step::Activate),
        3 => (0..3u8, places()).prop_map(|(binding, places)| Step::LostRaces { binding, places }),
        1 => (0..3u64).prop_map(|session| Step::Bounces { session }),
        3 => (0..6000u64).prop_map(|micros| Step::Pass { micros }),
        5 => (1..8usize).prop_map(|most| Step::Turn { most }),
    ];
    prop::collection::vec(step, 0..120)
}

/// The session that an operation names.
fn named(operation: &Operation) -> Option<u64> {
    match operation {
        Operation::Session { session, .. }
        | Operation::ExpireSession { session, .. }
        | Operation::Reattach { session, .. } => Some(session.0),
        _ => None,
    }
}

fn by_session(operations: &[Operation]) -> BTreeMap<u64, Vec<Operation>> {
    let mut by: BTreeMap<u64, Vec<Operation>> = BTreeMap::new();
    for operation in operations {
        if let Some(session) = named(operation) {
            by.entry(session).or_default().push(operation.clone());
        }
    }
    by
}

proptest! {
    /// Whatever comes, loses and waits: the operations of a session go out in the order in which
    /// they came, none is lost, and none waits longer than `hold_back` once the proposer has time
    /// for it.
    #[test]
    fn what_a_session_sends_first_goes_first_and_nothing_is_held_for_ever(steps in steps()) {
        let mut desk = Desk::new();
        let mut came = Vec::new();
        for (seq, step) in (1..).zip(steps) {
            let operation = match step {
                Step::Write { session, place } => Some(write(session, seq, place)),
                Step::Close { session } => Some(close(session, seq)),
                Step::Expire { session } => Some(Operation::ExpireSession {
                    session: SessionId(session),
                    attachment: seq as u32,
                }),
                Step::Reattach { session } => Some(Operation::Reattach {
                    ticket: Ticket(seq),
                    session: SessionId(session),
                    password: [0; 16],
                    timeout_ms: 1,
                }),
                Step::Transaction { binding, places } => Some(transaction(binding, &places)),
                Step::Activate => Some(Operation::Activate {
                    ticket: Ticket(seq),
                    binding: "b1".to_owned(),
                    wish: Zxid(1),
                }),
                Step::LostRaces { binding, places } => {
                    let loser = transaction(binding, &places);
                    (0..LOSSES).for_each(|_| desk.lost(&loser));
                    None
                }
                Step::Bounces { session } => {
                    (0..LOSSES).for_each(|_| desk.lost(&write(session, 0, 0)));
                    None
                }
                Step::Pass { micros } => {
                    desk.now = desk.now + Duration::from_micros(micros);
                    None
                }
                Step::Turn { most } => {
                    desk.turn(most);
                    None
                }
            };
            if let Some(operation) = operation {
                came.push(operation.clone());
                desk.comes(operation);
            }
        }
        // All were looked at now: each that waits has waited since now at the latest, and others go
        // on losing races.
        desk.turn(usize::MAX);
        for binding in 10..14 {
            desk.now = desk.now + HOLD_BACK / 4;
            (0..LOSSES).for_each(|_| desk.lost(&transaction(binding, &[0, 1, 2, 3])));
        }
        desk.turn(usize::MAX);
        prop_assert_eq!(desk.held(), 0, "something is held for longer than once");
        prop_assert_eq!(desk.out.len(), came.len());
        prop_assert_eq!(by_session(&desk.out), by_session(&came));
    }
}
