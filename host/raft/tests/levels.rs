//! A node of an older release meets a feature level that it does not support.

mod common;

use std::time::Duration;

use common::group::{Member, Start, eventually, leader, same_everywhere};
use common::members::{VOTERS, founded, write};
use innkeeper_raft::Settings;
use innkeeper_runtime::World;
use innkeeper_tree::Operation;

/// A node of a release that supports the feature levels up to this one.
fn release(feature_level: u32) -> Start {
    let start = Start::of(&VOTERS);
    Start {
        settings: Settings {
            feature_level,
            ..start.settings.clone()
        },
        ..start
    }
}

/// A level follows the one below it only.
async fn raise(leader: &Member) {
    let raises = [1, 2].map(|level| Operation::RaiseLevel { level });
    let replica = leader.replica().expect("it leads");
    replica.proposals().submit(raises.to_vec()).await;
}

fn level(member: &Member) -> Option<u32> {
    let replica = member.replica()?;
    Some(replica.reader().view().level())
}

/// Waits until the node has ended, and checks that it says why.
async fn ends(world: &World, member: &Member) {
    eventually(world, "it ends", || !member.host.is_running()).await;
    let why = member.host.take_panics().concat();
    let sentence = "the group uses the feature level 2, and this node supports 1: update it";
    assert!(why.contains(sentence), "{why}");
    member.kill();
}

/// The level is raised although a member does not support it. Its connections stand and go on to
/// bring it entries. It stops before the command, and the others go on without it.
#[test]
fn a_node_stops_before_a_level_that_it_does_not_support() {
    for seed in 0..4 {
        World::run(seed, async |world| {
            let members = founded(&world, &release(2)).await;
            let leads = leader(&world, &members).await;
            let old = members.iter().find(|m| m.id != leads.id).expect("two");
            old.kill();
            old.start_again(&world, &release(1)).await;
            write(&world, leads, 1).await;
            same_everywhere(&world, &members).await;
            let replica = old.replica().expect("it runs");
            old.host.expect_panic();
            raise(leads).await;
            ends(&world, old).await;
            assert!(replica.reader().view().level() < 2);
            drop(replica);
            let rest = || members.iter().filter(|member| member.id != old.id);
            eventually(&world, "the others have it", || {
                rest().all(|member| level(member) == Some(2))
            })
            .await;
            write(&world, leads, 2).await;
            // As it is it cannot come back, and its next release can.
            old.start(&release(1));
            world.sleep(Duration::from_secs(3)).await;
            assert!(level(old) < Some(2));
            old.kill();
            old.start_again(&world, &release(2)).await;
            same_everywhere(&world, &members).await;
        });
    }
}

/// A node was updated, and its older release is started again on the folder that it has by now.
#[test]
fn a_folder_of_a_level_that_a_node_does_not_support_is_not_opened() {
    World::run(1, async |world| {
        let members = founded(&world, &release(2)).await;
        let leads = leader(&world, &members).await;
        let old = members.iter().find(|m| m.id != leads.id).expect("two");
        raise(leads).await;
        eventually(&world, "it is in a checkpoint", || {
            let status = old.status().expect("it runs");
            level(old) == Some(2) && status.checkpoint == status.applied
        })
        .await;
        old.kill();
        old.host.expect_panic();
        old.start(&release(1));
        ends(&world, old).await;
        old.start_again(&world, &release(2)).await;
        same_everywhere(&world, &members).await;
    });
}
