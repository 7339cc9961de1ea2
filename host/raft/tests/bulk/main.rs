//! Snapshots and modules on their way between replicas in a simulated world.
//!
//! 1. [`scene`] sets up a group with a member that needs a snapshot.
//! 2. It gets it here, without faults; in [`faults`] something goes wrong on the way, and in
//!    [`noise`] the bytes change.
//! 3. [`holds`] looks at what the leader keeps in its log meanwhile.
//! 4. [`modules`] fetches modules.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod holds;
mod modules;
mod noise;
mod scene;

use std::time::Duration;

use common::group::{created, eventually, members};
use common::{create, dump};
use innkeeper_runtime::World;
use scene::{Scene, VOTERS, start};

#[test]
fn a_follower_that_was_away_too_long_gets_a_snapshot_and_catches_up() {
    for seed in 0..10 {
        World::run(seed, async |world| {
            let mut scene = Scene::set(world, start(), 1000).await;
            scene.comes_back().await;
            let replica = scene.away().replica().expect("it is back");
            let reader = replica.reader();
            let before = (reader.view(), dump(&reader.view()));
            let recorder = scene.away().recorder();
            while recorder.installs().is_empty() {
                scene.write(5).await;
            }
            scene.write(100).await;
            scene.same().await;
            assert_eq!(recorder.installs().len(), 1, "one snapshot is enough");
            // Readers and views that were given out before stay valid.
            assert_eq!(dump(&before.0), before.1);
            assert_eq!(dump(&reader.view()), dump(&replica.reader().view()));
            assert_eq!(created(&reader), scene.next - 1);
            // What it installed is durable, and it goes on from there.
            scene.away().cut_power();
            scene.write(50).await;
            scene.comes_back().await;
            scene.same().await;
            assert_eq!(scene.away().recorder().installs(), [0_u64; 0]);
        });
    }
}

#[test]
fn an_empty_node_gets_a_snapshot() {
    World::run(3, async |world| {
        let members = members(&world, &VOTERS);
        let start = start();
        members[..2].iter().for_each(|member| member.start(&start));
        let mut scene = Scene {
            world,
            members,
            start,
            next: 1,
        };
        scene.outgrow(500).await;
        scene.comes_back().await;
        scene.write(30).await;
        scene.same().await;
        assert_eq!(scene.away().recorder().installs().len(), 1);
    });
}

/// A node is cut off while operations are submitted to it, and comes back by a snapshot. What it
/// had sent before may be in there, so it waits for none of it; what comes later is applied.
#[test]
fn operations_at_a_node_that_installs_a_snapshot_are_applied_once_or_given_up() {
    for seed in 0..6 {
        World::run(seed, async |world| {
            let mut scene = Scene::set(world, start(), 300).await;
            scene.comes_back().await;
            scene.same().await;
            let replica = scene.away().replica().expect("it runs");
            let recorder = scene.away().recorder();
            let installs = recorder.installs().len();
            let submit = |tickets: std::ops::Range<u64>| {
                let proposals = replica.proposals();
                async move { proposals.submit(tickets.map(create).collect()).await }
            };
            submit(800_000..800_020).await;
            scene.world.sleep(Duration::from_millis(seed)).await;
            for other in &scene.members[..2] {
                scene.world.part(&other.host, &scene.away().host);
            }
            submit(800_020..800_040).await;
            scene.outgrow(300).await;
            scene.world.heal_all();
            let world = scene.world.clone();
            let is_installed = || recorder.installs().len() > installs;
            eventually(&world, "it has installed it", is_installed).await;
            submit(900_000..900_020).await;
            let is_done = || {
                let acks = recorder.acks();
                (900_000..900_020).all(|ticket| acks.contains_key(&ticket))
            };
            eventually(&world, "later ones are applied", is_done).await;
            scene.same().await;
            assert_eq!(recorder.twice(), [0_u64; 0]);
            assert!(recorder.refused().is_empty());
        });
    }
}
