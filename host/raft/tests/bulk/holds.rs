//! What a leader keeps in its log for the target of a snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use innkeeper_runtime::World;
use tracing::Level;

use crate::common::log::Lines;
use crate::scene::{Scene, slow_link, start};

/// The snapshot takes longer than many checkpoints, each of which lets the leader purge its log.
#[test]
fn what_a_snapshots_target_needs_afterwards_is_not_purged_meanwhile() {
    for seed in 0..3 {
        World::run(seed, async |world| {
            let mut scene = Scene::set(world, start(), 2000).await;
            slow_link(&scene, Some(100_000)).await;
            scene.comes_back().await;
            let recorder = scene.away().recorder();
            let purged = |status: innkeeper_raft::Status| status.log.purged;
            let before = scene.leader().await.status().and_then(purged);
            let mut rounds = 0;
            while recorder.installs().is_empty() {
                scene.write(20).await;
                scene.world.sleep(Duration::from_millis(100)).await;
                rounds += 1;
            }
            assert!(rounds > 40, "{rounds} rounds are no long transfer");
            slow_link(&scene, None).await;
            scene.write(20).await;
            scene.same().await;
            assert_eq!(recorder.installs().len(), 1, "one snapshot is enough");
            // The log is purged again as soon as the target has caught up.
            scene.outgrow(300).await;
            let after = scene.leader().await.status().and_then(purged);
            assert!(after > before, "{after:?} {before:?}");
        });
    }
}

/// The transfer would last for half a minute, and the log behind it would grow all the time.
#[test]
fn a_transfer_that_holds_too_much_of_the_log_ends_and_begins_anew() {
    const HOLD_BYTES: u64 = 200_000;
    let ends = Arc::new(AtomicU64::new(0));
    let counted = ends.clone();
    let subscriber = Lines {
        level: Level::WARN,
        line: move |line: String| {
            let is_end = line.starts_with("too much of the log is kept for node");
            counted.fetch_add(u64::from(is_end), Ordering::Relaxed);
        },
    };
    tracing::subscriber::with_default(subscriber, || World::run(4, too_long));
    let ends = ends.load(Ordering::Relaxed);
    assert!(ends >= 2, "it has ended {ends} times");

    async fn too_long(world: World) {
        let mut start = start();
        start.peers.hold_bytes = HOLD_BYTES;
        let mut scene = Scene::set(world, start, 2000).await;
        slow_link(&scene, Some(20_000)).await;
        scene.comes_back().await;
        scene.arriving().await;
        let mut most = 0;
        for _ in 0..200 {
            scene.write(20).await;
            scene.world.sleep(Duration::from_millis(100)).await;
            let status = scene.leader().await.status().expect("it leads");
            most = most.max(status.log.bytes);
        }
        assert_eq!(scene.away().recorder().installs(), [0_u64; 0]);
        // The leader looks once in 200 entries, and purges whole segments.
        assert!(most < HOLD_BYTES * 2, "{most} bytes");
        slow_link(&scene, None).await;
        scene.same().await;
        assert_eq!(scene.away().recorder().installs().len(), 1);
    }
}
