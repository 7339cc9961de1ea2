//! A snapshot on its way while something goes wrong: on the network, on the disks, in the nodes.

use std::time::Duration;

use innkeeper_raft::peer::PeerSettings;
use innkeeper_runtime::sim::{CutAt, FileFaults};
use innkeeper_runtime::{Runtime, World};

use crate::common::group::{FOLDER, created};
use crate::scene::{ARRIVING, Scene, arrives, slow_link, start};

/// A transfer over which nothing moves ends on both sides, and begins anew.
#[test]
fn a_transfer_that_stalls_ends_and_begins_anew() {
    World::run(5, async |world| {
        let mut scene = Scene::set(world, start(), 2000).await;
        slow_link(&scene, Some(200_000)).await;
        scene.comes_back().await;
        scene.arriving().await;
        for other in &scene.members[..2] {
            scene.world.part(&other.host, &scene.away().host);
        }
        let stall = PeerSettings::default().stall_timeout;
        scene.world.sleep(stall / 2).await;
        assert!(arrives(scene.away()), "a pause is no stall");
        scene.world.sleep(stall).await;
        assert!(!arrives(scene.away()), "it has been given up");
        scene.write(20).await;
        scene.world.heal_all();
        scene.arriving().await;
        scene.same().await;
        assert_eq!(scene.away().recorder().installs().len(), 1);
    });
}

/// Whatever happens to the nodes, the link and the disk while a snapshot travels and is installed:
/// the node that was away catches up after the faults are over.
#[test]
fn a_snapshot_arrives_whatever_happens_on_the_way() {
    let mut hit = [0_u64; 7];
    for seed in 0..14 {
        World::run(seed, async |world| {
            let dice = world.host("dice").boot();
            let mut scene = Scene::set(world, start(), 1000).await;
            for round in 0..4 {
                slow_link(&scene, Some(300_000 + dice.random_u64() % 2_000_000)).await;
                scene.comes_back().await;
                scene.arriving().await;
                let pause = dice.random_u64() % 1500;
                scene.world.sleep(Duration::from_millis(pause)).await;
                let kind = ((seed * 4 + round) % 7) as usize;
                hit[kind] += u64::from(arrives(scene.away()));
                fault(&scene, kind).await;
                scene.write(20).await;
                // Half of the transfers that begin anew come to their end.
                if dice.random_u64().is_multiple_of(2) {
                    scene.caught_up().await;
                }
                scene.away().kill();
                scene.outgrow(100).await;
            }
            slow_link(&scene, None).await;
            scene.comes_back().await;
            scene.write(20).await;
            scene.same().await;
            let reader = scene.away().replica().expect("it runs").reader();
            assert_eq!(created(&reader), scene.next - 1);
        });
    }
    assert!(hit.iter().all(|count| *count > 0), "{hit:?}");
}

async fn fault(scene: &Scene, kind: usize) {
    let (world, away) = (&scene.world, scene.away());
    let leader = scene.leader().await;
    match kind {
        0 => drop(world.reset_connections(&leader.host, &away.host)),
        1 => {
            world.part(&leader.host, &away.host);
            world.sleep(Duration::from_secs(12)).await;
            world.heal_all();
        }
        2 => away.kill(),
        3 => away.cut_power(),
        4 => {
            leader.kill();
            leader.start(&scene.start);
        }
        5 => {
            leader.cut_power();
            leader.start(&scene.start);
        }
        _ => {
            leader.host.stop();
            world.sleep(Duration::from_secs(3)).await;
            leader.host.resume();
        }
    }
}

/// The power fails at each sync of the file in which the state arrives, and of the folder after
/// its renaming.
#[test]
fn a_power_cut_at_any_sync_of_a_snapshot_leaves_a_node_that_catches_up() {
    let mut cuts = 0;
    for seed in 0..16 {
        World::run(seed, async |world| {
            let mut scene = Scene::set(world, start(), 300).await;
            scene.comes_back().await;
            let disk = scene.away().host.disk(FOLDER);
            let prefix = if seed % 4 == 3 { "" } else { ARRIVING };
            disk.cut_at_sync_of(prefix, 1 + seed / 2, CutAt::Before);
            scene.write(20).await;
            let (world, away) = (&scene.world, scene.away());
            let until = world.now() + Duration::from_secs(10);
            while disk.is_powered() && world.now() < until {
                world.sleep(Duration::from_millis(10)).await;
            }
            if !disk.is_powered() {
                cuts += 1;
                away.cut_power();
                scene.comes_back().await;
            }
            scene.write(20).await;
            scene.same().await;
        });
    }
    assert!(cuts > 4, "{cuts}");
}

/// A disk that has no room for the snapshot costs the transfer. The node goes on, and takes the
/// snapshot when there is room.
#[test]
fn a_node_without_room_for_a_snapshot_goes_on_until_there_is_room() {
    for seed in 0..4 {
        World::run(seed, async |world| {
            let mut scene = Scene::set(world, start(), 1000).await;
            let disk = scene.away().host.disk(FOLDER);
            let mut faults = FileFaults::default();
            match seed % 2 {
                0 => faults.capacity_bytes = Some(200_000),
                _ => faults.write_errors_one_in = Some(30),
            }
            disk.set_faults(ARRIVING, faults);
            scene.comes_back().await;
            for _ in 0..20 {
                scene.write(10).await;
                scene.world.sleep(Duration::from_millis(200)).await;
            }
            let recorder = scene.away().recorder();
            assert_eq!(recorder.installs(), [0_u64; 0]);
            assert!(scene.away().host.is_running(), "it goes on");
            disk.heal();
            scene.same().await;
            assert_eq!(recorder.installs().len(), 1);
        });
    }
}
