use super::*;
use crate::types::log_id;

const DEAD: NodeId = 2;

fn led() -> Led {
    Led {
        vote: Vote::new_committed(4, DEAD),
        leader: DEAD,
        voters: vec![[1, DEAD, 3, 5, 7].into()],
    }
}

fn opinion() -> Opinion {
    Opinion {
        dead: Some(led()),
        ..Opinion::default()
    }
}

fn question(node: NodeId, index: u64) -> Question {
    Question {
        vote: led().vote,
        node,
        last: Some(log_id(4, index)),
    }
}

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

#[test]
fn ranks_leave_the_leader_out_and_a_majority_is_one_of_each_set() {
    let ranks: Vec<_> = [1, 3, 5, 7].iter().map(|node| led().rank(*node)).collect();
    assert_eq!(ranks, [0, 1, 2, 3]);
    assert!(!led().is_majority(&[1, 3].into()));
    assert!(led().is_majority(&[1, 3, 7].into()));
    let joint = Led {
        voters: vec![[1, DEAD, 3].into(), [3, 5, 7].into()],
        ..led()
    };
    assert!(!joint.is_majority(&[1, 3].into()));
    assert!(joint.is_majority(&[1, 3, 5].into()));
}

#[test]
fn a_question_and_its_answer_are_read_back() {
    let asked = question(3, 9);
    assert_eq!(Question::read(&asked.put()).unwrap(), asked);
    for agrees in [true, false] {
        let answer = message::bytes(|out| put_answer(out, agrees));
        assert_eq!(read_answer(&answer).unwrap(), agrees);
    }
    assert!(read_answer(&[message::VERSION]).is_err());
}

#[test]
fn a_voter_agrees_only_if_the_same_leader_is_dead_for_it_and_its_log_is_not_longer() {
    let own = Some(log_id(4, 10));
    let mut alive = Opinion::default();
    assert!(!alive.agrees(3, own, &question(1, 10), at(0)));
    let of_an_older_term = Question {
        vote: Vote::new_committed(3, DEAD),
        ..question(1, 10)
    };
    assert!(!opinion().agrees(3, own, &of_an_older_term, at(0)));
    assert!(!opinion().agrees(3, own, &question(1, 9), at(0)));
    assert!(opinion().agrees(3, own, &question(1, 10), at(0)));
    assert!(opinion().agrees(3, own, &question(7, 11), at(0)));
}

#[test]
fn a_voter_agrees_to_one_node_at_a_time() {
    let own = Some(log_id(4, 10));
    let mut third = opinion();
    assert!(third.agrees(3, own, &question(5, 10), at(0)));
    assert!(third.agrees(3, own, &question(5, 10), at(20)));
    assert!(!third.agrees(3, own, &question(1, 10), at(40)));
    assert!(!third.may_ask(3, at(40)));
    // The node that it has agreed to has died as well, or finds no majority.
    let over = 20 + AGREED.as_millis() as u64;
    assert!(third.agrees(3, own, &question(1, 10), at(over)));
}

/// Two that ask at the same time: the one with the longer log goes on, or else the one of the lower
/// rank, and the other one does not stand even if a majority agrees.
#[test]
fn of_two_that_ask_one_goes_on() {
    for (last_1, last_3) in [(10, 10), (11, 10), (10, 11)] {
        let (mut first, mut third) = (opinion(), opinion());
        assert!(first.may_ask(1, at(0)));
        assert!(third.may_ask(3, at(0)));
        let to_third = third.agrees(3, Some(log_id(4, last_3)), &question(1, last_1), at(1));
        let to_first = first.agrees(1, Some(log_id(4, last_1)), &question(3, last_3), at(1));
        assert_ne!(to_third, to_first);
        assert_eq!(to_third, last_1 >= last_3);
        assert_eq!(first.may_stand(1), to_third);
        assert_eq!(third.may_stand(3), to_first);
        // The one that stands agrees to nobody any more, whatever its log.
        let stands = if to_third { &mut first } else { &mut third };
        assert!(!stands.agrees(1, None, &question(7, 99), at(2)));
    }
}
