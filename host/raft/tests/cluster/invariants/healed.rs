//! **After healing everything submitted is applied within seconds.** Nobody waits for ever: once
//! all replicas run and reach each other, each operation of a client that still waits is answered,
//! and all replicas show the same.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::World;

use crate::history::History;
use crate::stage::Member;

/// In so much virtual time.
const HEALED: Duration = Duration::from_secs(10);

/// Waits until nothing is open any more.
pub async fn wait(world: &World, members: &[Arc<Member>], history: &History) {
    let until = world.now() + HEALED;
    while !members.iter().all(|member| is_up_to_date(member, history)) {
        if world.now() >= until {
            let open: Vec<_> = members.iter().map(|it| open(it, history)).collect();
            panic!("after {} s:\n{}", HEALED.as_secs(), open.join("\n"));
        }
        world.sleep(Duration::from_millis(20)).await;
    }
}

fn is_up_to_date(member: &Member, history: &History) -> bool {
    let (Some(replica), Some(door)) = (member.replica(), member.door()) else {
        return false;
    };
    replica.reader().last_zxid().0 == history.last_zxid() && history.unanswered(door.life) == 0
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
