//! Replicas found a group and change its members in a simulated world.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::create;
use common::group::{FOLDER, Member, Start, done, eventually, group, leader, members, settings};
use common::log::Lines;
use common::members::{VOTERS, change, founded, has, reached, start_all, write};
use innkeeper_raft::Vote;
use innkeeper_raft::log::Log;
use innkeeper_runtime::sim::LinkSettings;
use innkeeper_runtime::{Runtime, World};
use innkeeper_tree::group::{ClusterId, Role};
use openraft::storage::RaftLogStorage;
use parking_lot::Mutex;
use tracing::Level;

#[test]
fn a_group_is_founded_once_and_keeps_its_id() {
    for seed in 0..5 {
        World::run(seed, async |world| {
            let members = members(&world, &VOTERS);
            let start = Start::of(&VOTERS);
            let all: Vec<_> = members.iter().collect();
            // The third comes when the others have founded the group.
            start_all(&members[..2], &start);
            eventually(&world, "it is founded", || group(&members[0]).is_some()).await;
            write(&world, leader(&world, &members).await, 1).await;
            members[2].start(&start);
            reached(&world, &all, &VOTERS, &[]).await;
            let ids = || -> BTreeSet<ClusterId> {
                let groups = members.iter().filter_map(group);
                groups.map(|group| group.cluster).collect()
            };
            let first = ids();
            assert_eq!(first.len(), 1);
            for round in 0..3 {
                members.iter().for_each(Member::cut_power);
                start_all(&members, &start);
                let leader = leader(&world, &members).await;
                write(&world, leader, 10 + round).await;
                reached(&world, &all, &VOTERS, &[]).await;
                assert_eq!(ids(), first);
            }
        });
    }
}

/// A node gave its vote while the group was formed, and then it and the candidate died before it
/// had an entry. It forms no group by itself any more, and the others must not take it for a member
/// of another group.
#[test]
fn a_node_that_has_only_voted_does_not_hold_up_the_forming() {
    for seed in 0..3 {
        World::run(seed, async |world| {
            let members = members(&world, &VOTERS);
            let start = Start::of(&VOTERS);
            let voting = members[0].host.start(|runtime| async move {
                let disk = runtime.disk(Path::new(FOLDER)).unwrap();
                let mut log = Log::open(runtime, &disk, Arc::new(settings())).unwrap();
                log.save_vote(&Vote::new(1, 2)).await.unwrap();
                log.close().await;
            });
            voting.await.expect("the vote is saved");
            start_all(&members, &start);
            reached(&world, &members.iter().collect::<Vec<_>>(), &VOTERS, &[]).await;
        });
    }
}

/// Two of four have the first entry or have voted, and the others are still empty, when all of them
/// die.
#[test]
fn a_forming_that_was_cut_short_goes_on_after_a_restart() {
    const FOUR: [u64; 4] = [1, 2, 3, 4];
    let mut cut_short = 0;
    for seed in 0..10 {
        World::run(seed, async |world| {
            let members = members(&world, &FOUR);
            let start = Start::of(&FOUR);
            // Who begins asks for the vote of its neighbour first.
            for (from, to) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
                let (from, to) = (&members[from].host, &members[to].host);
                let far = LinkSettings {
                    delay: Duration::from_millis(60),
                    ..LinkSettings::default()
                };
                world.set_link(from, to, far.clone());
                world.set_link(to, from, far);
            }
            for member in &members {
                member.start(&start);
                // Their rounds of questions do not begin at the same time.
                let pause = 13 + (member.id * 29 + seed * 7) % 83;
                world.sleep(Duration::from_millis(pause)).await;
            }
            let has_begun = |member: &&Member| {
                let status = member.status();
                status.is_some_and(|status| status.last_log.is_some() || status.term > 0)
            };
            let begun = || members.iter().filter(has_begun).count();
            while begun() < 2 {
                world.sleep(Duration::from_millis(1)).await;
            }
            cut_short += u32::from(begun() == 2);
            members.iter().for_each(Member::kill);
            start_all(&members, &start);
            reached(&world, &members.iter().collect::<Vec<_>>(), &FOUR, &[]).await;
        });
    }
    assert!(cut_short >= 5, "{cut_short}");
}

#[test]
fn members_come_and_go() {
    World::run(1, async |world| {
        let members = members(&world, &[1, 2, 3, 4, 5]);
        let start = Start::of(&VOTERS);
        start_all(&members[..3], &start);
        let first: Vec<_> = members[..3].iter().collect();
        reached(&world, &first, &VOTERS, &[]).await;
        for ticket in 1..100 {
            write(&world, &members[0], ticket).await;
        }
        // A learner comes; a follower's door takes the wish.
        let follower = members[..3].iter().find(|member| !member.leads()).unwrap();
        let wish = change(100, &[(4, Role::Learner)], &[]);
        assert!(done(&world, follower, 100, wish).await);
        let join = Start {
            learners: vec![4, 5],
            ..start.clone()
        };
        members[3].start(&join);
        let four: Vec<_> = members[..4].iter().collect();
        reached(&world, &four, &VOTERS, &[4]).await;
        assert!(has(&members[3], 1) && has(&members[3], 99));
        // It is promoted, and a voter becomes a learner.
        let wish = change(101, &[(4, Role::Voter), (2, Role::Learner)], &[]);
        assert!(done(&world, &members[0], 101, wish).await);
        reached(&world, &four, &[1, 3, 4], &[2]).await;
        // A member is replaced by one that starts later.
        let wish = change(102, &[(5, Role::Voter)], &[2, 3]);
        assert!(done(&world, &members[0], 102, wish).await);
        world.sleep(Duration::from_secs(2)).await;
        members[4].start(&join);
        let rest = [&members[0], &members[3], &members[4]];
        reached(&world, &rest, &[1, 4, 5], &[]).await;
        members[1].kill();
        members[2].kill();
        write(&world, &members[4], 103).await;
        // The leader goes, too.
        let old = leader(&world, &members).await;
        let door = rest.iter().find(|member| member.id != old.id).unwrap();
        assert!(done(&world, door, 104, change(104, &[], &[old.id])).await);
        let left: Vec<_> = rest.iter().filter(|m| m.id != old.id).copied().collect();
        let ids: Vec<_> = left.iter().map(|member| member.id).collect();
        reached(&world, &left, &ids, &[]).await;
        old.kill();
        write(&world, left[0], 105).await;
        assert!(left.iter().all(|member| has(member, 105) && has(member, 1)));
        // Nobody takes the last voters away.
        let wish = change(106, &[], &ids);
        assert!(!done(&world, left[0], 106, wish).await);
    });
}

/// The operator replaces a voter by a node that starts later, or never. The leader's log says whom
/// the group waits for.
#[test]
fn a_replaced_voter_counts_until_its_successor_votes() {
    for seed in 0..3 {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = lines.clone();
        let subscriber = Lines {
            level: Level::INFO,
            line: move |line| heard.lock().push(line),
        };
        let replaced = tracing::subscriber::with_default(subscriber, || replace(seed));
        let told = |sentence: &str| lines.lock().iter().filter(|line| *line == sentence).count();
        let waits = format!(
            "the group waits for node 4 to vote, and lets node {replaced} vote until then; nothing \
             is heard of node 4: start it, or take it out of the group"
        );
        assert_eq!(told(&waits), 1, "{:?}", lines.lock());
        assert_eq!(told("the group waits for nobody to vote any more"), 1);
    }

    fn replace(seed: u64) -> u64 {
        World::run(seed, async |world| {
            let members = members(&world, &[1, 2, 3, 4]);
            let start = Start::of(&VOTERS);
            start_all(&members[..3], &start);
            let first: Vec<_> = members[..3].iter().collect();
            reached(&world, &first, &VOTERS, &[]).await;
            let led = leader(&world, &members).await;
            let others: Vec<_> = first.iter().filter(|it| it.id != led.id).collect();
            let (old, other) = (others[0], others[1]);
            let wish = change(1, &[(4, Role::Voter)], &[old.id]);
            assert!(done(&world, led, 1, wish).await);
            world.sleep(Duration::from_secs(15)).await;
            // The old one helps to make a quorum.
            other.kill();
            write(&world, leader(&world, &members).await, 2).await;
            other.start(&start);
            members[3].start(&Start {
                learners: vec![4],
                ..start.clone()
            });
            let rest: Vec<_> = members.iter().filter(|it| it.id != old.id).collect();
            let ids: Vec<_> = rest.iter().map(|member| member.id).collect();
            reached(&world, &rest, &ids, &[]).await;
            assert!(rest.iter().all(|member| has(member, 2)));
            old.id
        })
    }
}

/// The leader dies at some moment of a change, and comes back later.
#[test]
fn what_a_leader_left_half_done_its_successor_finishes() {
    for seed in 0..20 {
        World::run(seed, async |world| {
            let members = members(&world, &[1, 2, 3, 4, 5]);
            let start = Start::of(&VOTERS);
            let join = Start {
                learners: vec![4, 5],
                ..start.clone()
            };
            start_all(&members[..3], &start);
            start_all(&members[3..], &join);
            let first: Vec<_> = members[..3].iter().collect();
            reached(&world, &first, &VOTERS, &[]).await;
            let old = leader(&world, &members).await;
            let wish = change(1, &[(4, Role::Voter), (5, Role::Voter)], &[3]);
            assert!(done(&world, old, 1, wish).await);
            world.sleep(Duration::from_millis(seed * 11)).await;
            old.cut_power();
            let living: Vec<_> = members.iter().filter(|m| m.id != old.id).collect();
            let gone_too = 3;
            if old.id == gone_too {
                reached(&world, &living, &[1, 2, 4, 5], &[]).await;
            } else {
                eventually(&world, "the change is over", || {
                    living.iter().filter(|m| m.id != gone_too).all(|member| {
                        member.status().is_some_and(|status| {
                            let voters = &status.members.voters;
                            *voters == BTreeSet::from([1, 2, 4, 5]) && !status.members.changes
                        })
                    })
                })
                .await;
            }
            old.start(&start);
            let stay: Vec<_> = members.iter().filter(|m| m.id != gone_too).collect();
            reached(&world, &stay, &[1, 2, 4, 5], &[]).await;
        });
    }
}

#[test]
fn leadership_is_handed_to_a_voter_and_not_to_anybody_else() {
    World::run(3, async |world| {
        let members = members(&world, &[1, 2, 3, 4]);
        let start = Start {
            learners: vec![4],
            ..Start::of(&VOTERS)
        };
        start_all(&members, &start);
        let all: Vec<_> = members.iter().collect();
        reached(&world, &all, &VOTERS, &[4]).await;
        let mut ticket = 0;
        for to in [1, 3, 2, 3, 1] {
            let old = leader(&world, &members).await;
            let replica = old.replica().unwrap();
            if old.id == to {
                continue;
            }
            // Operations on their way are neither lost nor doubled.
            let recorder = old.recorder();
            let tickets: Vec<_> = (ticket + 1..=ticket + 200).collect();
            ticket += 200;
            let operations = tickets.iter().map(|ticket| create(*ticket)).collect();
            let (submitting, handing) = (replica.proposals(), replica.transfer_leadership(to));
            let both = innkeeper_runtime::select2(
                async {
                    submitting.submit(operations).await;
                    std::future::pending::<()>().await;
                },
                handing,
            );
            let innkeeper_runtime::Select2::Second(handed) = both.await else {
                unreachable!("the first never ends");
            };
            handed.expect("it is handed over");
            assert_eq!(leader(&world, &members).await.id, to);
            eventually(&world, "all are answered", || {
                let acks = recorder.acks();
                tickets.iter().all(|ticket| acks.contains_key(ticket))
            })
            .await;
            assert!(recorder.twice().is_empty());
        }
        let old = leader(&world, &members).await;
        let replica = old.replica().unwrap();
        for (to, sentence) in [
            (4, "node 4 does not vote in this group: name one that does"),
            (9, "node 9 does not vote in this group: name one that does"),
        ] {
            let refused = replica.transfer_leadership(to).await;
            assert_eq!(refused, Err(sentence.to_owned()));
        }
        let follower = members[..3].iter().find(|m| m.id != old.id).unwrap();
        let asked = follower
            .replica()
            .unwrap()
            .transfer_leadership(old.id)
            .await;
        let sentence = format!("this node does not lead: ask node {}", old.id);
        assert_eq!(asked, Err(sentence));
        // A voter that is away does not take over, and the group goes on.
        follower.host.stop();
        let refused = replica.transfer_leadership(follower.id).await;
        let refused = refused.expect_err("it is stopped");
        let begin = format!("node {} has not taken over: ", follower.id);
        assert!(refused.starts_with(&begin), "{refused}");
        let now = leader(&world, &members).await;
        write(&world, now, 10_000).await;
        follower.host.resume();
        eventually(&world, "all have it", || {
            members.iter().all(|member| has(member, 10_000))
        })
        .await;
    });
}

#[test]
fn a_leader_that_ends_hands_over_to_the_voter_in_contact_that_lacks_least() {
    World::run(4, async |world| {
        let members = founded(&world, &Start::of(&VOTERS)).await;
        let old = leader(&world, &members).await;
        let replica = old.replica().unwrap();
        let others: Vec<_> = members.iter().filter(|m| m.id != old.id).collect();
        for follower in &others {
            let handed = follower.replica().unwrap().hand_over().await;
            assert_eq!(handed, Ok(None), "it has nothing to hand over");
        }
        // It was heard a moment ago, and lacks what is written now.
        others[1].host.stop();
        write(&world, old, 1).await;
        assert_eq!(replica.hand_over().await, Ok(Some(others[0].id)));
        others[1].host.resume();
        reached(&world, &members.iter().collect::<Vec<_>>(), &VOTERS, &[]).await;
        let old = leader(&world, &members).await;
        let replica = old.replica().unwrap();
        let others = members.iter().filter(|m| m.id != old.id);
        others.for_each(|m| assert!(m.host.stop()));
        world.sleep(settings().election * 2).await;
        let refused = Err("no other voter answers".to_owned());
        assert_eq!(replica.hand_over().await, refused);
    });
}
