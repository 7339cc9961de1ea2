//! Clients that say nothing, or are not heard, until their session is about to expire or has
//! expired, and then speak on the connection that they have.

use std::time::Duration;

use innkeeper_proto::ErrorCode;
use innkeeper_runtime::Runtime;

use super::common::simulated::SimClient;
use super::common::{create_as, exists};
use super::stage::{Clients, Stage, ask, play};

const EPHEMERAL: i32 = 1;
const TIMEOUT: Duration = Duration::from_millis(2_000);

/// A client at a node that holds `/lock` for as long as its session lives.
async fn holder_at(clients: &Clients, node: u64) -> SimClient {
    let mut holder = clients.connect(node, TIMEOUT.as_millis() as i32).await;
    let lock = create_as("/lock", b"", EPHEMERAL);
    assert_eq!(ask(&mut holder, lock).await, ErrorCode::Ok);
    holder
}

/// When the process goes on, the connection's task runs first: it was woken during the stop, before
/// the task that closes the connections of a node without contact.
#[test]
fn a_connection_that_wakes_up_first_in_a_node_that_was_stopped_answers_nothing() {
    for (seed, stops_leader) in (0..6).map(|seed| (seed, seed % 2 == 0)) {
        play(
            seed,
            3,
            |_| {},
            async move |stage, clients| {
                let (leader, follower) = stage.leader_and_follower().await;
                let stopped = if stops_leader { leader } else { follower };
                let mut holder = holder_at(&clients, stopped).await;
                let mut watcher = clients.connect(stopped % 3 + 1, 10_000).await;
                contact_is_new(&stage, stopped).await;
                stage.member(stopped).host.stop();
                holder.send(&[exists("/lock", false)]).await;
                while ask(&mut watcher, exists("/lock", false)).await == ErrorCode::Ok {
                    clients.runtime.sleep(Duration::from_millis(50)).await;
                }
                holder.send(&[exists("/lock", false)]).await;
                stage.member(stopped).host.resume();
                let answered = holder.try_answer().await;
                assert!(answered.is_err(), "seed {seed}: {answered:?}");
            },
        );
    }
}

/// Waits until a node has just got its contact with the leader anew: it reports again some time
/// later.
async fn contact_is_new(stage: &Stage, node: u64) {
    let service = stage.service(node).expect("it runs");
    let age = || service.quorum.contact_age(service.runtime.now());
    let mut before = age();
    loop {
        stage.world.sleep(Duration::from_millis(1)).await;
        let now = age();
        if now < before {
            return;
        }
        before = now;
    }
}
