//! A replica whose state differs from the others' stops.

mod common;

use std::time::Duration;

use common::group::{
    FOLDER, Member, Start, created, eventually, leader, members, same_everywhere, started,
};
use common::{create, create_wide};
use innkeeper_runtime::{SimDisk, World};

const VOTERS: [u64; 3] = [1, 2, 3];

/// How often the tree keeps its hash.
const KEPT_EVERY: u64 = 128;

/// One history of a group up to its hundredth znode, and the disks of its nodes. One seed gives one
/// history, in which the data of one znode may be another one of the same length.
fn history(seed: u64, data: char) -> Vec<SimDisk> {
    World::run(seed, async move |world| {
        let start = Start::of(&VOTERS);
        let members = started(&world, &start);
        let leader = leader(&world, &members).await;
        let proposals = leader.replica().expect("it leads").proposals();
        for ticket in 1..=100 {
            let mut operation = create_wide(ticket, 30);
            if ticket == 50 {
                common::replace_data(&mut operation, &data.to_string().repeat(30));
            }
            proposals.submit(vec![operation]).await;
        }
        same_everywhere(&world, &members).await;
        world.sleep(Duration::from_secs(5)).await;
        members.iter().for_each(Member::cut_power);
        let disk = |member: &Member| member.host.disk(FOLDER);
        members.iter().map(disk).collect()
    })
}

#[test]
fn a_node_whose_state_differs_from_the_others_stops_and_says_so() {
    let (one, other) = (history(5, 'a'), history(5, 'b'));
    World::run(6, async move |world| {
        let members = members(&world, &VOTERS);
        for (member, disk) in members.iter().zip([&one[0], &one[1], &other[2]]) {
            member.host.mount(FOLDER, disk.reopen());
        }
        members[2].host.expect_panic();
        let start = Start::of(&VOTERS);
        members.iter().for_each(|member| member.start(&start));
        let leads = leader(&world, &members).await;
        let proposals = leads.replica().expect("it leads").proposals();
        for ticket in 200..200 + KEPT_EVERY {
            proposals.submit(vec![create(ticket)]).await;
        }
        let mut panics = Vec::new();
        eventually(&world, "the third stops", || {
            panics.extend(members[2].host.take_panics());
            !panics.is_empty()
        })
        .await;
        let sentence = "the state of node 3 differs from that of the nodes 1, 2 at zxid 0x80: keep its data folder for a report, and start it with an empty one";
        assert!(panics[0].contains(sentence), "{panics:?}");
        // The others go on.
        let rest = &members[..2];
        let leads = leader(&world, rest).await;
        let proposals = leads.replica().expect("it leads").proposals();
        proposals.submit(vec![create(1000)]).await;
        eventually(&world, "both have it", || {
            rest.iter().all(|member| {
                let reader = member.replica().expect("it runs").reader();
                created(&reader) == 100 + KEPT_EVERY + 1
            })
        })
        .await;
    });
}
