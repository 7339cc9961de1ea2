//! A whole node on a simulated host on bad days: a schedule of faults kills it, cuts its power,
//! stops it, cuts and slows down its links, lets its wall clock jump, and makes its disk slow, full
//! or wrong at a sync, while clients on other hosts pipeline their writes. Nothing that was
//! acknowledged is lost, and the node starts again after each death.

mod common;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::simulated::{FOLDER, SimClient, without_http};
use common::{create, create_as, exists, get, set};
use innkeeper_node::Node;
use innkeeper_proto::reply::Reply;
use innkeeper_proto::request::Request;
use innkeeper_proto::{ErrorCode, OpCode};
use innkeeper_runtime::sim::{
    Cast, FaultKind, Host, Rates, Record, Schedule, ScheduleSettings, SyncTime, Tail,
};
use innkeeper_runtime::{Runtime, Select2, Simulated, World, select2};
use parking_lot::Mutex;

const CLIENTS: usize = 3;
/// Creates in one batch; a set of the client's counter follows them.
const CREATES: usize = 8;
/// A client rests for so long between two batches.
const REST: Duration = Duration::from_millis(20);
/// How long a client waits for an answer before it tries another connection.
const PATIENCE: Duration = Duration::from_secs(3);
/// For how long faults happen.
const STORM: Duration = Duration::from_secs(15);
/// Virtual time in which clients end after everything has healed.
const HEALED: Duration = Duration::from_secs(120);
/// The flag of an ephemeral znode.
const EPHEMERAL: i32 = 1;

/// What the node has acknowledged to one client.
#[derive(Default)]
struct Acknowledged {
    created: Vec<String>,
    /// The highest version of the counter that an answer has named.
    counter: i32,
    /// How often the connection broke before all answers had come.
    broken: u64,
    /// Batches whose answers have all come after everything has healed.
    healed: u64,
}

type Ledger = Arc<Mutex<Acknowledged>>;

fn counter(number: usize) -> String {
    format!("/counter-{number}")
}

fn znode(number: usize, batch: usize, which: usize) -> String {
    format!("/c{number}-{batch}-{which}")
}

/// Syncs of 2 to 10 ms, with a stall now and then.
fn slow_syncs() -> SyncTime {
    SyncTime {
        least: Duration::from_millis(2),
        jitter: Duration::from_millis(8),
        stalls: Some(Tail {
            one_in: 20,
            least: Duration::from_millis(100),
            most: Duration::from_secs(1),
        }),
    }
}

/// A node that serves until its host ends, or until it cannot go on.
async fn serve(runtime: Simulated, listen: SocketAddr, world: World) {
    let mut settings = without_http();
    settings.server.listen = listen;
    let why = match Node::start(runtime, settings).await {
        Ok(node) => node.failed().await,
        Err(error) => error.to_string(),
    };
    world.journal(format!("the node ends: {why}"));
    // Nothing but its disk ends a node.
    let causes = ["no space", "nput/output error", "full"];
    assert!(causes.iter().any(|cause| why.contains(cause)), "{why}");
}

/// Adds the node to a cast.
fn add_node(world: &World, cast: &mut Cast, node: &Host) -> SocketAddr {
    let listen = SocketAddr::new(node.address(), 2181);
    let world = world.clone();
    let start = move |host: &Host| {
        let world = world.clone();
        host.start(move |runtime| serve(runtime, listen, world))
    };
    cast.server_with_disk(node, FOLDER, slow_syncs(), start);
    listen
}

/// A client that writes until the faults are over, over as many connections as it takes, and then
/// a last batch.
async fn write(
    runtime: Simulated,
    node: SocketAddr,
    number: usize,
    ledger: Ledger,
    is_over: Arc<AtomicBool>,
) {
    let mut batch = 0;
    while ledger.lock().healed == 0 {
        let connecting = SimClient::try_connect(&runtime, node, 10_000);
        if let Ok(Ok(mut client)) = runtime.timeout(PATIENCE, connecting).await {
            loop {
                let is_last = is_over.load(Ordering::Relaxed);
                if !write_batch(&runtime, &mut client, number, batch, &ledger).await {
                    ledger.lock().broken += 1;
                    break;
                }
                batch += 1;
                if is_last {
                    ledger.lock().healed += 1;
                    break;
                }
                runtime.sleep(REST).await;
            }
        }
        runtime.sleep(REST).await;
    }
}

/// Sends a batch and takes its answers. Returns false if the connection broke meanwhile.
async fn write_batch(
    runtime: &Simulated,
    client: &mut SimClient,
    number: usize,
    batch: usize,
    ledger: &Ledger,
) -> bool {
    let paths: Vec<_> = (0..CREATES)
        .map(|which| znode(number, batch, which))
        .collect();
    let mut requests: Vec<Request> = paths.iter().map(|path| create(path, b"x")).collect();
    requests.push(set(&counter(number), b"y"));
    let work = async {
        client.try_send(&requests).await?;
        for path in &paths {
            let answer = client.try_answer().await?;
            // It is there already if the answer of an earlier connection was lost.
            assert!(
                matches!(answer.err, ErrorCode::Ok | ErrorCode::NodeExists),
                "{path}: {answer:?}"
            );
            ledger.lock().created.push(path.clone());
        }
        let answer = client.try_answer().await?;
        let Reply::Stat(stat) = answer.reply(OpCode::SetData) else {
            panic!("{answer:?}");
        };
        let mut ledger = ledger.lock();
        assert!(stat.version > ledger.counter, "a set was taken back");
        ledger.counter = stat.version;
        io::Result::Ok(())
    };
    matches!(runtime.timeout(PATIENCE, work).await, Ok(Ok(())))
}

/// A client of a node that is just starting.
async fn connect(runtime: &Simulated, node: SocketAddr) -> SimClient {
    while runtime.connect_tcp(node).await.is_err() {
        runtime.sleep(Duration::from_millis(10)).await;
    }
    SimClient::connect(runtime, node, 60_000).await
}

/// Reads everything that was acknowledged to the clients.
async fn check(runtime: Simulated, node: SocketAddr, ledgers: Vec<Ledger>) {
    let mut client = connect(&runtime, node).await;
    for (number, ledger) in ledgers.iter().enumerate() {
        let (created, least) = {
            let ledger = ledger.lock();
            (ledger.created.clone(), ledger.counter)
        };
        for path in created {
            client.send(&[get(&path, false)]).await;
            assert_eq!(client.answers(1).await, [ErrorCode::Ok], "{path} is lost");
        }
        client.send(&[get(&counter(number), false)]).await;
        let answer = client.try_answer().await.expect("the node is there");
        let Reply::Data(_, stat) = answer.reply(OpCode::GetData) else {
            panic!("{answer:?}");
        };
        assert!(stat.version >= least, "{} < {least}", stat.version);
    }
}

/// What happened in one run or in many.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    record: Record,
    /// How often a client lost its connection.
    broken: u64,
    /// How many creates were acknowledged.
    created: usize,
}

fn run(seed: u64) -> Outcome {
    World::run(seed, async |world| {
        let node = world.host("node");
        let mut cast = Cast::new(&world);
        let listen = add_node(&world, &mut cast, &node);
        let hosts = (0..CLIENTS).map(|number| world.host(&format!("client-{number}")));
        let hosts: Vec<Host> = hosts.collect();
        for host in &hosts {
            cast.client(host);
        }
        cast.start();
        let reader = world.host("reader");
        let prepare = reader.start(move |runtime| async move {
            let mut client = connect(&runtime, listen).await;
            for number in 0..CLIENTS {
                client.send(&[create(&counter(number), b"")]).await;
                assert_eq!(client.answers(1).await, [ErrorCode::Ok]);
            }
        });
        prepare.await.expect("the counters are made");
        let is_over = Arc::new(AtomicBool::new(false));
        let ledgers: Vec<Ledger> = (0..CLIENTS).map(|_| Ledger::default()).collect();
        let mut writers = Vec::new();
        for (number, host) in hosts.iter().enumerate() {
            let (ledger, is_over) = (ledgers[number].clone(), is_over.clone());
            writers
                .push(host.start(move |runtime| write(runtime, listen, number, ledger, is_over)));
        }
        let settings = ScheduleSettings {
            length: STORM,
            rates: Rates::rough().times(3.0),
            ..ScheduleSettings::default()
        };
        let schedule = Schedule::draw(seed, settings, &cast);
        let record = schedule.run(&mut cast).await;
        is_over.store(true, Ordering::Relaxed);
        let ended = async {
            for writer in writers {
                writer.await.expect("it ends by itself");
            }
        };
        match select2(ended, world.sleep(HEALED)).await {
            Select2::First(()) => {}
            Select2::Second(()) => panic!("a client is not served after everything has healed"),
        }
        // Not by what memory holds, but by what is on the disk.
        node.cut_power();
        cast.start();
        let broken = ledgers.iter().map(|ledger| ledger.lock().broken).sum();
        let created = ledgers.iter().map(|ledger| ledger.lock().created.len());
        let created = created.sum();
        let checking = reader.start(move |runtime| check(runtime, listen, ledgers));
        match select2(checking, world.sleep(HEALED)).await {
            Select2::First(checked) => checked.expect("everything is there"),
            Select2::Second(()) => panic!("the node does not serve after its last death"),
        }
        Outcome {
            record,
            broken,
            created,
        }
    })
}

#[test]
fn nothing_acknowledged_is_lost_whatever_happens_to_the_node() {
    let mut all = Outcome::default();
    for seed in 0..40 {
        let outcome = run(seed);
        all.record.add(&outcome.record);
        all.broken += outcome.broken;
        all.created += outcome.created;
    }
    let happened = |kind: &&FaultKind| all.record.count(**kind) > 0;
    let missing = FaultKind::ALL.iter().find(|kind| !happened(kind));
    // A node alone can do nothing against flipped bits.
    assert_eq!(missing, Some(&FaultKind::FlippedBits));
    // The faults came while clients were at work.
    assert!(
        all.record.restarts() > 60 && all.broken > 200 && all.created > 40_000,
        "{} restarts, {} lost connections, {} creates",
        all.record.restarts(),
        all.broken,
        all.created
    );
}

#[test]
fn one_seed_has_the_same_deaths_each_time() {
    assert_eq!(run(3), run(3));
}

/// Session time is that of the monotonic clock.
#[test]
fn a_jump_of_the_wall_clock_expires_no_session_whose_client_pings() {
    let jumps = World::run(1, async |world| {
        let node = world.host("node");
        let mut cast = Cast::new(&world);
        let listen = add_node(&world, &mut cast, &node);
        let settings = ScheduleSettings {
            rates: Rates::none().with(FaultKind::ClockJump, 30.0, 500..=5_000),
            ..ScheduleSettings::default()
        };
        let schedule = Schedule::draw(1, settings, &cast);
        let pinger = world.host("pinger");
        let pinging = pinger.start(move |runtime| async move {
            let mut client = connect(&runtime, listen).await;
            drop(client);
            client = SimClient::connect(&runtime, listen, 4_000).await;
            client.send(&[create_as("/alive", b"", EPHEMERAL)]).await;
            assert_eq!(client.answers(1).await, [ErrorCode::Ok]);
            for _ in 0..65 {
                runtime.sleep(Duration::from_secs(1)).await;
                client.send(&[Request::Ping]).await;
                assert_eq!(client.answers(1).await, [ErrorCode::Ok]);
            }
            let mut other = SimClient::connect(&runtime, listen, 4_000).await;
            other.send(&[exists("/alive", false)]).await;
            assert_eq!(other.answers(1).await, [ErrorCode::Ok]);
            // Without its pings it does expire.
            runtime.sleep(Duration::from_secs(10)).await;
            let mut other = SimClient::connect(&runtime, listen, 4_000).await;
            other.send(&[exists("/alive", false)]).await;
            assert_eq!(other.answers(1).await, [ErrorCode::NoNode]);
        });
        let record = schedule.run(&mut cast).await;
        pinging.await.expect("the session lives");
        record.count(FaultKind::ClockJump)
    });
    assert!(jumps > 15, "{jumps} jumps");
}
