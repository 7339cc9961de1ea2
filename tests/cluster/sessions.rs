//! Sessions over several nodes: they move, they live by signs of life at any node, and they end by
//! the leader's decision alone.

use std::time::Duration;

use innkeeper_node::NodeSettings;
use innkeeper_proto::ErrorCode;
use innkeeper_proto::connect::ConnectRequest;
use innkeeper_proto::request::Request;
use innkeeper_runtime::{Runtime, Simulated};
use innkeeper_server::inspect::Mode;

use super::common::simulated::SimClient;
use super::common::{connect_request, create, create_as, exists, set};
use super::stage::{Stage, ask, play, read};

const EPHEMERAL: i32 = 1;

/// Pings for so long, and says whether the connection has lived on.
pub async fn ping(runtime: &Simulated, client: &mut SimClient, length: Duration) -> bool {
    let end = runtime.now() + length;
    while runtime.now() < end {
        runtime.sleep(Duration::from_millis(100)).await;
        if client.try_send(&[Request::Ping]).await.is_err() || client.try_answer().await.is_err() {
            return false;
        }
    }
    true
}

#[test]
fn clients_write_and_read_at_every_node_and_a_session_moves() {
    play(
        1,
        3,
        |_| {},
        async |stage, clients| {
            let follower = stage.follower().await;
            let mut at = Vec::new();
            for node in 1..=3 {
                at.push(clients.connect(node, 10_000).await);
            }
            for (number, client) in at.iter_mut().enumerate() {
                let path = format!("/at-{number}");
                assert_eq!(ask(client, create(&path, b"0")).await, ErrorCode::Ok);
                assert_eq!(ask(client, set(&path, b"1")).await, ErrorCode::Ok);
            }
            for client in &mut at {
                for number in 0..3 {
                    assert_eq!(read(client, &format!("/at-{number}")).await, b"1");
                }
            }
            // The session goes to another node with everything that it has, and the old connection
            // ends.
            let mut first = clients.connect(follower, 10_000).await;
            let owned = create_as("/owned", b"", EPHEMERAL);
            assert_eq!(ask(&mut first, owned).await, ErrorCode::Ok);
            let other = follower % 3 + 1;
            let mut moved = clients.connect_as(other, &first.reattach_request()).await;
            assert_eq!(moved.connected.session_id, first.connected.session_id);
            assert_eq!(read(&mut moved, "/owned").await, b"");
            assert_eq!(ask(&mut moved, set("/owned", b"2")).await, ErrorCode::Ok);
            assert!(first.try_answer().await.is_err(), "the old connection ends");
        },
    );
}

#[test]
fn a_session_lives_by_pings_at_a_follower_over_the_leaders_death_and_a_silent_one_expires() {
    for seed in 0..5 {
        play(
            seed,
            3,
            |_| {},
            async move |stage, clients| {
                let (leader, follower) = stage.leader_and_follower().await;
                let mut lives = clients.connect(follower, 2_000).await;
                let mut silent = clients.connect(follower, 2_000).await;
                let owned = |name| create_as(name, b"", EPHEMERAL);
                assert_eq!(ask(&mut lives, owned("/lives")).await, ErrorCode::Ok);
                assert_eq!(ask(&mut silent, owned("/silent")).await, ErrorCode::Ok);
                let runtime = &clients.runtime;
                assert!(ping(runtime, &mut lives, Duration::from_millis(1_500)).await);
                let before = ask(&mut lives, exists("/silent", false)).await;
                assert_eq!(before, ErrorCode::Ok, "its timeout has not passed");
                assert!(ping(runtime, &mut lives, Duration::from_secs(4)).await);
                let after = ask(&mut lives, exists("/silent", false)).await;
                assert_eq!(after, ErrorCode::NoNode, "it has expired");
                assert!(silent.try_answer().await.is_err(), "it is closed");
                stage.kill(leader);
                let lived = ping(runtime, &mut lives, Duration::from_secs(10)).await;
                assert!(lived, "the connection lives on, seed {seed}");
                let still = ask(&mut lives, exists("/lives", false)).await;
                assert_eq!(still, ErrorCode::Ok);
                assert_eq!(ask(&mut lives, create("/after", b"")).await, ErrorCode::Ok);
            },
        );
    }
}

/// The client of a node that is cut off learns of it before its session may expire elsewhere, and
/// its ephemerals go when the session's timeout has passed.
#[test]
fn a_node_that_is_cut_off_closes_its_connections_before_their_sessions_expire() {
    for (seed, cuts_leader) in (0..6).map(|seed| (seed, seed % 2 == 0)) {
        play(
            seed,
            3,
            |_| {},
            async move |stage, clients| {
                let (leader, follower) = (stage.leader().await, stage.follower().await);
                let cut = if cuts_leader { leader } else { follower };
                let other = cut % 3 + 1;
                let runtime = &clients.runtime;
                let mut holder = clients.connect(cut, 6_000).await;
                let mut patient = clients.connect(cut, 10_000).await;
                let lock = create_as("/lock", b"", EPHEMERAL);
                assert_eq!(ask(&mut holder, lock).await, ErrorCode::Ok);
                let mut watcher = clients.connect(other, 10_000).await;
                stage.cut_off(cut);
                let begun = runtime.now();
                // It pings, and is answered, until it is closed.
                assert!(!ping(runtime, &mut holder, Duration::from_secs(5)).await);
                let closed = runtime.now() - begun;
                assert!(closed <= Duration::from_millis(2_700), "{closed:?}");
                assert!(closed >= Duration::from_millis(1_500), "{closed:?}");
                // One impatient client closes nobody else.
                assert!(ping(runtime, &mut patient, Duration::from_millis(300)).await);
                let refused = clients.try_connect(cut, &holder.reattach_request()).await;
                assert!(refused.is_none(), "it is not served there any more");
                // The others expire it, after the whole timeout.
                let gone = loop {
                    if ask(&mut watcher, exists("/lock", false)).await == ErrorCode::NoNode {
                        break runtime.now() - begun;
                    }
                    runtime.sleep(Duration::from_millis(50)).await;
                };
                assert!(gone >= Duration::from_millis(5_500), "{gone:?}");
                assert!(gone <= Duration::from_millis(8_500), "{gone:?}");
                // After healing the node serves again, and knows that the session has ended.
                stage.world.heal_all();
                let late = clients.connect_as(cut, &holder.reattach_request()).await;
                assert_eq!(late.connected.session_id, 0, "it has expired");
                let mut fresh = clients.connect(cut, 6_000).await;
                assert_eq!(
                    ask(&mut fresh, exists("/lock", false)).await,
                    ErrorCode::NoNode
                );
            },
        );
    }
}

/// A stopped process knows nothing of the time that has passed until it looks.
#[test]
fn a_node_that_was_stopped_answers_nothing_to_a_session_that_has_expired_meanwhile() {
    for (seed, stops_leader) in (0..6).map(|seed| (seed, seed % 2 == 0)) {
        play(
            seed,
            3,
            |_| {},
            async move |stage, clients| {
                stage.all_vote().await;
                let (leader, follower) = (stage.leader().await, stage.follower().await);
                let stopped = if stops_leader { leader } else { follower };
                let mut holder = clients.connect(stopped, 2_000).await;
                let lock = create_as("/lock", b"", EPHEMERAL);
                assert_eq!(ask(&mut holder, lock).await, ErrorCode::Ok);
                let mut watcher = clients.connect(stopped % 3 + 1, 10_000).await;
                stage.member(stopped).host.stop();
                while ask(&mut watcher, exists("/lock", false)).await == ErrorCode::Ok {
                    clients.runtime.sleep(Duration::from_millis(50)).await;
                }
                // Its connection stands, and says nothing.
                holder.send(&[exists("/lock", false)]).await;
                stage.member(stopped).host.resume();
                let answered = holder.try_answer().await;
                assert!(answered.is_err(), "seed {seed}: {answered:?}");
            },
        );
    }
}

#[test]
fn without_a_quorum_no_session_expires_and_reads_are_served_to_those_who_agreed() {
    play(
        3,
        3,
        |settings| settings.server.read_only_mode = true,
        async |stage, clients| {
            let leader = stage.leader().await;
            let runtime = &clients.runtime;
            let mut holder = clients.connect(leader, 2_000).await;
            let lock = create_as("/lock", b"", EPHEMERAL);
            assert_eq!(ask(&mut holder, lock).await, ErrorCode::Ok);
            let (second, third) = (leader % 3 + 1, (leader + 1) % 3 + 1);
            stage.kill(second);
            stage.kill(third);
            assert!(!ping(runtime, &mut holder, Duration::from_secs(3)).await);
            let refused = clients
                .try_connect(leader, &holder.reattach_request())
                .await;
            assert!(
                refused.is_none(),
                "nobody is served who did not agree to it"
            );
            let request = ConnectRequest {
                read_only: Some(true),
                ..connect_request(6_000)
            };
            let mut reader = clients.connect_as(leader, &request).await;
            assert_eq!(reader.connected.read_only, Some(true));
            assert_eq!(
                ask(&mut reader, exists("/lock", false)).await,
                ErrorCode::Ok
            );
            let written = ask(&mut reader, create("/no", b"")).await;
            assert_eq!(written, ErrorCode::NotReadOnly);
            assert!(ping(runtime, &mut reader, Duration::from_secs(20)).await);
            // Its time has stood still: the session can be taken up again.
            stage.start(second);
            let end = runtime.now() + Duration::from_secs(30);
            while reader.try_send(&[Request::Ping]).await.is_ok()
                && reader.try_answer().await.is_ok()
            {
                assert!(
                    runtime.now() < end,
                    "a read-only connection ends with the quorum's return"
                );
                runtime.sleep(Duration::from_millis(100)).await;
            }
            let mut again = clients.connect_as(second, &holder.reattach_request()).await;
            assert_eq!(again.connected.session_id, holder.connected.session_id);
            assert_eq!(ask(&mut again, exists("/lock", false)).await, ErrorCode::Ok);
        },
    );
}

/// The least timeout that a session can get may be far below a tick.
#[test]
fn an_idle_group_with_a_long_tick_keeps_its_quorum_and_serves_short_sessions() {
    let change = |settings: &mut NodeSettings| {
        settings.server.tick_time_ms = 6_000;
        settings.server.min_session_timeout_ms = Some(400);
    };
    play(4, 3, change, async |stage, clients| {
        let leader = stage.leader().await;
        let runtime = &clients.runtime;
        let modes = |stage: &Stage| [1, 2, 3].map(|id| stage.service(id).expect("it runs").mode());
        let expected = [1, 2, 3].map(|id| match id == leader {
            true => Mode::Leader,
            false => Mode::Follower,
        });
        stage
            .eventually("all have a quorum", || modes(&stage) == expected)
            .await;
        for _ in 0..1_000 {
            runtime.sleep(Duration::from_millis(50)).await;
            assert_eq!(modes(&stage), expected, "the quorum was never lost");
        }
        let mut short = clients.connect(leader % 3 + 1, 400).await;
        assert!(ping(runtime, &mut short, Duration::from_secs(5)).await);
        stage.cut_off(leader);
        let service = stage.service(leader).expect("it runs");
        stage
            .eventually("the old leader is read-only", || {
                service.mode() == Mode::ReadOnly
            })
            .await;
    });
}
