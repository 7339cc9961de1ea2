//! Three replicas in a simulated world form a group, elect a leader and replicate.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::Recorder;
use common::group::{
    FOLDER, Member, Start, created, eventually, leader, members, same_everywhere, settings,
    started, write,
};
use innkeeper_raft::Replica;
use innkeeper_raft::peer::Secret;
use innkeeper_runtime::{Runtime, Select2, World, select2};

const VOTERS: [u64; 3] = [1, 2, 3];

#[test]
fn a_group_forms_in_any_order_and_replicates() {
    for (seed, order) in [[0, 1, 2], [2, 0, 1], [1, 2, 0]].into_iter().enumerate() {
        World::run(seed as u64, async |world| {
            let members = members(&world, &VOTERS);
            let start = Start::of(&VOTERS);
            for (number, place) in order.into_iter().enumerate() {
                members[place].start(&start);
                world.sleep(Duration::from_millis(700)).await;
                let is_formed = members.iter().any(Member::leads);
                assert!(number > 0 || !is_formed, "one of three forms nothing");
            }
            write(&world, &members, 1..200).await;
            same_everywhere(&world, &members).await;
            let terms: BTreeSet<_> = members
                .iter()
                .filter_map(|member| member.status())
                .map(|status| (status.term, status.leader))
                .collect();
            assert_eq!(terms.len(), 1, "{terms:?}");
        });
    }
}

#[test]
fn a_read_waits_until_the_group_has_formed() {
    World::run(1, async |world| {
        let members = members(&world, &VOTERS);
        let start = Start::of(&VOTERS);
        members[0].start(&start);
        eventually(&world, "it has opened", || members[0].replica().is_some()).await;
        let first = members[0].replica().expect("it runs");
        let mut read = Box::pin(first.read_index());
        let alone = select2(&mut read, world.sleep(Duration::from_secs(1))).await;
        assert!(
            matches!(alone, Select2::Second(())),
            "it reads without a group"
        );
        members[1].start(&start);
        read.await.expect("two of three are a group");
    });
}

#[test]
fn another_leader_follows_one_that_dies_and_the_dead_one_comes_back() {
    for seed in 0..10 {
        World::run(seed, async |world| {
            let start = Start::of(&VOTERS);
            let members = started(&world, &start);
            let mut next = 1;
            for death in 0..4 {
                write(&world, &members, next..next + 50).await;
                next += 50;
                let old = leader(&world, &members).await;
                let term = old.status().map(|status| status.term);
                if death % 2 == 0 {
                    old.kill();
                } else {
                    old.cut_power();
                }
                write(&world, &members, next..next + 50).await;
                next += 50;
                let new = leader(&world, &members).await;
                assert!(new.status().map(|status| status.term) > term);
                old.start(&start);
                eventually(&world, "the dead one is back", || old.replica().is_some()).await;
                same_everywhere(&world, &members).await;
            }
            let reader = members[0].replica().expect("it runs").reader();
            assert_eq!(created(&reader), next - 1, "nothing is lost or doubled");
        });
    }
}

#[test]
fn lists_that_differ_form_nothing() {
    World::run(1, async |world| {
        let members = members(&world, &[1, 2, 3, 4]);
        members[0].start(&Start::of(&[1, 2, 3]));
        members[1].start(&Start::of(&[1, 2, 4]));
        members[3].start(&Start::of(&[1, 3, 4]));
        world.sleep(Duration::from_secs(30)).await;
        assert!(!members.iter().any(Member::leads));
        // The lists that agree form a group, and the odd one stays out of it.
        members[2].start(&Start::of(&[1, 2, 3]));
        leader(&world, &members).await;
        world.sleep(Duration::from_secs(5)).await;
        let status = members[3].status().expect("it runs");
        assert_eq!((status.term, status.last_log), (0, None));
    });
}

#[test]
fn a_node_with_another_secret_stays_outside() {
    World::run(2, async |world| {
        let members = members(&world, &VOTERS);
        let start = Start::of(&VOTERS);
        let wrong = Start {
            secret: Secret::new("herring"),
            ..start.clone()
        };
        members[0].start(&start);
        members[1].start(&wrong);
        world.sleep(Duration::from_secs(10)).await;
        assert!(!members.iter().any(Member::leads));
        members[2].start(&start);
        write(&world, &members, 1..20).await;
        let status = members[1].status().expect("it runs");
        assert_eq!((status.term, status.last_log), (0, None));
        // With the right secret it gets everything.
        members[1].kill();
        members[1].start(&start);
        eventually(&world, "it is back", || members[1].replica().is_some()).await;
        same_everywhere(&world, &members).await;
    });
}

/// Of a leader that is stopped nobody hears that it has gone: its connections stand.
#[test]
fn a_silent_leader_is_replaced_within_a_second() {
    let mut took_ms: Vec<_> = (0..20)
        .map(|seed| {
            World::run(seed, async |world| {
                let start = Start::of(&VOTERS);
                let members = started(&world, &start);
                write(&world, &members, 1..20).await;
                let old = leader(&world, &members).await;
                let pause = Duration::from_millis(world.seed() * 7);
                world.sleep(pause).await;
                let began = world.now();
                old.host.stop();
                let others: Vec<_> = members.iter().filter(|m| m.id != old.id).collect();
                let is_replaced = || {
                    others.iter().any(|member| {
                        member.status().is_some_and(|status| {
                            member.leads() && status.applied_term == Some(status.term)
                        })
                    })
                };
                while !is_replaced() {
                    world.sleep(Duration::from_millis(1)).await;
                }
                world.now().since(began).as_millis()
            })
        })
        .collect();
    took_ms.sort_unstable();
    println!(
        "a stopped leader is replaced within {} ms (p50 of 20 seeds), {} ms at worst",
        took_ms[10], took_ms[19]
    );
    assert!(took_ms[10] < 1_000 && took_ms[19] < 2_000, "{took_ms:?}");
}

#[test]
fn a_members_folder_is_not_opened_alone() {
    World::run(1, async |world| {
        let start = Start::of(&VOTERS);
        let members = started(&world, &start);
        write(&world, &members, 1..20).await;
        same_everywhere(&world, &members).await;
        let third = &members[2];
        third.kill();
        let opened = third.host.start(async |runtime| {
            let disk = runtime.disk(FOLDER.as_ref()).expect("a disk");
            let recorder = Arc::new(Recorder::new());
            Replica::open(runtime, disk, settings(), recorder).await
        });
        let error = opened.await.expect("it runs").expect_err("it is refused");
        assert!(error.to_string().contains("a node of a group"), "{error}");
        third.kill();
        third.start(&start);
        same_everywhere(&world, &members).await;
    });
}
