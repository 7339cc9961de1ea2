//! Scenes that a schedule rarely draws, each staged.

use std::time::Duration;

use innkeeper_runtime::sim::LinkSettings;
use innkeeper_runtime::{Select2, World, select2};

use crate::common::group::{Start, eventually, leader, members, write};

/// How long a confirmation may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// **A leader with a quorum that hears it is not deposed by one that was away.** A member that
/// heard nothing for a while, from all or only from the leader, may not force an election when it
/// is back, nor before: it asks first whether it would be elected, and all that hear the leader say
/// no.
#[test]
fn one_that_was_away_deposes_no_leader() {
    for seed in 0..6 {
        let voters: &[u64] = if seed % 2 == 0 {
            &[1, 2, 3]
        } else {
            &[1, 2, 3, 4, 5]
        };
        World::run(seed, async |world| {
            let members = members(&world, voters);
            let start = Start::of(voters);
            members.iter().for_each(|member| member.start(&start));
            let leader = leader(&world, &members).await;
            let term = leader.status().map(|status| status.term);
            let away = members.iter().find(|member| member.id != leader.id);
            let away = away.expect("there are others");
            for time in 0..6 {
                for other in members.iter().filter(|other| other.id != away.id) {
                    if time % 2 == 0 || other.id == leader.id {
                        world.part(&away.host, &other.host);
                    }
                }
                world.sleep(Duration::from_millis(1_500 + time * 300)).await;
                world.heal_all();
                world.sleep(Duration::from_millis(1_500)).await;
                let now = leader.status().map(|status| status.term);
                assert!(leader.leads() && now == term, "{term:?} became {now:?}");
            }
            eventually(&world, "it follows again", || {
                away.status().is_some_and(|status| {
                    status.leader == Some(leader.id)
                        && status.applied == leader.status().and_then(|it| it.applied)
                })
            })
            .await;
        });
    }
}

/// **Nodes that are far from each other form a group that serves.** With round trips of up to 45 ms,
/// just below the tenth of [`Settings::election`](innkeeper_raft::Settings::election) after which a
/// leader no longer waits for the answer to a sign of life, a leader is elected and stays, writes
/// are applied, and reads are confirmed on each node while nothing is written.
#[test]
fn nodes_that_are_far_apart_form_a_group_that_serves() {
    for trip_ms in [10, 30, 45] {
        World::run(trip_ms, async |world| {
            let voters = [1, 2, 3];
            let members = members(&world, &voters);
            let far = LinkSettings {
                delay: Duration::from_micros(trip_ms * 500),
                ..LinkSettings::default()
            };
            for a in &members {
                for b in members.iter().filter(|b| b.id != a.id) {
                    world.set_link(&a.host, &b.host, far.clone());
                }
            }
            let start = Start::of(&voters);
            members.iter().for_each(|member| member.start(&start));
            let leader = leader(&world, &members).await;
            let term = leader.status().map(|status| status.term);
            for round in 0..10 {
                let began = world.now();
                write(&world, &members, 1 + round..2 + round).await;
                let took = world.now().since(began);
                assert!(took < Duration::from_millis(3 * trip_ms + 20), "{took:?}");
                world.sleep(Duration::from_secs(1)).await;
                for member in &members {
                    let began = world.now();
                    let replica = member.replica().expect("it runs");
                    let confirmed = select2(replica.read_index(), world.sleep(PATIENCE));
                    let Select2::First(confirmed) = confirmed.await else {
                        panic!("no read is confirmed with round trips of {trip_ms} ms");
                    };
                    confirmed.expect("there is a leader");
                    let took = world.now().since(began);
                    assert!(took < Duration::from_millis(5 * trip_ms + 100), "{took:?}");
                }
            }
            assert_eq!(leader.status().map(|status| status.term), term);
        });
    }
}
