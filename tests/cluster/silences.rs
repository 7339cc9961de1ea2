//! Clients that say nothing, or are not heard, until their session is about to expire or has
//! expired, and then speak on the connection that they have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_proto::ErrorCode;
use innkeeper_runtime::Runtime;
use innkeeper_tree::SessionId;
use parking_lot::Mutex;

use super::common::simulated::SimClient;
use super::common::{create_as, exists};
use super::stage::{Clients, Stage, ask, play};

const EPHEMERAL: i32 = 1;
const TIMEOUT: Duration = Duration::from_millis(2_000);

/// A client at a node that holds `/lock` for as long as its session lives.
async fn holder_at(clients: &Clients, node: u64) -> SimClient {
    let mut holder = clients.connect(node, TIMEOUT.as_millis() as i32).await;
    let lock = create_as("/lock", b"", EPHEMERAL);
    assert_eq!(ask(&mut holder, lock).await, ErrorCode::Ok);
    holder
}

/// When the process goes on, the connection's task runs first: it was woken during the stop, before
/// the task that closes the connections of a node without contact.
#[test]
fn a_connection_that_wakes_up_first_in_a_node_that_was_stopped_answers_nothing() {
    for (seed, stops_leader) in (0..6).map(|seed| (seed, seed % 2 == 0)) {
        play(
            seed,
            3,
            |_| {},
            async move |stage, clients| {
                let (leader, follower) = stage.leader_and_follower().await;
                let stopped = if stops_leader { leader } else { follower };
                let mut holder = holder_at(&clients, stopped).await;
                let mut watcher = clients.connect(stopped % 3 + 1, 10_000).await;
                contact_is_new(&stage, stopped).await;
                stage.member(stopped).host.stop();
                holder.send(&[exists("/lock", false)]).await;
                while ask(&mut watcher, exists("/lock", false)).await == ErrorCode::Ok {
                    clients.runtime.sleep(Duration::from_millis(50)).await;
                }
                holder.send(&[exists("/lock", false)]).await;
                stage.member(stopped).host.resume();
                let answered = holder.try_answer().await;
                assert!(answered.is_err(), "seed {seed}: {answered:?}");
            },
        );
    }
}

/// Waits until a node has just got its contact with the leader anew: it reports again some time
/// later.
async fn contact_is_new(stage: &Stage, node: u64) {
    let service = stage.service(node).expect("it runs");
    let age = || service.quorum.contact_age(service.runtime.now());
    let mut before = age();
    loop {
        stage.world.sleep(Duration::from_millis(1)).await;
        let now = age();
        if now < before {
            return;
        }
        before = now;
    }
}

/// A client asks at every moment around that at which its silence is told and its expiry is on its
/// way. If it is answered, it keeps its session.
#[test]
fn whoever_is_answered_after_a_silence_keeps_the_session() {
    let ends: Arc<Mutex<BTreeMap<(bool, &str), u32>>> = Arc::default();
    let silences = (1_900..2_900).step_by(25);
    for (ms, at_leader) in silences.flat_map(|ms| [(ms, true), (ms, false)]) {
        let all = ends.clone();
        play(
            ms,
            3,
            |_| {},
            async move |stage, clients| {
                let (leader, follower) = stage.leader_and_follower().await;
                let node = if at_leader { leader } else { follower };
                // What is told is on its way for long, and so is what is committed.
                for other in (1..=3).filter(|other| *other != leader) {
                    stage.slow_down(other, leader, Duration::from_millis(100));
                }
                let mut holder = holder_at(&clients, node).await;
                clients.runtime.sleep(Duration::from_millis(ms)).await;
                let sent = holder.try_send(&[exists("/lock", false)]).await;
                let answered = sent.is_ok() && holder.try_answer().await.is_ok();
                let end = match answered {
                    true => "answered",
                    false => {
                        holder = clients.connect_as(node, &holder.reattach_request()).await;
                        match holder.connected.session_id {
                            0 => "expired",
                            _ => "taken up again",
                        }
                    }
                };
                clients.runtime.sleep(TIMEOUT / 2).await;
                let mut other = clients.connect(node % 3 + 1, 10_000).await;
                let lives = ask(&mut other, exists("/lock", false)).await == ErrorCode::Ok;
                assert_eq!(lives, end != "expired", "{ms} ms, {at_leader}: {end}");
                *all.lock().entry((at_leader, end)).or_default() += 1;
            },
        );
    }
    let ends = ends.lock();
    for at_leader in [true, false] {
        for end in ["answered", "expired"] {
            assert!(ends.contains_key(&(at_leader, end)), "{ends:?}");
        }
    }
    // It spoke after its node had told the leader, and before the leader had decided.
    assert!(ends.contains_key(&(false, "taken up again")), "{ends:?}");
}

/// The session has ended on another node already.
#[test]
fn what_is_sent_after_an_expiry_is_not_answered_by_a_node_that_lags() {
    for seed in 0..5 {
        play(
            seed,
            3,
            |_| {},
            async move |stage, clients| {
                let (leader, follower) = stage.leader_and_follower().await;
                let mut holder = holder_at(&clients, follower).await;
                let mut watcher = clients.connect(leader, 10_000).await;
                stage.slow_down(leader, follower, Duration::from_millis(150));
                while ask(&mut watcher, exists("/lock", false)).await == ErrorCode::Ok {
                    clients.runtime.sleep(Duration::from_millis(5)).await;
                }
                let there = stage.service(follower).expect("it runs");
                let session = SessionId(holder.connected.session_id as u64);
                let lags = there.reader.view().session(session).is_some();
                assert!(lags, "seed {seed}: the node knows of the end already");
                holder.send(&[exists("/lock", false)]).await;
                let answered = holder.try_answer().await;
                assert!(answered.is_err(), "seed {seed}: {answered:?}");
            },
        );
    }
}
