//! The door on every node: an operation may be submitted at each of them, and each confirms reads.
//! What holds of it under faults is tested in `cluster`.

mod common;

use common::group::{Start, eventually, started};
use common::{create, dump};
use innkeeper_raft::Refusal;
use innkeeper_runtime::World;
use innkeeper_tree::Operation;

const VOTERS: [u64; 3] = [1, 2, 3];

/// What only a leader decides is refused elsewhere, and says so.
#[test]
fn a_follower_refuses_what_only_a_leader_decides() {
    World::run(1, async |world| {
        let members = started(&world, &Start::of(&VOTERS));
        common::group::leader(&world, &members).await;
        let follower = members.iter().find(|member| !member.leads()).expect("two");
        let recorder = follower.recorder();
        let proposals = follower.replica().expect("it runs").proposals();
        proposals
            .submit(vec![Operation::RaiseLevel { level: 2 }])
            .await;
        eventually(&world, "it is refused", || !recorder.refused().is_empty()).await;
        let refused = recorder.refused();
        assert_eq!(refused[0].1, Refusal::NotLeader);
    });
}

/// A confirmed read on any node sees everything that was acknowledged on any other one before.
#[test]
fn a_confirmed_read_sees_what_was_acknowledged_before_on_any_node() {
    for seed in 0..10 {
        World::run(seed, async |world| {
            let members = started(&world, &Start::of(&VOTERS));
            common::group::leader(&world, &members).await;
            for ticket in 1..60 {
                let writer = &members[ticket as usize % 3];
                let reader = &members[(ticket as usize + 1 + seed as usize) % 3];
                let replica = writer.replica().expect("it runs");
                replica.proposals().submit(vec![create(ticket)]).await;
                let recorder = writer.recorder();
                eventually(&world, "it is applied", || {
                    recorder.acks().contains_key(&ticket)
                })
                .await;
                let replica = reader.replica().expect("it runs");
                replica.read_index().await.expect("there is a leader");
                let shown = dump(&replica.reader().view());
                let path = common::path_of(ticket);
                assert!(shown.iter().any(|znode| znode.0 == path), "{path}");
            }
        });
    }
}
