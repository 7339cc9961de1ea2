//! Scenes that a schedule rarely draws, each staged.

use std::time::Duration;

use innkeeper_runtime::World;

use crate::common::group::{Member, Start, eventually, leader};

fn members(world: &World, voters: &[u64]) -> Vec<Member> {
    voters.iter().map(|id| Member::new(world, *id)).collect()
}

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
