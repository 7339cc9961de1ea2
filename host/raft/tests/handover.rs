//! A node that can dial the others and cannot be dialed neither leads nor disturbs.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::create;
use common::group::{Member, Start, eventually, group, leader, same_everywhere, started};
use common::log::Lines;
use innkeeper_raft::RaftRole;
use innkeeper_runtime::sim::ClosedPorts;
use innkeeper_runtime::{Select2, World, select2};
use parking_lot::Mutex;
use tracing::Level;

const VOTERS: [u64; 3] = [1, 2, 3];
/// Within this time an operation is applied.
const SECONDS: Duration = Duration::from_secs(8);

/// A founded group whose first member leads.
async fn founded(world: &World) -> Vec<Member> {
    let mut members = started(world, &Start::of(&VOTERS));
    let led = leader(world, &members).await.id;
    members.sort_by_key(|member| member.id != led);
    for member in &members {
        eventually(world, "it is founded", || group(member).is_some()).await;
        applied(world, member, member.id).await;
    }
    members
}

/// Submits an operation at a member's door, and waits until it is applied there.
async fn applied(world: &World, member: &Member, ticket: u64) {
    let replica = member.replica().expect("it runs");
    replica.proposals().submit(vec![create(ticket)]).await;
    let recorder = member.recorder();
    let until = world.now() + SECONDS;
    while !recorder.acks().contains_key(&ticket) {
        let now = world.now();
        assert!(now < until, "node {} waits at {now:?}", member.id);
        world.sleep(Duration::from_millis(10)).await;
    }
}

/// The term stays for a while, and with it the leader.
async fn stays(world: &World, members: &[&Member]) {
    let seen = || -> Vec<_> {
        let status = members.iter().map(|member| member.status());
        let status = status.map(|status| status.expect("it runs"));
        status.map(|status| (status.leader, status.term)).collect()
    };
    let before = seen();
    world.sleep(Duration::from_secs(10)).await;
    assert_eq!(seen(), before);
}

/// Runs a scene for both ways to close ports, with several seeds, and returns the log's warnings.
fn each<Fut: Future<Output = ()>>(scene: impl Fn(World, ClosedPorts) -> Fut) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    let subscriber = Lines {
        level: Level::WARN,
        line: move |line| kept.lock().push(line),
    };
    tracing::subscriber::with_default(subscriber, || {
        for how in [ClosedPorts::Refuse, ClosedPorts::Drop] {
            for seed in 0..6 {
                World::run(seed, |world| scene(world, how));
            }
        }
    });
    std::mem::take(&mut *lines.lock())
}

/// The others' operations and questions do not get to it, so another one takes over.
#[test]
fn a_leader_that_nobody_can_dial_hands_over() {
    let lines = each(async |world, how| {
        let members = founded(&world).await;
        let old = &members[0];
        world.close_ports(&old.host, how);
        for other in &members[1..] {
            applied(&world, other, 100 + other.id).await;
        }
        let new = leader(&world, &members[1..]).await;
        stays(&world, &[&members[1], &members[2]]).await;
        let third = members[1..].iter().find(|member| member.id != new.id);
        let third = third.expect("there are three");
        let status = third.status().expect("it runs");
        assert_eq!(
            (status.leader, status.unreached),
            (Some(new.id), [old.id].into())
        );

        // It does not take itself for a leader.
        assert_ne!(old.status().expect("it runs").role, RaftRole::Leader);

        // Without the new one nobody can lead: the old one gets no entries. It stays so no longer.
        new.kill();
        world.sleep(Duration::from_secs(3)).await;
        new.start(&Start::of(&VOTERS));
        eventually(&world, "it runs", || new.replica().is_some()).await;
        eventually(&world, "another one leads", || new.leads() || third.leads()).await;
        applied(&world, third, 300).await;

        world.open_ports(&old.host);
        same_everywhere(&world, &members).await;
        let all: Vec<_> = members.iter().collect();
        stays(&world, &all).await;
        applied(&world, old, 400).await;
    });
    let told = lines.iter().filter(|line| {
        line.contains("cannot be dialed by node") && line.ends_with("takes over the leadership")
    });
    // Each time it is said once. Some see first that only one of the others does not reach them.
    let told = told.count();
    assert!((12..=24).contains(&told), "{told}: {lines:#?}");
}

/// openraft's leader takes no more writes once it has begun to hand over. If nobody can take over,
/// it leads again.
#[test]
fn a_leader_whose_successor_is_not_elected_leads_again() {
    each(async |world, how| {
        let members = founded(&world).await;
        let [first, second, third] = members.as_slice() else {
            unreachable!("there are three");
        };
        // The second one hears that it is to stand, and reaches nobody whose vote it needs.
        third.kill();
        world.close_ports(&first.host, how);
        let replica = first.replica().expect("it runs");
        let handing = replica.transfer_leadership(second.id);
        let handed = select2(handing, world.sleep(SECONDS)).await;
        let Select2::First(Err(sentence)) = handed else {
            panic!("{handed:?}");
        };
        assert!(sentence.contains("has not taken over"), "{sentence}");
        applied(&world, first, 100).await;
        // Nobody waits for this one's end.
        select2(
            replica.transfer_leadership(second.id),
            world.sleep(Duration::from_millis(100)),
        )
        .await;
        applied(&world, first, 200).await;

        world.open_ports(&first.host);
        applied(&world, second, 300).await;
        third.start(&Start::of(&VOTERS));
        eventually(&world, "it runs", || third.replica().is_some()).await;
        same_everywhere(&world, &members).await;
    });
}

/// It gets nothing of the log, and its server is no longer in contact. The others go on.
#[test]
fn a_follower_that_nobody_can_dial_disturbs_nobody() {
    each(async |world, how| {
        let members = founded(&world).await;
        let (first, away) = (&members[0], &members[2]);
        world.close_ports(&away.host, how);
        let term = first.status().expect("it runs").term;
        for (member, ticket) in [(first, 100), (&members[1], 101)] {
            applied(&world, member, ticket).await;
        }
        stays(&world, &[first, &members[1]]).await;
        let replica = away.replica().expect("it runs");
        let question = || replica.ask(first.id, b"in contact?".as_slice().into());
        assert_eq!(question().await.as_deref(), Ok(b"no".as_slice()));

        world.open_ports(&away.host);
        same_everywhere(&world, &members).await;
        assert_eq!(question().await.as_deref(), Ok(b"yes".as_slice()));
        assert_eq!(first.status().expect("it runs").term, term);
        applied(&world, away, 300).await;
    });
}
