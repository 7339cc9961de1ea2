//! A whole node on a simulated host with slow syncs: it is killed, loses power, is stopped, its
//! links are cut and its wall clock jumps, while clients on other hosts pipeline their writes.
//! Nothing that was acknowledged is lost, and the node starts again after each death.

mod common;

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::simulated::{FOLDER, SimClient, without_http};
use common::{create, get, set};
use innkeeper_node::Node;
use innkeeper_proto::reply::Reply;
use innkeeper_proto::request::Request;
use innkeeper_proto::{ErrorCode, OpCode};
use innkeeper_runtime::sim::{Host, SyncTime, Tail};
use innkeeper_runtime::{Runtime, Select2, Simulated, World, select2};
use parking_lot::Mutex;

const CLIENTS: usize = 3;
/// Batches of each client.
const BATCHES: usize = 60;
/// Creates in one batch; a set of the client's counter follows them.
const CREATES: usize = 8;
const FAULTS: u64 = 12;
/// How long a client waits for an answer before it tries another connection.
const PATIENCE: Duration = Duration::from_secs(3);
/// Virtual time in which clients end after everything has healed.
const HEALED: Duration = Duration::from_secs(120);

/// What the node has acknowledged to one client.
#[derive(Default)]
struct Acknowledged {
    created: Vec<String>,
    /// The highest version of the counter that an answer has named.
    counter: i32,
    /// How often the connection broke before all answers had come.
    broken: u64,
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

/// A node that serves until its host ends.
async fn serve(runtime: Simulated, listen: SocketAddr) {
    let mut settings = without_http();
    settings.server.listen = listen;
    let started = Node::start(runtime, settings).await;
    let _node = started.expect("a node starts after any death");
    pending::<()>().await;
}

/// A client that writes all of its batches, over as many connections as it takes.
async fn write(runtime: Simulated, node: SocketAddr, number: usize, ledger: Ledger) {
    let mut batch = 0;
    while batch < BATCHES {
        let connecting = SimClient::try_connect(&runtime, node, 10_000);
        if let Ok(Ok(mut client)) = runtime.timeout(PATIENCE, connecting).await {
            while batch < BATCHES
                && write_batch(&runtime, &mut client, number, batch, &ledger).await
            {
                batch += 1;
            }
        }
        if batch < BATCHES {
            ledger.lock().broken += 1;
            runtime.sleep(Duration::from_millis(50)).await;
        }
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

/// The hosts of a run, and its randomness.
struct Stage {
    world: World,
    node: Host,
    clients: Vec<Host>,
    listen: SocketAddr,
    deaths: u64,
}

impl Stage {
    fn start_node(&self) {
        let listen = self.listen;
        self.node
            .start(move |runtime| serve(runtime, listen))
            .detach();
    }

    /// One fault, and its end.
    async fn fault(&mut self, kind: u64, lasts: Duration, client: usize) {
        let client = &self.clients[client];
        match kind {
            0 | 1 => {
                if kind == 0 {
                    self.node.kill();
                } else {
                    self.node.cut_power();
                }
                self.deaths += 1;
                self.world.sleep(lasts).await;
                self.start_node();
            }
            2 => {
                self.node.stop();
                self.world.sleep(lasts).await;
                self.node.resume();
            }
            3 => {
                self.world.cut(&self.node, client);
                self.world.sleep(lasts).await;
                self.world.heal(&self.node, client);
            }
            4 => {
                self.world.part(&self.node, client);
                self.world.sleep(lasts).await;
                self.world.heal_all();
            }
            5 => _ = self.world.reset_connections(&self.node, client),
            6 => self.node.jump_wall_clock(3_600_000),
            _ => self.node.jump_wall_clock(-3_600_000),
        }
    }
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

/// One run: how many deaths the node had, and how often a client lost its connection.
fn run(seed: u64) -> (u64, u64) {
    World::run(seed, async |world| {
        let node = world.host("node");
        node.disk(FOLDER).set_sync_time(slow_syncs());
        let listen = SocketAddr::new(node.address(), 2181);
        let hosts = (0..CLIENTS).map(|number| world.host(&format!("client-{number}")));
        let mut stage = Stage {
            clients: hosts.collect(),
            node,
            listen,
            deaths: 0,
            world: world.clone(),
        };
        stage.start_node();
        let reader = world.host("reader");
        let prepare = reader.start(move |runtime| async move {
            let mut client = connect(&runtime, listen).await;
            for number in 0..CLIENTS {
                client.send(&[create(&counter(number), b"")]).await;
                assert_eq!(client.answers(1).await, [ErrorCode::Ok]);
            }
        });
        prepare.await.expect("the counters are made");
        let ledgers: Vec<Ledger> = (0..CLIENTS).map(|_| Ledger::default()).collect();
        let mut writers = Vec::new();
        for (number, host) in stage.clients.iter().enumerate() {
            let ledger = ledgers[number].clone();
            writers.push(host.start(move |runtime| write(runtime, listen, number, ledger)));
        }
        let dice = world.host("dice").boot();
        let below = |bound: u64| dice.random_u64() % bound;
        for _ in 0..FAULTS {
            let quiet = Duration::from_millis(50 + below(400));
            world.sleep(quiet).await;
            let lasts = Duration::from_millis(below(2_000));
            let kind = below(8);
            let client = below(CLIENTS as u64) as usize;
            stage.fault(kind, lasts, client).await;
        }
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
        stage.node.cut_power();
        stage.start_node();
        let broken = ledgers.iter().map(|ledger| ledger.lock().broken).sum();
        for ledger in &ledgers {
            assert!(ledger.lock().created.len() >= BATCHES * CREATES);
        }
        let checking = reader.start(move |runtime| check(runtime, listen, ledgers));
        checking.await.expect("everything is there");
        (stage.deaths, broken)
    })
}

#[test]
fn nothing_acknowledged_is_lost_whatever_happens_to_the_node() {
    let (mut deaths, mut broken) = (0, 0);
    for seed in 0..20 {
        let (died, lost) = run(seed);
        deaths += died;
        broken += lost;
    }
    // The faults came while clients were at work.
    assert!(
        deaths > 20 && broken > 50,
        "{deaths} deaths, {broken} lost connections"
    );
}

#[test]
fn one_seed_has_the_same_deaths_each_time() {
    assert_eq!(run(3), run(3));
}
