//! Nodes that are asked to end: a leader hands over first.

use std::time::Duration;

use innkeeper_proto::ErrorCode;
use innkeeper_runtime::{Runtime, ThreadRole};
use innkeeper_server::service::Standing;

use super::common::{create, set};
use super::stage::{ask, play};

#[test]
fn a_leader_that_is_asked_to_end_hands_over_before_it_closes_its_connections() {
    for seed in 0..5 {
        play(
            seed,
            3,
            |_| {},
            async move |stage, clients| {
                let (old, follower) = stage.leader_and_follower().await;
                let mut at_leader = clients.connect(old, 10_000).await;
                let mut writer = clients.connect(follower, 10_000).await;
                assert_eq!(ask(&mut writer, create("/a", b"")).await, ErrorCode::Ok);
                let watching = stage.clone();
                let watching = clients.runtime.spawn(ThreadRole::Client, async move {
                    let closed = at_leader.try_answer().await;
                    assert!(closed.is_err(), "the connection is closed");
                    // Nothing is awaited between the close and this look.
                    let leads = (1..=3).filter(|node| *node != old).find(|node| {
                        let service = watching.service(*node).expect("it runs");
                        matches!(service.standing(), Standing::Leads { .. })
                    });
                    leads.expect("another node leads before the connection is closed")
                });
                stage.ask_to_end(old);
                let asked = clients.runtime.now();
                // A client of another node writes on over the same connection.
                let mut longest = Duration::ZERO;
                while stage.service(old).is_some() {
                    let begun = clients.runtime.now();
                    assert_eq!(ask(&mut writer, set("/a", b"1")).await, ErrorCode::Ok);
                    longest = longest.max(clients.runtime.now() - begun);
                }
                // What others write meanwhile holds it up no longer.
                let took = clients.runtime.now() - asked;
                assert!(took < Duration::from_secs(1), "seed {seed}: {took:?}");
                let leader = watching.await.expect("it looks");
                assert_eq!(stage.leader().await, leader);
                // Less than any election by silence takes.
                assert!(longest < Duration::from_millis(200), "{longest:?}");
            },
        );
    }
}

#[test]
fn a_leader_that_reaches_nobody_ends_all_the_same_and_a_follower_just_ends() {
    play(
        1,
        3,
        |_| {},
        async |stage, clients| {
            let (leader, follower) = stage.leader_and_follower().await;
            let led = || stage.service(leader).expect("it runs").standing();
            let before = led();
            stage.ask_to_end(follower);
            let ended = || stage.service(follower).is_none();
            stage.eventually("the follower ends", ended).await;
            assert_eq!(led(), before, "the same leader in the same term");
            stage.cut_off(leader);
            // Nobody has answered within an election timeout.
            clients.runtime.sleep(Duration::from_secs(1)).await;
            let begun = clients.runtime.now();
            stage.ask_to_end(leader);
            let ended = || stage.service(leader).is_none();
            stage.eventually("the leader ends", ended).await;
            let took = clients.runtime.now() - begun;
            assert!(took < Duration::from_secs(5), "{took:?}");
        },
    );
}
