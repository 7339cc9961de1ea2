//! Where a node dials a peer, how often if that does not serve it, and what its log says of that.

mod common;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::group::{
    Member, PEER_PORT, Start, done, eventually, leader, peer_address, same_everywhere, started,
    write,
};
use common::log::Lines;
use innkeeper_raft::peer::PeerAddress;
use innkeeper_runtime::{Listener, Runtime, World};
use innkeeper_tree::group::{GroupChange, Role};
use innkeeper_tree::{Operation, Ticket};
use parking_lot::Mutex;
use tracing::Level;

const VOTERS: [u64; 3] = [1, 2, 3];

/// Runs a scene, and returns what the nodes logged about connections.
fn logged<Fut: Future<Output = ()>>(seed: u64, scene: impl FnOnce(World) -> Fut) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    let line = move |line: String| {
        if line.contains("connection") {
            kept.lock().push(line);
        }
    };
    let subscriber = Lines {
        level: Level::INFO,
        line,
    };
    tracing::subscriber::with_default(subscriber, || World::run(seed, scene));
    std::mem::take(&mut *lines.lock())
}

/// In the place of a member: accepts each connection, counts it and closes it.
fn close_all(member: &Member) -> Arc<AtomicU32> {
    let count = Arc::new(AtomicU32::new(0));
    let (counted, ip) = (count.clone(), member.host.address());
    let life = member.host.start(move |runtime| async move {
        let address = SocketAddr::new(ip, PEER_PORT);
        let listener = runtime.listen_tcp(address).await.unwrap();
        loop {
            drop(listener.accept().await.unwrap());
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    life.detach();
    count
}

/// A group whose first member leads, and its last one follows.
async fn group(world: &World, start: &Start) -> Vec<Member> {
    let mut members = started(world, start);
    write(world, &members, 1..20).await;
    let led = leader(world, &members).await.id;
    members.sort_by_key(|member| member.id != led);
    same_everywhere(world, &members).await;
    members
}

#[test]
fn a_peer_that_closes_each_connection_is_dialed_with_pauses() {
    const SECONDS: u32 = 20;
    for seed in 0..4 {
        let lines = logged(seed, async |world| {
            let start = Start::of(&VOTERS);
            let members = group(&world, &start).await;
            let away = &members[2];
            away.kill();
            let dials = close_all(away);
            for second in 0..u64::from(SECONDS) {
                write(&world, &members[..2], 100 + second..101 + second).await;
                world.sleep(Duration::from_secs(1)).await;
            }
            // The control connections of two nodes and the leader's log connection, each twice a
            // second; some more at the beginning, when the pauses are shorter.
            let dials = dials.load(Ordering::Relaxed);
            assert!(
                (3 * SECONDS..3 * (2 * SECONDS + 8)).contains(&dials),
                "{dials}"
            );
            away.kill();
            away.start_again(&world, &start).await;
            same_everywhere(&world, &members).await;
            world.sleep(Duration::from_secs(3)).await;
        });
        // Each of the three breaks, fails in another way, and works again.
        assert!(lines.len() <= 3 * 3 + 2, "{lines:#?}");
        // The leader's two connections, and that over which the other follower asks whom it reaches.
        let back = lines.iter().filter(|line| line.contains("works again"));
        assert_eq!(back.count(), 3, "{lines:#?}");
    }
}

#[test]
fn a_peer_that_says_hello_is_dialed_at_once() {
    World::run(1, async |world| {
        let mut start = Start::of(&VOTERS);
        start.peers.backoff_max = Duration::from_secs(60);
        let members = group(&world, &start).await;
        let away = &members[2];
        away.kill();
        world.sleep(Duration::from_secs(90)).await;
        write(&world, &members[..2], 100..110).await;
        away.start(&start);
        let began = world.now();
        eventually(&world, "it is back", || away.replica().is_some()).await;
        same_everywhere(&world, &members).await;
        let took = world.now().since(began);
        assert!(took < Duration::from_secs(2), "{took:?}");
    });
}

/// Its operator has told the group of another port and not started it there yet, or has started it
/// there and not told the group yet. The third member is away, so this one is needed.
#[test]
fn a_member_is_dialed_where_it_says_that_it_is() {
    for seed in 0..4 {
        World::run(seed, async |world| {
            let start = Start::of(&VOTERS);
            let members = group(&world, &start).await;
            let [first, moving, third] = members.as_slice() else {
                unreachable!("there are three");
            };
            third.kill();
            let elsewhere = PeerAddress {
                port: PEER_PORT + 1,
                ..peer_address(moving.id)
            };
            if seed % 2 == 0 {
                let wish = GroupChange::Configure {
                    ticket: Ticket(100),
                    version: None,
                    joining: [(moving.id, (Role::Voter, elsewhere.to_string()))].into(),
                    leaving: BTreeSet::new(),
                };
                assert!(done(&world, first, 100, Operation::Group(wish)).await);
                assert!(world.reset_connections(&first.host, &moving.host) > 0);
            } else {
                moving.kill();
                let start = Start {
                    port: elsewhere.port,
                    ..start.clone()
                };
                moving.start_again(&world, &start).await;
            }
            write(&world, &members, 101..110).await;
            // Neither can be elected without the other.
            first.kill();
            first.start_again(&world, &start).await;
            write(&world, &members, 110..120).await;
            same_everywhere(&world, &members[..2]).await;
        });
    }
}

#[test]
fn connections_that_break_again_and_again_fill_no_log() {
    const SECONDS: u64 = 20;
    for seed in 0..4 {
        let lines = logged(seed, async |world| {
            let members = group(&world, &Start::of(&VOTERS)).await;
            let (leader, follower) = (&members[0], &members[2]);
            let until = world.now() + Duration::from_secs(SECONDS);
            let mut broken = 0;
            while world.now() < until {
                world.sleep(Duration::from_millis(70)).await;
                broken += world.reset_connections(&leader.host, &follower.host);
            }
            assert!(broken > 100, "{broken}");
        });
        // Control both ways, log and forward; and a broken hello on each side.
        assert!(lines.len() as u64 <= 6 * (SECONDS + 2), "{lines:#?}");
    }
}
