use super::*;

const SESSION: SessionId = SessionId(7);

/// Advances until something happens. Returns the number of ticks and what happened.
fn next(expiry: &Expiry, limit: usize) -> Option<(usize, Step)> {
    (1..=limit).find_map(|n| expiry.tick(true).pop().map(|step| (n, step)))
}

#[test]
fn a_silent_session_is_probed_and_then_expired_with_its_attachment() {
    let expiry = Expiry::new(100, false);
    expiry.opened(SESSION, 3, 1000);
    assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
    assert_eq!(
        next(&expiry, 50),
        None,
        "nobody has looked at the socket yet"
    );
    expiry.heartbeat(SESSION).unwrap().nothing_buffered();
    assert_eq!(next(&expiry, 2), Some((1, Step::Expire(SESSION, 3))));
    assert!(next(&expiry, 30).is_some(), "a lost proposal is repeated");
    expiry.ended(SESSION);
    assert_eq!(next(&expiry, 3000), None);
}

#[test]
fn input_found_by_the_probe_keeps_the_session() {
    let expiry = Expiry::new(100, false);
    expiry.opened(SESSION, 1, 1000);
    assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
    let heartbeat = expiry.heartbeat(SESSION).unwrap();
    expiry.heard(&heartbeat).unwrap();
    heartbeat.nothing_buffered();
    assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
}

#[test]
fn a_session_that_is_heard_lives_on_and_long_timeouts_pass_the_wheel() {
    let expiry = Expiry::new(10, false);
    expiry.opened(SESSION, 1, 100_000);
    let heartbeat = expiry.heartbeat(SESSION).unwrap();
    for _ in 0..5000 {
        assert_eq!(expiry.tick(true), []);
    }
    expiry.heard(&heartbeat).unwrap();
    assert_eq!(next(&expiry, 20_000), Some((10_001, Step::Probe(SESSION))));
}

#[test]
fn a_shorter_timeout_holds_at_once_and_a_longer_one_too() {
    let expiry = Expiry::new(100, false);
    expiry.opened(SESSION, 1, 10_000);
    expiry.tick(true);
    expiry.opened(SESSION, 2, 1000);
    assert_eq!(expiry.len(), 1);
    assert_eq!(next(&expiry, 200), Some((11, Step::Probe(SESSION))));
    expiry.opened(SESSION, 3, 10_000);
    assert_eq!(next(&expiry, 200), Some((101, Step::Probe(SESSION))));
    expiry.heartbeat(SESSION).unwrap().nothing_buffered();
    assert_eq!(next(&expiry, 2), Some((1, Step::Expire(SESSION, 3))));
}

#[test]
fn a_restart_gives_the_full_timeout() {
    let expiry = Expiry::new(100, false);
    expiry.opened(SESSION, 1, 1000);
    for _ in 0..9 {
        expiry.tick(true);
    }
    expiry.renew_all();
    assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
}

#[test]
fn ticks_without_a_lease_count_for_local_sessions_alone() {
    let expiry = Expiry::new(100, true);
    expiry.opened(SESSION, 1, 1000);
    expiry.opened_local(SessionId(8), 1, 1000);
    let local = expiry.heartbeat(SessionId(8)).unwrap();
    for _ in 0..10 {
        assert_eq!(expiry.tick(false), []);
    }
    assert_eq!(expiry.tick(false), [Step::Probe(SessionId(8))]);
    local.nothing_buffered();
    assert_eq!(expiry.tick(false), [Step::Expire(SessionId(8), 1)]);
    expiry.ended(SessionId(8));
    for _ in 0..3000 {
        assert_eq!(expiry.tick(false), []);
    }
    assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
    // While its time stands still, nothing more happens to it.
    expiry.heartbeat(SESSION).unwrap().nothing_buffered();
    for _ in 0..50 {
        assert_eq!(expiry.tick(false), []);
    }
    assert_eq!(next(&expiry, 2), Some((1, Step::Expire(SESSION, 1))));
}

#[test]
fn what_was_heard_is_reported_until_a_report_is_acknowledged() {
    let expiry = Expiry::new(100, true);
    expiry.opened(SESSION, 1, 1000);
    expiry.opened_local(SessionId(8), 1, 1000);
    let (heartbeat, local) = (
        expiry.heartbeat(SESSION).unwrap(),
        expiry.heartbeat(SessionId(8)).unwrap(),
    );
    let taken = |expiry: &Expiry| {
        let taken = expiry.take_unreported();
        (taken.len(), taken)
    };
    for _ in 0..3 {
        expiry.heard(&heartbeat).unwrap();
        expiry.heard(&local).unwrap();
    }
    let (1, first) = taken(&expiry) else {
        panic!("one session is to be reported");
    };
    assert_eq!(taken(&expiry).0, 0);
    // The report is lost.
    expiry.not_reported(first);
    let (1, second) = taken(&expiry) else {
        panic!("it is reported again");
    };
    // It is heard again while the report is on its way, and the report is acknowledged.
    expiry.heard(&heartbeat).unwrap();
    expiry.reported(&second);
    assert_eq!(expiry.asked(SESSION, || {}), Found::Heard);
    let (1, third) = taken(&expiry) else {
        panic!("what was heard later is reported");
    };
    // Lost again, and heard meanwhile: it is there once.
    expiry.heard(&heartbeat).unwrap();
    expiry.not_reported(third);
    let (1, fourth) = taken(&expiry) else {
        panic!("it is there once");
    };
    assert_eq!(expiry.asked(SESSION, || {}), Found::Heard);
    expiry.reported(&fourth);
    assert_eq!(taken(&expiry).0, 0);
}

#[test]
fn a_node_says_that_a_session_is_silent_after_a_look_at_its_socket() {
    let expiry = Expiry::new(100, true);
    expiry.opened(SESSION, 1, 1000);
    let heartbeat = expiry.heartbeat(SESSION).unwrap();
    let mut probes = 0;
    assert_eq!(expiry.asked(SESSION, || probes += 1), Found::Looking);
    assert_eq!(expiry.asked(SESSION, || probes += 1), Found::Looking);
    heartbeat.nothing_buffered();
    // It speaks before that is told.
    expiry.heard(&heartbeat).unwrap();
    assert_eq!(expiry.asked(SESSION, || probes += 1), Found::Heard);
    expiry.reported(&expiry.take_unreported());
    assert_eq!(expiry.asked(SESSION, || probes += 1), Found::Looking);
    heartbeat.nothing_buffered();
    assert_eq!(expiry.asked(SESSION, || probes += 1), Found::Silent);
    assert_eq!(probes, 2);
    assert_eq!(expiry.asked(SessionId(99), || {}), Found::Silent);
}

#[test]
fn who_speaks_after_the_silence_was_told_is_not_answered() {
    let expiry = Expiry::new(100, true);
    expiry.opened(SESSION, 1, 1000);
    let heartbeat = expiry.heartbeat(SESSION).unwrap();
    expiry.asked(SESSION, || {});
    heartbeat.nothing_buffered();
    assert_eq!(heartbeat.is_in_time(), Ok(()), "nobody was told");
    assert_eq!(expiry.asked(SESSION, || {}), Found::Silent);
    for _ in 0..2 {
        assert_eq!(heartbeat.is_in_time(), Err(TooLate));
        assert_eq!(expiry.heard(&heartbeat), Err(TooLate));
        heartbeat.nothing_buffered();
        heartbeat.ask_again();
    }
    // What comes too late is no sign of life, and a leader that asks again is told the same.
    assert!(expiry.take_unreported().is_empty());
    assert_eq!(expiry.asked(SESSION, || {}), Found::Silent);
    // The client has reattached: the expiry is void.
    expiry.opened(SESSION, 2, 1000);
    assert_eq!(expiry.heard(&heartbeat), Ok(()));
    assert_eq!(expiry.asked(SESSION, || {}), Found::Heard);
}

#[test]
fn whom_the_leader_has_decided_to_expire_is_not_answered_by_it() {
    for local in [false, true] {
        let expiry = Expiry::new(100, true);
        match local {
            false => expiry.opened(SESSION, 1, 1000),
            true => expiry.opened_local(SESSION, 1, 1000),
        }
        let heartbeat = expiry.heartbeat(SESSION).unwrap();
        assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
        heartbeat.nothing_buffered();
        assert_eq!(next(&expiry, 2), Some((1, Step::Expire(SESSION, 1))));
        assert_eq!(expiry.heard(&heartbeat), Err(TooLate));
        let again = PROPOSE_AGAIN_TICKS as usize;
        let expected = Some((again, Step::Expire(SESSION, 1)));
        assert_eq!(next(&expiry, 50), expected, "it is no sign of life");
        // A leader that begins owes the session its full timeout. No other node judges one that
        // only this node knows.
        expiry.renew_all();
        assert_eq!(expiry.heard(&heartbeat).is_ok(), !local);
    }
}

#[test]
fn an_answer_from_before_a_session_was_due_does_not_count_when_it_is() {
    let expiry = Expiry::new(100, false);
    expiry.opened(SESSION, 1, 1000);
    for _ in 0..5 {
        expiry.tick(true);
    }
    let heartbeat = expiry.heartbeat(SESSION).unwrap();
    expiry.heard(&heartbeat).unwrap();
    // Another node, which leads, asks.
    expiry.asked(SESSION, || {});
    heartbeat.nothing_buffered();
    assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
}

/// A node that was cut off reports what it heard before the client went to another node.
#[test]
fn a_report_does_not_take_a_decided_expiry_back() {
    let expiry = Expiry::new(100, true);
    expiry.opened(SESSION, 2, 1000);
    assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
    let heartbeat = expiry.heartbeat(SESSION).unwrap();
    heartbeat.nothing_buffered();
    assert_eq!(next(&expiry, 1), Some((1, Step::Expire(SESSION, 2))));
    expiry.heard_elsewhere(SESSION);
    assert_eq!(expiry.heard(&heartbeat), Err(TooLate));
    // The proposal may have been lost.
    assert_eq!(next(&expiry, 30), Some((20, Step::Expire(SESSION, 2))));
    expiry.opened(SESSION, 3, 1000);
    assert_eq!(expiry.heard(&heartbeat), Ok(()));
}

#[test]
fn answers_that_come_when_a_session_is_due_again_do_not_count() {
    let expiry = Expiry::new(100, true);
    expiry.opened(SESSION, 1, 1000);
    assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
    let before = expiry.suspect(SESSION).unwrap();
    expiry.heard_elsewhere(SESSION);
    assert_eq!(next(&expiry, 50), Some((11, Step::Probe(SESSION))));
    let now = expiry.suspect(SESSION).unwrap();
    for found in [Found::Silent, Found::Looking, Found::Heard] {
        expiry.judge(&before, found);
        assert_eq!(next(&expiry, 2), None, "{found:?}");
    }
    expiry.judge(&now, Found::Looking);
    assert_eq!(next(&expiry, 1), Some((1, Step::Probe(SESSION))));
    expiry.judge(&now, Found::Silent);
    assert_eq!(next(&expiry, 1), Some((1, Step::Expire(SESSION, 1))));
}
