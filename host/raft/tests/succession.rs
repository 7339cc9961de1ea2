//! A leader that dies, falls silent or is cut off is replaced, and one that lives is not.

mod common;

use std::time::Duration;

use common::create;
use common::group::{FOLDER, Member, Start, eventually, group, leader, started};
use innkeeper_runtime::World;
use innkeeper_runtime::sim::{ClosedPorts, LinkSettings, SyncTime};

const VOTERS: [u64; 3] = [1, 2, 3];

/// How the leader is lost.
#[derive(Clone, Copy)]
enum Loss {
    /// Its process dies.
    Killed,
    /// Its process dies slowly: its listener is closed a while after its connections, as on a
    /// machine whose processors are busy. It counts as lost from then on.
    KilledSlowly,
    /// Its process dies while another voter does not run. It counts as lost from the moment when
    /// that voter goes on.
    KilledUnnoticed,
    /// Its process is stopped, and its connections stand.
    Stopped,
    /// Nothing gets to it or away from it.
    Cut,
    /// What it sends arrives, and no answer gets back to it.
    Unheard,
}

impl Loss {
    async fn befall(self, world: &World, old: &Member, others: &[&Member]) {
        match self {
            Loss::Killed => old.kill(),
            Loss::KilledSlowly => {
                old.host.stop();
                for other in others {
                    world.reset_connections(&old.host, &other.host);
                }
                world.sleep(Duration::from_millis(2 * world.seed())).await;
                old.kill();
            }
            Loss::KilledUnnoticed => {
                let other = others[world.seed() as usize % others.len()];
                other.host.stop();
                old.kill();
                world.sleep(Duration::from_millis(5 * world.seed())).await;
                other.host.resume();
            }
            Loss::Stopped => {
                old.host.stop();
            }
            Loss::Cut => others
                .iter()
                .for_each(|other| world.part(&old.host, &other.host)),
            Loss::Unheard => others
                .iter()
                .for_each(|other| world.cut(&other.host, &old.host)),
        }
    }
}

/// A network within one site and disks of today: syncs of 1 to 5 ms.
fn make_real(world: &World, members: &[Member]) {
    let link = LinkSettings {
        delay: Duration::from_micros(300),
        jitter: Duration::from_micros(700),
        ..LinkSettings::default()
    };
    let sync_time = SyncTime {
        least: Duration::from_millis(1),
        jitter: Duration::from_millis(4),
        stalls: None,
    };
    for from in members {
        from.host.disk(FOLDER).set_sync_time(sync_time.clone());
        for to in members.iter().filter(|to| to.id != from.id) {
            world.set_link(&from.host, &to.host, link.clone());
        }
    }
}

async fn submit(member: &Member, ticket: u64) {
    let replica = member.replica().expect("it runs");
    replica.proposals().submit(vec![create(ticket)]).await;
}

/// A group whose leader is lost in the midst of writes, or after them: milliseconds until an
/// operation that came after the loss is applied at its node.
fn until_the_next_commit(seed: u64, voters: &[u64], loss: Loss) -> u64 {
    World::run(seed, async |world| {
        let members: Vec<_> = voters.iter().map(|id| Member::new(&world, *id)).collect();
        make_real(&world, &members);
        let start = Start::of(voters);
        members.iter().for_each(|member| member.start(&start));
        let old = leader(&world, &members).await;
        let others: Vec<_> = members.iter().filter(|m| m.id != old.id).collect();
        for member in &members {
            eventually(&world, "it runs", || member.replica().is_some()).await;
            submit(member, member.id).await;
        }
        let applied = |member: &Member, ticket| member.recorder().acks().contains_key(&ticket);
        for member in &members {
            eventually(&world, "it is applied", || applied(member, member.id)).await;
        }
        world
            .sleep(Duration::from_micros(world.seed() * 7_310))
            .await;
        // With every other seed the followers' logs differ when the leader goes.
        if world.seed() % 2 == 1 {
            for ticket in 100..150 {
                submit(old, ticket).await;
                world.sleep(Duration::from_micros(211)).await;
            }
        }
        loss.befall(&world, old, &others).await;
        let began = world.now();
        for other in &others {
            submit(other, 1_000 + other.id).await;
        }
        let is_over = || others.iter().any(|other| applied(other, 1_000 + other.id));
        while !is_over() {
            world.sleep(Duration::from_millis(1)).await;
        }
        world.now().since(began).as_millis() as u64
    })
}

/// Of twenty seeds, in milliseconds: the least, the median, the most.
fn of_twenty(what: &str, voters: &[u64], loss: Loss) -> (u64, u64, u64) {
    let mut took_ms: Vec<_> = (0..20)
        .map(|seed| until_the_next_commit(seed, voters, loss))
        .collect();
    took_ms.sort_unstable();
    let (least, median, most) = (took_ms[0], took_ms[10], took_ms[19]);
    println!("{what}: {least}, {median}, {most} ms (least, median, most of 20 seeds)");
    (least, median, most)
}

/// Its connections end and new ones are refused, so nobody waits until its silence is over.
#[test]
fn a_dead_leader_is_replaced_past_its_lease() {
    let (_, _, most) = of_twenty("a dead leader", &VOTERS, Loss::Killed);
    assert!(most <= 150, "{most}");
    let (_, _, most) = of_twenty("a dead leader of five", &[1, 2, 3, 4, 5], Loss::Killed);
    assert!(most <= 150, "{most}");
}

/// A dial that comes too early, and a voter that has not noticed yet, cost only moments.
#[test]
fn a_leader_that_dies_slowly_or_unnoticed_is_replaced_past_its_lease() {
    let (_, _, most) = of_twenty("a leader that dies slowly", &VOTERS, Loss::KilledSlowly);
    assert!(most <= 80, "{most}");
    let (_, _, most) = of_twenty("an unnoticed death", &VOTERS, Loss::KilledUnnoticed);
    assert!(most <= 80, "{most}");
}

/// Nobody can tell a stopped or cut-off leader from a slow one before its lease is over.
#[test]
fn a_silent_or_cut_off_leader_is_replaced_after_its_silence() {
    for (what, loss) in [
        ("a stopped leader", Loss::Stopped),
        ("a cut-off leader", Loss::Cut),
    ] {
        let (least, _, most) = of_twenty(what, &VOTERS, loss);
        assert!(least > 350, "{least}");
        assert!(most <= 900, "{most}");
    }
}

/// Its signs of life would hold elections off for ever, if it did not fall silent without a quorum.
#[test]
fn a_leader_that_hears_nobody_is_replaced_within_two_seconds() {
    let (_, _, most) = of_twenty("a leader that hears nobody", &VOTERS, Loss::Unheard);
    assert!(most <= 2_000, "{most}");
}

/// Runs a group for a while and demands that its first leader stays.
async fn stays(world: &World, members: &[Member], old: &Member) {
    let term = old.status().expect("it runs").term;
    world.sleep(Duration::from_secs(3)).await;
    for member in members {
        let status = member.status().expect("it runs");
        assert_eq!((status.leader, status.term), (Some(old.id), term));
    }
}

#[test]
fn broken_connections_do_not_depose_a_leader_that_lives() {
    for seed in 0..5 {
        World::run(seed, async |world| {
            let start = Start::of(&VOTERS);
            let members = started(&world, &start);
            let old = leader(&world, &members).await;
            for other in members.iter().filter(|m| m.id != old.id) {
                world.reset_connections(&old.host, &other.host);
            }
            stays(&world, &members, old).await;
        });
    }
}

/// The followers' dials to the leader are refused, but its own connections to them stand.
#[test]
fn refused_dials_do_not_depose_a_leader_whose_connections_stand() {
    for seed in 0..5 {
        World::run(seed, async |world| {
            let mut start = Start::of(&VOTERS);
            // It does not hand over by itself.
            start.peers.unreached_after = Duration::from_secs(3600);
            let members = started(&world, &start);
            let old = leader(&world, &members).await;
            eventually(&world, "it is founded", || group(old).is_some()).await;
            world.close_ports(&old.host, ClosedPorts::Refuse);
            stays(&world, &members, old).await;
        });
    }
}
