//! The replicas, the faults that they suffer, and the course of a run.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use innkeeper_raft::peer::PeerSettings;
use innkeeper_raft::{Replica, Settings, Status};
use innkeeper_runtime::sim::{
    Cast, FaultKind, Host, Process, Rates, Record, Schedule, ScheduleSettings, SyncTime, Tail,
};
use innkeeper_runtime::{Select2, Select3, Signal, Simulated, World, select2, select3};
use innkeeper_tree::group::Role;
use parking_lot::Mutex;

use crate::actions::{self, Wipes};
use crate::changes::{Changes, Counts};
use crate::clients;
use crate::common::group::{self, FOLDER, PEER_PORT, Start, peer_address};
use crate::emptied;
use crate::history::{Door, History};
use crate::invariants::bounds::{Bounds, Full};
use crate::invariants::groups::Leaders;
use crate::invariants::members::Members;
use crate::invariants::{healed, lost};

/// For how long faults happen.
const STORM: Duration = Duration::from_secs(25);
/// The members are changed until so long before the end of the faults: a node that the operator
/// starts again is up when they end.
const QUIET: Duration = Duration::from_secs(2);
/// So many hosts are in no group until an operator takes them in.
const SPARES: u64 = 2;
/// So many times as many faults as on a rough day, so that elections meet faults, too.
const RATE: f64 = 2.5;
/// The invariants of a moment are looked at so often.
const LOOK: Duration = Duration::from_millis(10);
/// The bounds are measured so often.
const MEASURE: Duration = Duration::from_millis(1);

/// Small enough that each [bound](Bounds) is reached now and then, and that there are many segments
/// and checkpoints.
fn settings() -> Settings {
    Settings {
        queued_operations: 100,
        batch_commands: 8,
        batches_in_flight: 2,
        held_bytes: 8 << 10,
        lag_bytes: 32 << 10,
        append_entries_max: 16,
        // A replica that was away for some seconds needs a snapshot.
        retention_age: Duration::from_secs(2),
        ..group::settings()
    }
}

fn peer_settings() -> PeerSettings {
    PeerSettings {
        appends_max: 20,
        append_bytes_max: 32 << 10,
        ..PeerSettings::default()
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

/// All faults of the simulated world. Against flipped bits a replica has the others, and closed
/// ports leave it what it dials.
fn rates() -> Rates {
    Rates::rough()
        .times(RATE)
        .with(FaultKind::FlippedBits, 1.0, 500..=4_000)
        .with(FaultKind::ClosedPorts, 2.0, 100..=6_000)
}

/// A replica ends by itself only because its disk is full, a sync has failed or a read was wrong. Its
/// sentence then names what could not be read or written.
const CAUSES: [&str; 5] = [
    "state.redb ",
    "modules.redb ",
    "log segment ",
    "the log cannot be read or written",
    "the data folder cannot be used",
];

/// One replica, in whichever life it is, a member of the group or not.
pub struct Member {
    pub id: u64,
    pub host: Host,
    /// The port at which it listens after its next start.
    pub port: AtomicU16,
    /// Ends the present life.
    end: Mutex<Signal>,
    /// The present life's runtime.
    runtime: Mutex<Option<Simulated>>,
    /// The replica of the present life belongs to its process.
    replica: Mutex<Weak<Replica<Simulated>>>,
    /// The present life's door.
    door: Mutex<Option<Arc<Door>>>,
    /// Its folder is to be emptied before it opens.
    to_wipe: AtomicBool,
}

impl Member {
    fn new(world: &World, id: u64) -> Self {
        Self {
            id,
            host: world.host(&group::name(id)),
            port: AtomicU16::new(PEER_PORT),
            end: Mutex::new(Signal::new()),
            runtime: Mutex::default(),
            replica: Mutex::default(),
            door: Mutex::default(),
            to_wipe: AtomicBool::new(false),
        }
    }

    /// Ends the present life, if there is one.
    pub fn end(&self) {
        self.end.lock().raise();
    }

    pub fn runtime(&self) -> Option<Simulated> {
        self.runtime.lock().clone()
    }

    /// The replica, if it runs and has opened.
    pub fn replica(&self) -> Option<Arc<Replica<Simulated>>> {
        self.replica.lock().upgrade()
    }

    pub fn status(&self) -> Option<Status> {
        self.replica().map(|replica| replica.status())
    }

    pub fn door(&self) -> Option<Arc<Door>> {
        self.door.lock().clone()
    }
}

/// What a run came to.
#[derive(Default, PartialEq)]
pub struct Sum {
    pub record: Record,
    /// Commands that were applied.
    pub applied: usize,
    /// Confirmed reads.
    pub read: u64,
    /// Operations that were refused.
    pub refused: usize,
    /// The highest terms of the runs, added up.
    pub terms: u64,
    pub lives: usize,
    /// The bounds that were reached.
    pub full: Full,
    /// Snapshots that were installed.
    pub installs: u64,
    /// How often the leadership was handed over.
    pub transfers: u64,
    /// Data folders that were emptied.
    pub wipes: u64,
    /// Changes of the members.
    pub changes: Counts,
}

impl Sum {
    pub fn add(&mut self, other: &Sum) {
        self.record.add(&other.record);
        self.applied += other.applied;
        self.read += other.read;
        self.refused += other.refused;
        self.terms += other.terms;
        self.lives += other.lives;
        self.full.add(&other.full);
        self.installs += other.installs;
        self.transfers += other.transfers;
        self.wipes += other.wipes;
        self.changes.add(&other.changes);
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} commands applied, {} reads, {} refusals, {} terms, {} lives, {} snapshots, {} transfers, {} empty folders, {:?}, {:?}",
            self.applied,
            self.read,
            self.refused,
            self.terms,
            self.lives,
            self.installs,
            self.transfers,
            self.wipes,
            self.changes,
            self.full
        )
    }
}

/// Shows the plan if the run fails.
struct PlanOnFailure(String);

impl Drop for PlanOnFailure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the plan was:\n{}", self.0);
        }
    }
}

/// A replica's process, from its start until it cannot go on, or until an operator ends it.
async fn serve(
    runtime: Simulated,
    member: Arc<Member>,
    start: Start,
    door: Arc<Door>,
    world: World,
) {
    if member.to_wipe.load(Ordering::Relaxed) {
        if let Err(error) = emptied::empty(&runtime, FOLDER).await {
            world.journal(format!(
                "the folder of node {} is not empty yet: {error}",
                member.id
            ));
            return;
        }
        world.journal(format!("the folder of node {} is empty", member.id));
        member.to_wipe.store(false, Ordering::Relaxed);
    }
    *member.runtime.lock() = Some(runtime.clone());
    let ip = member.host.address();
    let opening = group::open(runtime.clone(), member.id, ip, &start, door.clone());
    let why = match opening.await {
        Ok(replica) => {
            let replica = Arc::new(replica);
            *member.replica.lock() = Arc::downgrade(&replica);
            clients::start(&runtime, &replica, &door);
            replica.failed().await
        }
        Err(error) => error.to_string(),
    };
    world.journal(format!("node {} ends: {why}", member.id));
    assert!(CAUSES.iter().any(|cause| why.contains(cause)), "{why}");
}

/// Adds a replica to the cast.
fn add(
    world: &World,
    cast: &mut Cast,
    member: &Arc<Member>,
    start: &Start,
    history: &History,
    wipes: &Rc<RefCell<Wipes>>,
    dice: &Simulated,
) {
    let (wipes, dice) = (wipes.clone(), dice.clone());
    let (world, member) = (world.clone(), member.clone());
    let (start, history) = (start.clone(), history.clone());
    let host = member.host.clone();
    let begin = move |host: &Host| -> Process<()> {
        if wipes.borrow_mut().draw(&dice, member.id, &history) {
            member.to_wipe.store(true, Ordering::Relaxed);
        }
        let door = Arc::new(history.open_door(member.id));
        *member.door.lock() = Some(door.clone());
        let end = Signal::new();
        *member.end.lock() = end.clone();
        let (member, mut start, world) = (member.clone(), start.clone(), world.clone());
        start.port = member.port.load(Ordering::Relaxed);
        host.start(move |runtime| async move {
            let serving = serve(runtime, member, start, door, world);
            select2(end.wait(), serving).await;
        })
    };
    cast.server_with_disk(&host, FOLDER, slow_syncs(), begin);
}

/// One run: a storm, its end, and the judgement.
pub fn run(seed: u64) -> Sum {
    let founders: Vec<u64> = (1..=if seed.is_multiple_of(2) { 3 } else { 5 }).collect();
    // In every second pair of runs all but a minority of the founders' number run and reach each
    // other at any moment.
    let down_max = (seed % 4 < 2).then_some(founders.len() / 2);
    World::run(seed, async |world| {
        let start = Start {
            settings: settings(),
            peers: peer_settings(),
            ..Start::of(&founders)
        };
        let listed = |id: &u64| (*id, (Role::Voter, peer_address(*id).to_string()));
        let history = History::new(Members::new(founders.iter().map(listed)));
        let mut cast = Cast::new(&world);
        let dice = world.host("operator").boot();
        let wipes = Rc::new(RefCell::new(Wipes::new(&founders)));
        let hosts = (1..=founders.len() as u64 + SPARES).map(|id| {
            let member = Arc::new(Member::new(&world, id));
            let mut start = start.clone();
            if !founders.contains(&id) {
                start.learners = vec![id];
            }
            add(&world, &mut cast, &member, &start, &history, &wipes, &dice);
            member
        });
        let hosts: Vec<_> = hosts.collect();
        let schedule = Schedule::draw(
            seed,
            ScheduleSettings {
                length: STORM,
                rates: rates(),
                down_max,
                ..ScheduleSettings::default()
            },
            &cast,
        );
        let _shown = PlanOnFailure(schedule.to_string());
        let leaders = Rc::new(Mutex::new(Leaders::default()));
        let full = Cell::new(Full::default());
        let looking = async {
            loop {
                wipes.borrow_mut().look(&hosts, &history.wanted());
                for host in &hosts {
                    if let Some(replica) = host.replica() {
                        leaders.lock().look(&replica.status());
                        leaders.lock().look_into(&replica.reader().view());
                    }
                }
                world.sleep(LOOK).await;
            }
        };
        let measuring = async {
            let bounds = Bounds::of(&start.settings, &start.peers);
            loop {
                for host in &hosts {
                    if let (Some(status), Some(door)) = (host.status(), host.door()) {
                        let mut seen = full.get();
                        bounds.look(&status, &door, &mut seen);
                        full.set(seen);
                    }
                }
                world.sleep(MEASURE).await;
            }
        };
        let handed = Cell::new(0);
        let until = world.now() + (STORM - QUIET);
        let changes = Changes::new(&world, &dice, &hosts, &history, &wipes, until);
        let transfers = actions::transfers(world.clone(), dice.clone(), hosts.clone(), &handed);
        let operating = select2(transfers, changes.run());
        let storm = async {
            let record = match select2(schedule.run(&mut cast), operating).await {
                Select2::First(record) => record,
                Select2::Second(Select2::First(never) | Select2::Second(never)) => match never {},
            };
            wipes.borrow_mut().stop();
            history.end();
            healed::wait_until_open(&world, &hosts).await;
            changes.last(false).await;
            healed::wait(&world, &hosts, &history).await;
            // Operations that wait at nodes outside are applied when these come in, and changes of
            // the members may be among them.
            while !hosts.iter().all(|host| history.wanted().has(host.id)) {
                changes.last(true).await;
                healed::wait(&world, &hosts, &history).await;
            }
            record
        };
        let record = match select3(storm, looking, measuring).await {
            Select3::First(record) => record,
            Select3::Second(never) | Select3::Third(never) => never,
        };
        history.check();
        lost::check(&hosts, &history);
        // Not by what memory holds, but by what is on the disks.
        hosts.iter().for_each(|host| _ = host.host.cut_power());
        cast.start();
        healed::wait(&world, &hosts, &history).await;
        lost::check(&hosts, &history);
        let terms = leaders.lock().highest_term();
        Sum {
            transfers: handed.get(),
            wipes: wipes.borrow().count,
            changes: changes.counts(),
            full: full.get(),
            ..history.sum(record, terms)
        }
    })
}
