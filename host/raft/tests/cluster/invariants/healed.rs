//! **After healing everything submitted is applied within seconds.** Nobody waits for ever: once
//! all replicas run and reach each other, each operation of a client that still waits is answered,
//! and all replicas show the same.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::World;

use crate::history::History;
use crate::stage::Member;

/// Virtual time in which everything is answered and applied, once all replicas are open.
const HEALED: Duration = Duration::from_secs(10);
/// Virtual time in which they open. Syncs that a fault has made slow still have to end.
const OPEN: Duration = Duration::from_secs(60);

/// Waits until nothing is open any more.
pub async fn wait(world: &World, members: &[Arc<Member>], history: &History) {
    let opens = || members.iter().all(|member| member.replica().is_some());
    wait_for(world, OPEN, opens, || {
        "not all replicas have opened".to_owned()
    })
    .await;
    let is_over = || members.iter().all(|member| is_up_to_date(member, history));
    wait_for(world, HEALED, is_over, || {
        let open: Vec<_> = members.iter().map(|it| open(it, history)).collect();
        open.join("\n")
    })
    .await;
}

async fn wait_for(
    world: &World,
    limit: Duration,
    is_done: impl Fn() -> bool,
    what: impl Fn() -> String,
) {
    let until = world.now() + limit;
    while !is_done() {
        assert!(
            world.now() < until,
            "after {} s:\n{}",
            limit.as_secs(),
            what()
        );
        world.sleep(Duration::from_millis(20)).await;
    }
}

fn is_up_to_date(member: &Member, history: &History) -> bool {
    let (Some(replica), Some(door)) = (member.replica(), member.door()) else {
        return false;
    };
    let members = replica.status().members;
    replica.reader().last_zxid().0 == history.last_zxid()
        && history.unanswered(door.life) == 0
        && members.voters.contains(&member.id)
        && !members.changes
}

/// What is still open at a replica.
fn open(member: &Member, history: &History) -> String {
    let (Some(replica), Some(door)) = (member.replica(), member.door()) else {
        return format!("node {} does not run", member.id);
    };
    format!(
        "node {} has applied {} of {}, owes {} answers, and is {:?}",
        member.id,
        replica.reader().last_zxid().0,
        history.last_zxid(),
        history.unanswered(door.life),
        replica.status()
    )
}
