use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::*;
use crate::clock::Clock;

fn poll(asking: &mut Asking) -> Option<Held> {
    match Pin::new(asking).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(held) => Some(held),
        Poll::Pending => None,
    }
}

fn account(time: &Arc<VirtualTime>, used: u64) -> Arc<Account> {
    let account = Account::new(Arc::clone(time), Clock::new(|| Duration::ZERO));
    account.charge(used);
    account
}

fn want(memory_bytes: u64, is_doubtful: bool) -> Want {
    Want {
        memory_bytes,
        is_doubtful,
        goes_on: false,
    }
}

#[test]
fn who_used_least_is_served_first_and_of_equals_who_begins() {
    let time = Arc::default();
    let shares = Shares::new(Stock::whole(1, 0));
    let [little, some, much] = [1, 10, 100].map(|used| account(&time, used));
    let held = shares.ask_now(&much, want(0, false)).expect("a free place");
    let mut first_come = shares.ask(&much, want(0, false));
    let going_on = Want {
        goes_on: true,
        ..want(0, false)
    };
    let mut goes_on = shares.ask(&some, going_on);
    let mut begins = shares.ask(&some, want(0, false));
    let mut last_come = shares.ask(&little, want(0, false));
    drop(held);
    for (name, asking) in [
        ("little", &mut last_come),
        ("some, begins", &mut begins),
        ("some, goes on", &mut goes_on),
        ("much", &mut first_come),
    ] {
        assert!(poll(asking).is_some(), "{name}");
    }
}

#[test]
fn those_in_doubtful_standing_hold_half_and_one_in_good_standing_finds_a_place() {
    let time = Arc::default();
    let shares = Shares::new(Stock::halved(8, 800));
    let loops: Vec<_> = (0..100).map(|_| account(&time, 0)).collect();
    let mut asked: Vec<_> = loops
        .iter()
        .map(|account| shares.ask(account, want(10, true)))
        .collect();
    let mut held: Vec<_> = asked.iter_mut().filter_map(poll).collect();
    assert_eq!(held.len(), 4);
    // However much it used itself.
    let good = account(&time, 1_000_000);
    for _ in 0..4 {
        let place = shares.ask_now(&good, want(10, false));
        held.push(place.expect("places of those in good standing"));
    }
    assert!(shares.ask_now(&good, want(10, false)).is_none());
    assert!(shares.ask_now(&loops[0], want(10, true)).is_none());
    drop(asked);
    drop(held);
    let alone = shares.ask_now(&loops[0], want(700, true));
    assert!(alone.is_some(), "alone it may have more than half");
    assert!(shares.ask_now(&loops[1], want(10, true)).is_none());
    assert!(shares.ask_now(&good, want(100, false)).is_some());
}

#[test]
fn the_small_do_not_pass_the_large_who_used_less() {
    let time = Arc::default();
    let shares = Shares::new(Stock::whole(10, 100));
    let (little, much) = (account(&time, 0), account(&time, 5));
    let held = shares.ask_now(&much, want(60, false));
    let mut large = shares.ask(&little, want(80, false));
    let mut small = shares.ask(&much, want(10, false));
    assert!(poll(&mut large).is_none());
    assert!(poll(&mut small).is_none());
    drop(held);
    let large_held = poll(&mut large).expect("there is enough now");
    let small_held = poll(&mut small).expect("and for this one, too");
    // The large one gives up: whoever stood behind it is served.
    let mut larger = shares.ask(&little, want(90, false));
    let mut behind = shares.ask(&much, want(10, false));
    assert!(poll(&mut larger).is_none() && poll(&mut behind).is_none());
    drop(larger);
    assert!(poll(&mut behind).is_some());
    drop((large_held, small_held));
}

/// Any order of asking, waiting, going away and giving back.
#[test]
fn nothing_is_lost_and_nobody_is_left_behind() {
    let mut random = 7u64;
    let mut draw = |most: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % most
    };
    for round in 0..200 {
        let time = Arc::default();
        let shares = Shares::new(Stock::halved(6, 100));
        let accounts: Vec<_> = (0..10).map(|used| account(&time, used)).collect();
        let mut asking = Vec::new();
        let mut held = Vec::new();
        for _ in 0..300 {
            match draw(5) {
                0 | 1 => {
                    let who = draw(10) as usize;
                    asking.push(shares.ask(&accounts[who], want(draw(100), draw(2) == 0)));
                }
                2 if !held.is_empty() => {
                    held.swap_remove(draw(held.len() as u64) as usize);
                }
                3 if !asking.is_empty() => {
                    drop(asking.swap_remove(draw(asking.len() as u64) as usize));
                }
                _ if !asking.is_empty() => {
                    let at = draw(asking.len() as u64) as usize;
                    if let Some(place) = poll(&mut asking[at]) {
                        drop(asking.swap_remove(at));
                        held.push(place);
                    }
                }
                _ => {}
            }
            let state = shares.state.lock();
            assert!(state.held.places <= 6 && state.held.memory_bytes <= 100);
            let doubtful = state.held_doubtful;
            assert!(doubtful.places <= 3);
            assert!(doubtful.places <= 1 || doubtful.memory_bytes <= 50);
            let waiting = state.good.len() + state.doubtful.len() + state.granted.len();
            assert!(waiting <= asking.len(), "round {round}");
        }
        while !asking.is_empty() {
            held.clear();
            let before = asking.len();
            let mut at = 0;
            while at < asking.len() {
                match poll(&mut asking[at]) {
                    Some(place) => {
                        drop(asking.swap_remove(at));
                        held.push(place);
                    }
                    None => at += 1,
                }
            }
            assert!(asking.len() < before, "round {round}: nobody is served");
        }
        held.clear();
        let state = shares.state.lock();
        assert_eq!((state.held.places, state.held.memory_bytes), (0, 0));
        assert_eq!(state.held_doubtful.places, 0);
        assert!(state.granted.is_empty() && state.good.is_empty() && state.doubtful.is_empty());
    }
}
