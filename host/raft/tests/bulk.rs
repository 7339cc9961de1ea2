//! Snapshots and modules on their way between replicas in a simulated world.

mod common;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use common::group::{
    FOLDER, Member, Start, created, eventually, leader, members, same_everywhere, started, write,
    write_wide,
};
use common::log::Lines;
use common::{create, dump};
use innkeeper_raft::peer::{PeerSettings, Protecting, Protection, Unprotected, Wire};
use innkeeper_raft::{ModuleStore, Settings};
use innkeeper_runtime::sim::{FileFaults, LinkSettings, SimStream};
use innkeeper_runtime::{Disk, Runtime, Simulated, World};
use tokio::io::{AsyncRead, ReadBuf};
use tracing::Level;

const VOTERS: [u64; 3] = [1, 2, 3];
/// The file into which a snapshot is written while it arrives.
const ARRIVING: &str = "state.redb.new";
/// Bytes of data in each znode.
const WIDTH: usize = 300;

/// Whole segments are purged as soon as a checkpoint covers them.
fn start() -> Start {
    let mut start = Start::of(&VOTERS);
    start.settings = Settings {
        retention_age: Duration::ZERO,
        retention_bytes: 0,
        ..start.settings
    };
    // A target that has died holds purges up only for a moment.
    start.peers.hold_timeout = Duration::from_secs(5);
    start
}

/// Does a snapshot arrive at this member right now?
fn arrives(member: &Member) -> bool {
    let names = member.host.disk(FOLDER).list("");
    names.is_ok_and(|names| names.iter().any(|name| name == ARRIVING))
}

/// Three members, of which the last in the list has been away for so long that the others have
/// purged what it needs next.
struct Scene {
    world: World,
    members: Vec<Member>,
    start: Start,
    /// The next ticket.
    next: u64,
}

impl Scene {
    async fn set(world: World, start: Start, znodes: u64) -> Self {
        let mut members = started(&world, &start);
        write(&world, &members, 1..50).await;
        let led = leader(&world, &members).await.id;
        members.sort_by_key(|member| member.id != led);
        let mut scene = Self {
            world,
            members,
            start,
            next: 50,
        };
        scene.same().await;
        scene.away().kill();
        scene.outgrow(znodes).await;
        scene
    }

    fn away(&self) -> &Member {
        &self.members[2]
    }

    async fn leader(&self) -> &Member {
        leader(&self.world, &self.members).await
    }

    /// Writes at the leader, until so many more znodes are there and their entries are purged.
    async fn outgrow(&mut self, znodes: u64) {
        let first = self.next;
        while self.next < first + znodes {
            self.write(100).await;
        }
        let others = &self.members[..2];
        // An entry's index is greater than its ticket, since there are others in the log.
        let are_purged = || {
            others.iter().all(|member| {
                let status = member.status();
                let purged = status.and_then(|status| status.log.purged);
                purged.is_some_and(|purged| purged > first + 100)
            })
        };
        while !are_purged() {
            // A segment is purged when there is a newer one.
            write_wide(&self.world, others, self.next..self.next + 20, WIDTH).await;
            self.next += 20;
            self.world.sleep(Duration::from_millis(100)).await;
        }
    }

    async fn write(&mut self, count: u64) {
        let tickets = self.next..self.next + count;
        write_wide(&self.world, &self.members, tickets, WIDTH).await;
        self.next += count;
    }

    async fn comes_back(&self) {
        self.away().start(&self.start);
        let away = self.away();
        eventually(&self.world, "it has opened", || away.replica().is_some()).await;
    }

    /// Waits until a snapshot arrives at the member that was away.
    async fn arriving(&self) {
        let away = self.away();
        eventually(&self.world, "a snapshot arrives", || arrives(away)).await;
    }

    /// Waits until the member that was away has what the leader has, if it runs.
    async fn caught_up(&self) {
        let away = self.away();
        let is_there = || {
            let all = self.members.iter().filter_map(Member::status);
            let most = all.map(|status| status.committed).max().flatten();
            away.status().is_none_or(|status| status.applied >= most)
        };
        eventually(&self.world, "it has caught up", is_there).await;
    }

    async fn same(&self) {
        same_everywhere(&self.world, &self.members).await;
        assert!(!arrives(self.away()), "nothing is left of a snapshot");
    }
}

/// Lets the link from the leader to the member that was away take so many bytes in a second.
async fn slow_link(scene: &Scene, bytes_per_s: Option<u64>) {
    for from in &scene.members[..2] {
        let link = LinkSettings {
            bytes_per_s,
            ..LinkSettings::default()
        };
        scene.world.set_link(&from.host, &scene.away().host, link);
    }
}

#[test]
fn a_follower_that_was_away_too_long_gets_a_snapshot_and_catches_up() {
    for seed in 0..10 {
        World::run(seed, async |world| {
            let mut scene = Scene::set(world, start(), 1000).await;
            scene.comes_back().await;
            let replica = scene.away().replica().expect("it is back");
            let reader = replica.reader();
            let before = (reader.view(), dump(&reader.view()));
            let recorder = scene.away().recorder();
            while recorder.installs().is_empty() {
                scene.write(5).await;
            }
            scene.write(100).await;
            scene.same().await;
            assert_eq!(recorder.installs().len(), 1, "one snapshot is enough");
            // Readers and views that were given out before stay valid.
            assert_eq!(dump(&before.0), before.1);
            assert_eq!(dump(&reader.view()), dump(&replica.reader().view()));
            assert_eq!(created(&reader), scene.next - 1);
            // What it installed is durable, and it goes on from there.
            scene.away().cut_power();
            scene.write(50).await;
            scene.comes_back().await;
            scene.same().await;
            assert_eq!(scene.away().recorder().installs(), [0_u64; 0]);
        });
    }
}

#[test]
fn an_empty_node_gets_a_snapshot() {
    World::run(3, async |world| {
        let members = members(&world, &VOTERS);
        let start = start();
        members[..2].iter().for_each(|member| member.start(&start));
        let mut scene = Scene {
            world,
            members,
            start,
            next: 1,
        };
        scene.outgrow(500).await;
        scene.comes_back().await;
        scene.write(30).await;
        scene.same().await;
        assert_eq!(scene.away().recorder().installs().len(), 1);
    });
}

/// A node is cut off while operations are submitted to it, and comes back by a snapshot. What it
/// had sent before may be in there, so it waits for none of it; what comes later is applied.
#[test]
fn operations_at_a_node_that_installs_a_snapshot_are_applied_once_or_given_up() {
    for seed in 0..6 {
        World::run(seed, async |world| {
            let mut scene = Scene::set(world, start(), 300).await;
            scene.comes_back().await;
            scene.same().await;
            let replica = scene.away().replica().expect("it runs");
            let recorder = scene.away().recorder();
            let installs = recorder.installs().len();
            let submit = |tickets: std::ops::Range<u64>| {
                let proposals = replica.proposals();
                async move { proposals.submit(tickets.map(create).collect()).await }
            };
            submit(800_000..800_020).await;
            scene.world.sleep(Duration::from_millis(seed)).await;
            for other in &scene.members[..2] {
                scene.world.part(&other.host, &scene.away().host);
            }
            submit(800_020..800_040).await;
            scene.outgrow(300).await;
            scene.world.heal_all();
            let world = scene.world.clone();
            let is_installed = || recorder.installs().len() > installs;
            eventually(&world, "it has installed it", is_installed).await;
            submit(900_000..900_020).await;
            let is_done = || {
                let acks = recorder.acks();
                (900_000..900_020).all(|ticket| acks.contains_key(&ticket))
            };
            eventually(&world, "later ones are applied", is_done).await;
            scene.same().await;
            assert_eq!(recorder.twice(), [0_u64; 0]);
            assert!(recorder.refused().is_empty());
        });
    }
}

/// The snapshot takes longer than many checkpoints, each of which lets the leader purge its log.
#[test]
fn what_a_snapshots_target_needs_afterwards_is_not_purged_meanwhile() {
    for seed in 0..3 {
        World::run(seed, async |world| {
            let mut scene = Scene::set(world, start(), 2000).await;
            slow_link(&scene, Some(100_000)).await;
            scene.comes_back().await;
            let recorder = scene.away().recorder();
            let purged = |status: innkeeper_raft::Status| status.log.purged;
            let before = scene.leader().await.status().and_then(purged);
            let mut rounds = 0;
            while recorder.installs().is_empty() {
                scene.write(20).await;
                scene.world.sleep(Duration::from_millis(100)).await;
                rounds += 1;
            }
            assert!(rounds > 40, "{rounds} rounds are no long transfer");
            slow_link(&scene, None).await;
            scene.write(20).await;
            scene.same().await;
            assert_eq!(recorder.installs().len(), 1, "one snapshot is enough");
            // The log is purged again as soon as the target has caught up.
            scene.outgrow(300).await;
            let after = scene.leader().await.status().and_then(purged);
            assert!(after > before, "{after:?} {before:?}");
        });
    }
}

/// The transfer would last for half a minute, and the log behind it would grow all the time.
#[test]
fn a_transfer_that_holds_too_much_of_the_log_ends_and_begins_anew() {
    const HOLD_BYTES: u64 = 200_000;
    let ends = Arc::new(AtomicU64::new(0));
    let counted = ends.clone();
    let subscriber = Lines {
        level: Level::WARN,
        line: move |line: String| {
            let is_end = line.starts_with("too much of the log is kept for node");
            counted.fetch_add(u64::from(is_end), Ordering::Relaxed);
        },
    };
    tracing::subscriber::with_default(subscriber, || World::run(4, too_long));
    let ends = ends.load(Ordering::Relaxed);
    assert!(ends >= 2, "it has ended {ends} times");

    async fn too_long(world: World) {
        let mut start = start();
        start.peers.hold_bytes = HOLD_BYTES;
        let mut scene = Scene::set(world, start, 2000).await;
        slow_link(&scene, Some(20_000)).await;
        scene.comes_back().await;
        scene.arriving().await;
        let mut most = 0;
        for _ in 0..200 {
            scene.write(20).await;
            scene.world.sleep(Duration::from_millis(100)).await;
            let status = scene.leader().await.status().expect("it leads");
            most = most.max(status.log.bytes);
        }
        assert_eq!(scene.away().recorder().installs(), [0_u64; 0]);
        // The leader looks once in 200 entries, and purges whole segments.
        assert!(most < HOLD_BYTES * 2, "{most} bytes");
        slow_link(&scene, None).await;
        scene.same().await;
        assert_eq!(scene.away().recorder().installs().len(), 1);
    }
}

/// A transfer over which nothing moves ends on both sides, and begins anew.
#[test]
fn a_transfer_that_stalls_ends_and_begins_anew() {
    World::run(5, async |world| {
        let mut scene = Scene::set(world, start(), 2000).await;
        slow_link(&scene, Some(200_000)).await;
        scene.comes_back().await;
        scene.arriving().await;
        for other in &scene.members[..2] {
            scene.world.part(&other.host, &scene.away().host);
        }
        let stall = PeerSettings::default().stall_timeout;
        scene.world.sleep(stall / 2).await;
        assert!(arrives(scene.away()), "a pause is no stall");
        scene.world.sleep(stall).await;
        assert!(!arrives(scene.away()), "it has been given up");
        scene.write(20).await;
        scene.world.heal_all();
        scene.arriving().await;
        scene.same().await;
        assert_eq!(scene.away().recorder().installs().len(), 1);
    });
}

/// Whatever happens to the nodes, the link and the disk while a snapshot travels and is installed:
/// the node that was away catches up after the faults are over.
#[test]
fn a_snapshot_arrives_whatever_happens_on_the_way() {
    let mut hit = [0_u64; 7];
    for seed in 0..14 {
        World::run(seed, async |world| {
            let dice = world.host("dice").boot();
            let mut scene = Scene::set(world, start(), 1000).await;
            for round in 0..4 {
                slow_link(&scene, Some(300_000 + dice.random_u64() % 2_000_000)).await;
                scene.comes_back().await;
                scene.arriving().await;
                let pause = dice.random_u64() % 1500;
                scene.world.sleep(Duration::from_millis(pause)).await;
                let kind = ((seed * 4 + round) % 7) as usize;
                hit[kind] += u64::from(arrives(scene.away()));
                fault(&scene, kind).await;
                scene.write(20).await;
                // Half of the transfers that begin anew come to their end.
                if dice.random_u64().is_multiple_of(2) {
                    scene.caught_up().await;
                }
                scene.away().kill();
                scene.outgrow(100).await;
            }
            slow_link(&scene, None).await;
            scene.comes_back().await;
            scene.write(20).await;
            scene.same().await;
            let reader = scene.away().replica().expect("it runs").reader();
            assert_eq!(created(&reader), scene.next - 1);
        });
    }
    assert!(hit.iter().all(|count| *count > 0), "{hit:?}");
}

async fn fault(scene: &Scene, kind: usize) {
    let (world, away) = (&scene.world, scene.away());
    let leader = scene.leader().await;
    match kind {
        0 => drop(world.reset_connections(&leader.host, &away.host)),
        1 => {
            world.part(&leader.host, &away.host);
            world.sleep(Duration::from_secs(12)).await;
            world.heal_all();
        }
        2 => away.kill(),
        3 => away.cut_power(),
        4 => {
            leader.kill();
            leader.start(&scene.start);
        }
        5 => {
            leader.cut_power();
            leader.start(&scene.start);
        }
        _ => {
            leader.host.stop();
            world.sleep(Duration::from_secs(3)).await;
            leader.host.resume();
        }
    }
}

/// The power fails at each sync of the file in which the state arrives, and of the folder after
/// its renaming.
#[test]
fn a_power_cut_at_any_sync_of_a_snapshot_leaves_a_node_that_catches_up() {
    let mut cuts = 0;
    for seed in 0..16 {
        World::run(seed, async |world| {
            let mut scene = Scene::set(world, start(), 300).await;
            scene.comes_back().await;
            let disk = scene.away().host.disk(FOLDER);
            let prefix = if seed % 4 == 3 { "" } else { ARRIVING };
            let at = innkeeper_runtime::sim::CutAt::Before;
            disk.cut_at_sync_of(prefix, 1 + seed / 2, at);
            scene.write(20).await;
            let (world, away) = (&scene.world, scene.away());
            let until = world.now() + Duration::from_secs(10);
            while disk.is_powered() && world.now() < until {
                world.sleep(Duration::from_millis(10)).await;
            }
            if !disk.is_powered() {
                cuts += 1;
                away.cut_power();
                scene.comes_back().await;
            }
            scene.write(20).await;
            scene.same().await;
        });
    }
    assert!(cuts > 4, "{cuts}");
}

/// A disk that has no room for the snapshot costs the transfer. The node goes on, and takes the
/// snapshot when there is room.
#[test]
fn a_node_without_room_for_a_snapshot_goes_on_until_there_is_room() {
    for seed in 0..4 {
        World::run(seed, async |world| {
            let mut scene = Scene::set(world, start(), 1000).await;
            let disk = scene.away().host.disk(FOLDER);
            let mut faults = FileFaults::default();
            match seed % 2 {
                0 => faults.capacity_bytes = Some(200_000),
                _ => faults.write_errors_one_in = Some(30),
            }
            disk.set_faults(ARRIVING, faults);
            scene.comes_back().await;
            for _ in 0..20 {
                scene.write(10).await;
                scene.world.sleep(Duration::from_millis(200)).await;
            }
            let recorder = scene.away().recorder();
            assert_eq!(recorder.installs(), [0_u64; 0]);
            assert!(scene.away().host.is_running(), "it goes on");
            disk.heal();
            scene.same().await;
            assert_eq!(recorder.installs().len(), 1);
        });
    }
}

/// Flips bits in what a node reads from its peers.
#[derive(Clone, Default)]
struct Noise {
    /// One in so many reads is damaged; 0 is none.
    one_in: Arc<AtomicU64>,
    reads: Arc<AtomicU64>,
    damaged: Arc<AtomicU64>,
}

impl Noise {
    fn over(&self, protecting: Protecting) -> Protecting {
        let noise = self.clone();
        Box::pin(async move {
            let Wire {
                reader,
                writer,
                binding,
            } = protecting.await?;
            Ok(Wire {
                reader: Box::new(Noisy { noise, reader }),
                writer,
                binding,
            })
        })
    }
}

impl Protection<Simulated> for Noise {
    fn dialed(&self, stream: SimStream, name: &str) -> Protecting {
        self.over(Protection::<Simulated>::dialed(&Unprotected, stream, name))
    }

    fn accepted(&self, stream: SimStream) -> Protecting {
        self.over(Protection::<Simulated>::accepted(&Unprotected, stream))
    }
}

struct Noisy {
    noise: Noise,
    reader: Box<dyn AsyncRead + Send + Unpin>,
}

impl AsyncRead for Noisy {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.reader).poll_read(cx, buf);
        let fresh = &mut buf.filled_mut()[before..];
        let one_in = self.noise.one_in.load(Ordering::Relaxed);
        let reads = self.noise.reads.fetch_add(1, Ordering::Relaxed) + 1;
        if one_in > 0 && !fresh.is_empty() && reads.is_multiple_of(one_in) {
            let at = reads as usize % fresh.len();
            fresh[at] ^= 1 << (reads % 8);
            self.noise.damaged.fetch_add(1, Ordering::Relaxed);
        }
        read
    }
}

#[test]
fn bytes_that_are_damaged_on_the_way_cost_the_transfer_only() {
    World::run(11, async |world| {
        let noise = Noise::default();
        let mut scene = Scene::set(world, start(), 1000).await;
        scene.start.protection = Arc::new(noise.clone());
        noise.one_in.store(4, Ordering::Relaxed);
        scene.comes_back().await;
        let recorder = scene.away().recorder();
        for _ in 0..20 {
            scene.write(5).await;
            scene.world.sleep(Duration::from_millis(200)).await;
        }
        let damaged = noise.damaged.load(Ordering::Relaxed);
        assert!(damaged >= 5, "{damaged}");
        assert_eq!(recorder.installs(), [0_u64; 0], "no snapshot gets through");
        noise.one_in.store(0, Ordering::Relaxed);
        scene.same().await;
        assert_eq!(recorder.installs().len(), 1);
    });
}

#[test]
fn a_module_is_fetched_from_a_node_that_stores_it() {
    World::run(17, async |world| {
        let start = start();
        let members = started(&world, &start);
        write(&world, &members, 1..20).await;
        same_everywhere(&world, &members).await;
        let at = |place: usize| members[place].replica().expect("it runs");
        let module = Bytes::from(vec![7_u8; 300_000]);
        let digest = at(2).modules().put(module.clone()).await.unwrap();
        let most = 1 << 20;

        let (first, other) = (at(0), at(1));
        let both = futures_util::join!(
            first.fetch_module(digest, most),
            other.fetch_module(digest, most)
        );
        assert!(both.0.is_ok() && both.1.is_ok(), "{both:?}");
        assert_eq!(first.modules().get(digest).await.unwrap(), Some(module));
        // It is durable, and nobody need be asked again.
        members[1].cut_power();
        members[2].kill();
        members[1].start(&start);
        let is_back = || members[1].replica().is_some();
        eventually(&world, "it is back", is_back).await;
        assert!(at(1).fetch_module(digest, most).await.is_ok());

        // What no node gives is told with what each said.
        let unknown = ModuleStore::<Simulated>::digest(b"nobody has this");
        let error = at(1).fetch_module(unknown, most).await.unwrap_err();
        let sentence = error.to_string();
        assert!(sentence.contains("node 1 does not store it"), "{sentence}");
        assert!(sentence.contains("node 3"), "{sentence}");
        let large = at(0).modules().put(vec![1_u8; 5000].into()).await.unwrap();
        let error = at(1).fetch_module(large, 4999).await.unwrap_err();
        let sentence = error.to_string();
        assert!(sentence.contains("takes 4999 at most"), "{sentence}");
        assert!(at(1).fetch_module(large, 5000).await.is_ok());
    });
}
