//! The course of a run: the nodes, the clients, the faults, the end, and the judgement.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::sim::{
    Cast, FaultKind, Process, Rates, Record, Schedule, ScheduleSettings, SyncTime, Tail,
};
use innkeeper_runtime::{Select2, World, select2};
use innkeeper_tree::View;

use super::super::common::simulated::FOLDER;
use super::super::guests::with_http;
use super::super::stage::{Shape, Stage};
use super::caller::LONG_MS;
use super::clients;
use super::history::{Counts, History};
use super::invariants::{healed, reactions};
use super::operator::Operator;

/// For how long faults happen.
const STORM: Duration = Duration::from_secs(10);
/// The members are changed until so long before the end of the faults.
const QUIET: Duration = Duration::from_secs(1);
/// So many times as many faults as on a rough day.
const RATE: f64 = 3.0;
/// The nodes' states are looked at so often.
pub const LOOK: Duration = Duration::from_millis(10);
/// The hosts with clients.
const CLIENT_HOSTS: usize = 2;

/// A node ends by itself only because of its disk. Its sentence then names what could not be read or
/// written.
const CAUSES: [&str; 5] = [
    "state.redb ",
    "modules.redb ",
    "log segment ",
    "the log cannot be read or written",
    "the data folder cannot be used",
];

fn syncs() -> SyncTime {
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

/// What a run came to, or many.
#[derive(Debug, Default, PartialEq)]
pub struct Sum {
    pub record: Record,
    pub counts: Counts,
    /// Of the nodes' last states.
    hash: u64,
}

impl Sum {
    pub fn add(&mut self, other: &Sum) {
        self.record.add(&other.record);
        self.counts.add(&other.counts);
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.counts)?;
        let faults = FaultKind::ALL.map(|kind| format!("{} {kind}", self.record.count(kind)));
        write!(
            f,
            "{}, {} restarts, {} of nodes that ended by themselves",
            faults.join(", "),
            self.record.restarts(),
            self.record.ended_by_itself()
        )
    }
}

/// The nodes of a seed.
fn shape(seed: u64) -> Shape {
    Shape {
        voters: if seed % 3 == 2 { 5 } else { 3 },
        observers: seed % 2,
        forgets: [None, Some(2_000), Some(500), Some(1_000)][seed as usize % 4]
            .map(Duration::from_millis),
    }
}

/// Whether a recipe counts the creates, and an authorizer asks a policy. Wasm costs more than all
/// else in a run.
fn has_guests(seed: u64) -> bool {
    seed % 10 == 5
}

/// Whether the group has local sessions, which a node makes without the others.
fn has_local_sessions(seed: u64) -> bool {
    seed % 7 == 3
}

/// Whether an operator changes the members of the group.
fn has_changes(seed: u64) -> bool {
    seed % 11 < 6
}

/// Adds the nodes to a cast.
fn add_nodes(world: &World, stage: &Arc<Stage>, cast: &mut Cast) {
    for member in &stage.members {
        let (id, stage, world) = (member.id, stage.clone(), world.clone());
        let start = move |_: &_| -> Process<()> {
            let world = world.clone();
            stage.launch(id, move |why| {
                world.journal(format!("node {id} ends: {why}"));
                assert!(CAUSES.iter().any(|cause| why.contains(cause)), "{why}");
            })
        };
        cast.server_with_disk(&member.host, FOLDER, syncs(), start);
    }
}

/// One run: a storm, its end, and the judgement.
pub fn run(seed: u64) -> Sum {
    World::run(seed, async move |world| {
        let shape = shape(seed);
        world.journal(format!("{shape:?}"));
        let stage = Arc::new(Stage::new(world.clone(), shape, |settings| {
            if has_guests(seed) {
                with_http(settings);
            }
            settings.server.max_session_timeout_ms = Some(LONG_MS);
            settings.server.read_only_mode = true;
            settings.server.local_sessions = has_local_sessions(seed);
            settings.server.local_sessions_upgrading = true;
        }));
        let history = History::new(&world);
        let looking = async {
            loop {
                for member in &stage.members {
                    if let Some(service) = stage.service(member.id) {
                        history.looks(member.id, &service);
                    }
                }
                world.sleep(LOOK).await;
            }
        };
        let course = course(seed, &world, &stage, &history);
        match select2(course, looking).await {
            Select2::First(record) => Sum {
                record,
                counts: history.note(|all| all.counts.clone()),
                hash: history.note(|all| all.same.sum()),
            },
            Select2::Second(()) => unreachable!("it looks for ever"),
        }
    })
}

async fn course(seed: u64, world: &World, stage: &Arc<Stage>, history: &History) -> Record {
    let shape = shape(seed);
    let mut cast = Cast::new(world);
    add_nodes(world, stage, &mut cast);
    let hosts: Vec<_> = (0..CLIENT_HOSTS)
        .map(|number| world.host(&format!("clients-{number}")))
        .collect();
    hosts.iter().for_each(|host| cast.client(host));
    let settings = ScheduleSettings {
        length: STORM,
        rates: Rates::rough()
            .times(RATE)
            .with(FaultKind::FlippedBits, 1.0, 500..=4_000)
            .with(FaultKind::ClosedPorts, 3.0, 100..=6_000),
        // In every second pair of runs a majority of the voters runs at any moment and is connected.
        down_max: (seed % 4 < 2).then_some(shape.voters as usize / 2),
        ..ScheduleSettings::default()
    };
    let schedule = Schedule::draw(seed, settings, &cast);
    cast.start();
    stage.all_vote().await;
    let (preparing, known) = (stage.clone(), history.clone());
    let leader = stage.leader().await;
    let prepared = world.host("operator").start(move |runtime| async move {
        let clients = Arc::new(preparing.clients(runtime));
        clients::prepare(clients.clone(), known).await;
        if has_guests(seed) {
            clients::bind_recipe(&clients, leader).await;
            clients::bind_policy(&clients, leader).await;
        }
    });
    healed::answered(world, stage, vec![prepared]).await;
    let working = hosts.iter().enumerate().map(|(number, host)| {
        let (stage, history) = (stage.clone(), history.clone());
        host.start(move |runtime| {
            let clients = Arc::new(stage.clients(runtime));
            clients::work(clients, history, number, has_guests(seed))
        })
    });
    let working: Vec<_> = working.collect();
    let until = world.now() + STORM - QUIET;
    let operator = Operator::new(stage, history, shape.voters as usize, until);
    let operating = async {
        match has_changes(seed) {
            true => operator.run().await,
            false => std::future::pending().await,
        }
    };
    let record = match select2(schedule.run(&mut cast), operating).await {
        Select2::First(record) => record,
        Select2::Second(never) => match never {},
    };
    history.end();
    let ending = async {
        operator.finish().await;
        healed::answered(world, stage, working).await;
        judge(seed, world, stage, history).await;
    };
    supervised(&mut cast, world, ending).await;
    // Not by what memory holds, but by what is on the disks.
    for member in &stage.members {
        member.host.cut_power();
    }
    supervised(&mut cast, world, judge(seed, world, stage, history)).await;
    record
}

/// Starts each node that does not run, until something is over. One may end that the operator has
/// asked to, or that finds only now what a fault has done to it.
async fn supervised(cast: &mut Cast, world: &World, until: impl Future<Output = ()>) {
    let starting = async {
        loop {
            cast.start();
            world.sleep(LOOK).await;
        }
    };
    match select2(until, starting).await {
        Select2::First(()) => {}
        Select2::Second(()) => unreachable!("it starts them for ever"),
    }
}

/// Judges what was not judged when it happened.
async fn judge(seed: u64, world: &World, stage: &Stage, history: &History) {
    let is_over = |view: &View| !has_guests(seed) || reactions::all(view).is_some();
    let views = healed::settled(world, stage, is_over).await;
    history.note(|all| {
        if has_guests(seed) {
            all.counts.reactions = reactions::all(&views[0].1).expect("it was waited for");
        }
        if has_local_sessions(seed) {
            all.counts.local = all.served.unseen();
        }
        all.one_owner.check();
        all.policies.check();
        all.registers.check();
        all.same.check(&views);
        all.streams.check(&views[0].1);
        let newest = all.registers.newest();
        for (node, view) in &views {
            all.lost.check(*node, view, &newest);
        }
    });
}
