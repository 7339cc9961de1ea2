//! Nodes whose data folder was emptied, in a simulated world.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::group::{Member, Start, done, eventually, group, leader, members};
use common::members::{VOTERS, change, founded, has, reached, start_all, write};
use innkeeper_raft::peer::{Protecting, Protection, Unprotected};
use innkeeper_runtime::sim::LinkSettings;
use innkeeper_runtime::{Runtime, Simulated, World};
use innkeeper_tree::group::Role;

#[test]
fn wiped_nodes_form_no_second_group_beside_a_node_that_has_the_first() {
    for seed in 0..5 {
        World::run(seed, async |world| {
            let start = Start::of(&VOTERS);
            let members = founded(&world, &start).await;
            write(&world, &members[0], 1).await;
            members[0].kill();
            members[1].wipe(seed + 100);
            members[2].wipe(seed + 200);
            start_all(&members, &start);
            world.sleep(Duration::from_secs(20)).await;
            assert!(!members.iter().any(Member::leads), "the quorum is gone");
            for member in &members[1..] {
                let status = member.status().expect("it runs");
                assert_eq!((status.last_log, status.term), (None, 0));
            }
            let status = members[0].status().expect("it runs");
            assert!(status.last_log.is_some(), "it keeps what it has");
        });
    }
}

/// The leader and the first follower have an entry that the second follower lacks. The first one
/// loses its disk, and then the leader is away.
#[test]
fn a_wiped_voter_does_not_help_to_elect_a_leader_that_has_less() {
    for seed in 0..5 {
        World::run(seed, async |world| {
            let start = Start::of(&VOTERS);
            let members = founded(&world, &start).await;
            let all: Vec<_> = members.iter().collect();
            let old = leader(&world, &members).await;
            let rest: Vec<_> = all.iter().filter(|m| m.id != old.id).collect();
            let (wiped, lacking) = (rest[0], rest[1]);
            for other in [old, wiped] {
                world.part(&lacking.host, &other.host);
            }
            write(&world, old, 1).await;
            old.kill();
            wiped.wipe(seed + 100);
            world.heal_all();
            wiped.start(&start);
            world.sleep(Duration::from_secs(20)).await;
            assert!(!members.iter().any(Member::leads), "nobody may vote for it");
            old.start(&start);
            reached(&world, &all, &VOTERS, &[]).await;
            assert!(members.iter().all(|member| has(member, 1)));
        });
    }
}

/// A follower's folder is emptied again and again, also while it is taken back in, and the leader
/// dies in between.
#[test]
fn a_wiped_voter_is_taken_back_by_itself() {
    for seed in 0..10 {
        World::run(seed, async |world| {
            let start = Start::of(&VOTERS);
            let members = founded(&world, &start).await;
            let all: Vec<_> = members.iter().collect();
            for round in 0..4 {
                let ticket = round + 1;
                let old = leader(&world, &members).await;
                write(&world, old, ticket).await;
                let wiped = all.iter().find(|member| member.id != old.id).unwrap();
                wiped.wipe(seed * 10 + round);
                wiped.start(&start);
                let pause = (seed * 37 + round * 101) % 900;
                world.sleep(Duration::from_millis(pause)).await;
                if round % 2 == 0 {
                    wiped.wipe(seed * 10 + round + 1000);
                    wiped.start(&start);
                } else {
                    old.cut_power();
                    old.start(&start);
                }
                reached(&world, &all, &VOTERS, &[]).await;
                assert!(members.iter().all(|member| has(member, ticket)));
            }
        });
    }
}

/// The log of a group that grew from one begins with a membership of this one alone. Its node must
/// not elect itself when it reads that again.
#[test]
fn a_wiped_founder_does_not_act_on_the_membership_of_its_past() {
    for seed in 0..10 {
        World::run(seed, async |world| {
            let members = members(&world, &VOTERS);
            let all: Vec<_> = members.iter().collect();
            members[0].start(&Start::of(&[1]));
            leader(&world, &members).await;
            let grow = change(1, &[(2, Role::Voter), (3, Role::Voter)], &[]);
            eventually(&world, "it is founded", || group(&members[0]).is_some()).await;
            assert!(done(&world, &members[0], 1, grow).await);
            let start = Start::of(&VOTERS);
            start_all(&members[1..], &start);
            reached(&world, &all, &VOTERS, &[]).await;
            for ticket in 2..30 {
                write(&world, &members[0], ticket).await;
            }
            members[0].wipe(seed + 100);
            let new = leader(&world, &members).await;
            members[0].start(&start);
            let pause = Duration::from_millis(seed * 53);
            world.sleep(pause).await;
            // Its leader goes, while it reads the log.
            for other in &members[1..] {
                world.part(&members[0].host, &other.host);
            }
            world.sleep(Duration::from_secs(10)).await;
            assert!(!members[0].leads());
            world.heal_all();
            write(&world, new, 30).await;
            reached(&world, &all, &VOTERS, &[]).await;
            assert!(members.iter().all(|member| has(member, 30)));
        });
    }
}

/// Puts no protection around a connection, and takes its time when it has made one.
struct SlowToDial(Simulated);

impl Protection<Simulated> for SlowToDial {
    fn dialed(&self, stream: <Simulated as Runtime>::Stream, name: &str) -> Protecting {
        let wire = Protection::<Simulated>::dialed(&Unprotected, stream, name);
        let runtime = self.0.clone();
        Box::pin(async move {
            runtime.sleep(Duration::from_millis(500)).await;
            wire.await
        })
    }

    fn accepted(&self, stream: <Simulated as Runtime>::Stream) -> Protecting {
        Protection::<Simulated>::accepted(&Unprotected, stream)
    }
}

/// A leader dials a follower anew, and asks for signs of life meanwhile. The new connection leads
/// to an emptied folder, which has forgotten what it acknowledged, and of which the leader has not
/// heard before. What it answers counts for nothing, since openraft's leader ends when a follower
/// has lost its log.
#[test]
fn a_sign_of_life_that_waited_for_an_emptied_folder_counts_for_nothing() {
    for seed in 0..10 {
        World::run(seed, async |world| {
            let mut start = Start::of(&VOTERS);
            start.peers.backoff_max = start.peers.backoff_min;
            let members = founded(&world, &start).await;
            let all: Vec<_> = members.iter().collect();
            let old = leader(&world, &members).await;
            let wiped = all.iter().find(|member| member.id != old.id).unwrap();
            // Making a connection takes six ways, the greater part of a heartbeat's interval.
            let far = LinkSettings {
                delay: Duration::from_millis(6),
                ..LinkSettings::default()
            };
            world.set_link(&old.host, &wiped.host, far.clone());
            world.set_link(&wiped.host, &old.host, far);
            // The leader takes an emptied folder out as soon as it has heard of it. That takes the
            // other follower's answer, and comes after the emptied one's here.
            let other = all.iter().find(|it| ![old.id, wiped.id].contains(&it.id));
            let other = other.expect("there are three");
            let farther = LinkSettings {
                delay: Duration::from_millis(18),
                ..LinkSettings::default()
            };
            world.set_link(&old.host, &other.host, farther.clone());
            world.set_link(&other.host, &old.host, farther);
            write(&world, old, 1).await;
            wiped.wipe(seed + 100);
            world.sleep(Duration::from_millis(300 + 7 * seed)).await;
            // The leader must not hear of it first by its own hello.
            let slow = SlowToDial(world.host("clock").boot());
            wiped.start(&Start {
                protection: Arc::new(slow),
                ..start.clone()
            });
            reached(&world, &all, &VOTERS, &[]).await;
            write(&world, old, 2).await;
            assert!(has(wiped, 1));
        });
    }
}
