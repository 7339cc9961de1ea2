//! Three replicas in a simulated world, with a submitter at each of them, under faults: whatever
//! happens to the nodes and the links, each operation is applied at most once and in its
//! submitter's order, and nothing that was acknowledged is lost.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::group::{FOLDER, Member, Start, eventually};
use common::{Recorder, create, dump};
use innkeeper_raft::Refusal;
use innkeeper_runtime::sim::{SyncTime, Tail};
use innkeeper_runtime::{Runtime, Simulated, World};
use innkeeper_tree::Operation;
use parking_lot::Mutex;

const VOTERS: [u64; 3] = [1, 2, 3];
const FAULTS: u64 = 15;
/// Tickets of a life: this often the number of the life, and then counted up.
const LIFE: u64 = 100_000;
/// Virtual time in which everything submitted is applied after all has healed.
const HEALED: Duration = Duration::from_secs(10);

/// One life of a member: what was submitted to it, and what it delivered.
struct Life {
    number: u64,
    submitted: Mutex<u64>,
    recorder: Mutex<Recorder>,
}

impl Life {
    fn tickets(&self) -> std::ops::Range<u64> {
        let first = self.number * LIFE;
        first..first + *self.submitted.lock()
    }

    /// What this life has acknowledged: tickets with their zxids.
    fn acknowledged(&self) -> BTreeMap<u64, u64> {
        let acks = self.recorder.lock().acks();
        let own = self.tickets().filter_map(|ticket| {
            let ack = acks.get(&ticket)?;
            Some((ticket, ack.zxid))
        });
        own.collect()
    }
}

fn slow_syncs() -> SyncTime {
    SyncTime {
        least: Duration::from_millis(1),
        jitter: Duration::from_millis(4),
        stalls: Some(Tail {
            one_in: 50,
            least: Duration::from_millis(50),
            most: Duration::from_millis(500),
        }),
    }
}

/// Submits to a member for as long as it lives and the run goes on.
async fn submit(
    runtime: Simulated,
    world: World,
    member: Arc<Member>,
    life: Arc<Life>,
    goes_on: Arc<Mutex<bool>>,
) {
    while *goes_on.lock() {
        let Some(replica) = member.replica() else {
            return;
        };
        let count = 1 + runtime.random_u64() % 10;
        let first = {
            let mut submitted = life.submitted.lock();
            *submitted += count;
            life.number * LIFE + *submitted - count
        };
        let operations = (first..first + count).map(create).collect();
        let proposals = replica.proposals();
        drop(replica);
        proposals.submit(operations).await;
        let pause = runtime.random_u64() % 100;
        world.sleep(Duration::from_millis(pause)).await;
    }
}

struct Stage {
    world: World,
    members: Vec<Arc<Member>>,
    start: Start,
    lives: Vec<Arc<Life>>,
    goes_on: Arc<Mutex<bool>>,
    dice: Simulated,
}

impl Stage {
    fn below(&self, bound: u64) -> u64 {
        self.dice.random_u64() % bound
    }

    fn begin(&mut self, place: usize) {
        let member = self.members[place].clone();
        member.host.disk(FOLDER).set_sync_time(slow_syncs());
        let number = self.lives.len() as u64 + 1;
        let life = Arc::new(Life {
            number,
            submitted: Mutex::new(0),
            recorder: Mutex::new(Recorder::new()),
        });
        let (world, goes_on) = (self.world.clone(), self.goes_on.clone());
        let submitting = {
            let (member, life) = (member.clone(), life.clone());
            async move |runtime: Simulated| {
                while member.replica().is_none() {
                    world.sleep(Duration::from_millis(5)).await;
                }
                submit(runtime, world, member, life, goes_on).await;
            }
        };
        member.start_with(&self.start, submitting);
        *life.recorder.lock() = member.recorder();
        self.lives.push(life);
    }

    fn leader(&self) -> Option<usize> {
        self.members.iter().position(|member| member.leads())
    }

    /// One fault and its end. It meets the leader half of the time.
    async fn fault(&mut self) {
        let any = self.below(3) as usize;
        let place = match self.below(2) {
            0 => self.leader().unwrap_or(any),
            _ => any,
        };
        let other = (place + 1 + self.below(2) as usize) % 3;
        let lasts = Duration::from_millis(50 + self.below(3_000));
        let member = self.members[place].clone();
        let (host, peer) = (&member.host, &self.members[other].host);
        match self.below(8) {
            0 => {
                member.kill();
                self.world.sleep(lasts).await;
                self.begin(place);
            }
            1 => {
                member.cut_power();
                self.world.sleep(lasts).await;
                self.begin(place);
            }
            // Two at once: what they had acknowledged must be on their disks.
            2 => {
                member.cut_power();
                self.members[other].cut_power();
                self.world.sleep(lasts).await;
                self.begin(place);
                self.begin(other);
            }
            3 => {
                host.stop();
                self.world.sleep(lasts).await;
                host.resume();
            }
            4 => {
                self.world.cut(host, peer);
                self.world.sleep(lasts).await;
                self.world.heal(host, peer);
            }
            5 => {
                self.world.part(host, peer);
                self.world.sleep(lasts).await;
                self.world.heal_all();
            }
            6 => {
                for other in &self.members {
                    if other.id != member.id {
                        self.world.part(host, &other.host);
                    }
                }
                self.world.sleep(lasts).await;
                self.world.heal_all();
            }
            _ => {
                self.world.reset_connections(host, peer);
            }
        }
    }
}

/// What a run came to.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
struct Sum {
    acknowledged: usize,
    term: u64,
    lives: usize,
}

fn run(seed: u64) -> Sum {
    World::run(seed, async |world| {
        let members = VOTERS.iter().map(|id| Arc::new(Member::new(&world, *id)));
        let mut stage = Stage {
            members: members.collect(),
            start: Start::of(&VOTERS),
            lives: Vec::new(),
            goes_on: Arc::new(Mutex::new(true)),
            dice: world.host("dice").boot(),
            world: world.clone(),
        };
        (0..3).for_each(|place| stage.begin(place));
        for _ in 0..FAULTS {
            let quiet = Duration::from_millis(stage.below(800));
            world.sleep(quiet).await;
            stage.fault().await;
        }
        *stage.goes_on.lock() = false;
        world.sleep(HEALED).await;
        check(&stage);
        let terms = stage.members.iter().filter_map(|member| member.status());
        Sum {
            acknowledged: stage.lives.iter().map(|l| l.acknowledged().len()).sum(),
            term: terms.map(|status| status.term).max().unwrap_or_default(),
            lives: stage.lives.len(),
        }
    })
}

fn check(stage: &Stage) {
    let shown: Vec<_> = stage
        .members
        .iter()
        .map(|member| {
            let reader = member.replica().expect("it runs").reader();
            (reader.last_zxid(), dump(&reader.view()))
        })
        .collect();
    // One history on all of them.
    assert!(shown.iter().all(|other| *other == shown[0]));
    let there: BTreeMap<_, _> = shown[0].1.iter().map(|z| (z.0.clone(), z.2)).collect();
    for life in &stage.lives {
        let acknowledged = life.acknowledged();
        for (ticket, zxid) in &acknowledged {
            let created = there.get(&common::path_of(*ticket));
            assert_eq!(created, Some(&(*zxid as i64)), "ticket {ticket}");
        }
        // In its submitter's order, and at most once.
        let zxids: Vec<_> = acknowledged.values().copied().collect();
        assert!(zxids.is_sorted(), "life {}: {acknowledged:?}", life.number);
        assert_eq!(life.recorder.lock().twice(), [0; 0]);
        let refused = life.recorder.lock().refused();
        assert!(refused.is_empty(), "{refused:?}");
    }
    // Nobody waits for ever.
    for member in &stage.members {
        let own = |life: &&Arc<Life>| life.recorder.lock().is_same(&member.recorder());
        let life = stage.lives.iter().find(own);
        let life = life.expect("each member has a last life");
        let acknowledged = life.acknowledged();
        let waits: Vec<_> = life
            .tickets()
            .filter(|ticket| !acknowledged.contains_key(ticket))
            .collect();
        assert!(waits.is_empty(), "node {} waits for {waits:?}", member.id);
    }
}

#[test]
fn every_operation_is_applied_once_and_in_order_whatever_happens() {
    let mut all = Sum::default();
    for seed in 0..20 {
        let sum = run(seed);
        all.acknowledged += sum.acknowledged;
        all.term += sum.term;
        all.lives += sum.lives;
    }
    // The faults came while operations were under way, and leaders changed.
    assert!(
        all.acknowledged > 50_000 && all.term > 60 && all.lives > 100,
        "{all:?}"
    );
}

#[test]
fn one_seed_is_one_run() {
    assert_eq!(run(4), run(4));
}

/// What only a leader decides is refused elsewhere, and says so.
#[test]
fn a_follower_refuses_what_only_a_leader_decides() {
    World::run(1, async |world| {
        let members: Vec<_> = VOTERS.iter().map(|id| Member::new(&world, *id)).collect();
        members
            .iter()
            .for_each(|member| member.start(&Start::of(&VOTERS)));
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
            let members: Vec<_> = VOTERS.iter().map(|id| Member::new(&world, *id)).collect();
            members
                .iter()
                .for_each(|member| member.start(&Start::of(&VOTERS)));
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
