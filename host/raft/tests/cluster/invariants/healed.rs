//! **After healing everything submitted is applied within seconds, and the configuration that was
//! asked for last is reached.** Nobody waits for ever: once all replicas run and reach each other,
//! each operation of a client that still waits at a member is answered, and all members show the
//! same. A node that is no member hears nothing and answers nobody.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::World;

use crate::history::History;
use crate::stage::Member;

/// Virtual time in which everything is answered and applied, once all replicas are open. A snapshot
/// whose pieces were lost just before begins anew after a stall of 10 s.
const HEALED: Duration = Duration::from_secs(15);
/// Virtual time in which they open. Syncs that a fault has made slow still have to end.
const OPEN: Duration = Duration::from_secs(60);

/// Waits until all replicas have opened.
pub async fn wait_until_open(world: &World, hosts: &[Arc<Member>]) {
    let opens = || hosts.iter().all(|host| host.replica().is_some());
    wait_for(world, OPEN, opens, || {
        "not all replicas have opened".to_owned()
    })
    .await;
}

/// Waits until nothing is open any more.
pub async fn wait(world: &World, hosts: &[Arc<Member>], history: &History) {
    wait_until_open(world, hosts).await;
    let is_over = || {
        let wanted = history.wanted();
        let mut members = hosts.iter().filter(|host| wanted.has(host.id));
        members.all(|member| is_up_to_date(member, history)) && wanted.is_reached(hosts)
    };
    wait_until(world, hosts, history, is_over).await;
}

/// Waits until something has happened that must happen soon after healing.
pub async fn wait_until(
    world: &World,
    hosts: &[Arc<Member>],
    history: &History,
    is_over: impl Fn() -> bool,
) {
    wait_for(world, HEALED, is_over, || {
        let open: Vec<_> = hosts.iter().map(|it| open(it, history)).collect();
        format!("{:?} is wanted\n{}", history.wanted(), open.join("\n"))
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
