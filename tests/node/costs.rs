//! What a node costs: per simulated second in which nobody asks it for anything, per operation, and
//! per start and stop.
//!
//! The figures are CPU time and depend on the machine, so they are printed and not compared:
//! `make bench-sim` shows them. What is compared is the number of lines in the world's trace, which
//! are polls, sends, random draws and the like: it is the same on every machine.
#![allow(clippy::disallowed_methods)] // It measures with the system's clocks.

mod common;

use std::future::pending;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::simulated::{FOLDER, SimClient, without_http};
use common::{Running, cpu, create, get, set};
use innkeeper_node::Node;
use innkeeper_proto::ErrorCode;
use innkeeper_proto::request::Request;
use innkeeper_runtime::sim::{SyncTime, Window};
use innkeeper_runtime::{Runtime, Sim, Simulated, World};
use parking_lot::Mutex;

const SEED: u64 = 5;
/// Requests that a client sends before it reads the answers.
const PIPELINED: usize = 100;
/// Operations of each kind.
const OPERATIONS: usize = 5_000;

/// Runs a node, which nobody connects to, for so many simulated seconds after its start. Returns
/// the CPU time of those.
async fn idle(runtime: Simulated, seconds: u64) -> Duration {
    let node = Node::start(runtime.clone(), without_http()).await.unwrap();
    runtime.sleep(Duration::from_secs(60)).await;
    let began = cpu::of_thread();
    runtime.sleep(Duration::from_secs(seconds)).await;
    let took = cpu::of_thread() - began;
    node.stop().await;
    took
}

#[test]
fn an_idle_node_does_nearly_nothing() {
    const SECONDS: u64 = 3_600;
    let lines = |seconds| {
        let (_, trace) = Sim::run_traced(SEED, Window::default(), |runtime| idle(runtime, seconds));
        trace.lines()
    };
    let lines = lines(SECONDS) - lines(0);
    let each = lines as f64 / SECONDS as f64;
    println!("a simulated second of an idle node: {each:.1} lines of the trace");
    // openraft ticks 50 times, which takes two tasks; expiry and quorum are looked at 15 times.
    assert!(each < 120.0, "something wakes up in an idle node");
    let took = Sim::run(SEED, |runtime| idle(runtime, SECONDS));
    cpu::print_each("a simulated second of an idle node", took, SECONDS as usize);
}

/// A client on a node of one simulated world.
async fn operations(runtime: Simulated) {
    let node = Node::start(runtime.clone(), without_http()).await.unwrap();
    let mut client = SimClient::connect(&runtime, node.addr(), 60_000).await;
    let path = |number: usize| format!("/n{number}");
    for pipelined in [1, PIPELINED] {
        client.send(&[create("/set", b"")]).await;
        client.answers(1).await;
        let first = pipelined * OPERATIONS;
        let kinds: [(&str, &dyn Fn(usize) -> Request); 3] = [
            ("create", &|number| create(&path(first + number), &[7; 100])),
            ("set", &|_| set("/set", &[7; 100])),
            ("get", &|_| get("/set", false)),
        ];
        for (kind, request) in kinds {
            let requests: Vec<_> = (0..OPERATIONS).map(request).collect();
            let began = cpu::of_thread();
            for batch in requests.chunks(pipelined) {
                client.send(batch).await;
                let answers = client.answers(batch.len()).await;
                assert!(answers.iter().all(|error| *error == ErrorCode::Ok));
            }
            let what = format!("{kind}, {pipelined} in flight");
            cpu::print_each(&what, cpu::of_thread() - began, OPERATIONS);
        }
    }
    node.stop().await;
}

#[test]
fn operations_of_a_client() {
    Sim::run(SEED, operations);
}

/// Starts and stops nodes, each in its own folder or all in one, in one world.
async fn starts(runtime: Simulated, times: usize, filled: bool) -> Duration {
    let mut settings = without_http();
    if filled {
        let node = Node::start(runtime.clone(), settings.clone()).await;
        let node = node.unwrap();
        let mut client = SimClient::connect(&runtime, node.addr(), 60_000).await;
        for batch in 0..100 {
            let batch: Vec<_> = (0..PIPELINED)
                .map(|number| create(&format!("/n{batch}-{number}"), &[7; 100]))
                .collect();
            client.send(&batch).await;
            assert_eq!(client.answers(PIPELINED).await, [ErrorCode::Ok; PIPELINED]);
        }
        node.stop().await;
    }
    let began = cpu::of_thread();
    for number in 0..times {
        if !filled {
            settings.server.data = PathBuf::from(format!("/data-{number}"));
        }
        let node = Node::start(runtime.clone(), settings.clone()).await;
        node.unwrap().stop().await;
    }
    cpu::of_thread() - began
}

#[test]
fn starts_and_stops() {
    let (times, filled_times) = (300, 50);
    let took = Sim::run(SEED, |runtime| starts(runtime, times, false));
    cpu::print_each("a start and a stop in an empty folder", took, times);
    let took = Sim::run(SEED, |runtime| starts(runtime, filled_times, true));
    cpu::print_each("a start and a stop with 10,000 znodes", took, filled_times);
}

#[test]
fn starts_and_stops_of_real_nodes() {
    let times = 30;
    let (began, wall) = (cpu::of_process(), Instant::now());
    for _ in 0..times {
        drop(Running::start_with(|_| {}).stop());
    }
    let took = cpu::of_process() - began;
    cpu::print_each("a start and a stop of a real node", took, times);
    println!(
        "  and {:.1} ms by the clock, the mean of {times}",
        wall.elapsed().as_secs_f64() * 1e3 / times as f64
    );
}

/// Paths whose creates were acknowledged.
type Acknowledged = Arc<Mutex<Vec<String>>>;

/// Creates znodes, ten in flight, until its host is killed.
async fn write(runtime: Simulated, node: SocketAddr, life: u64, acknowledged: Acknowledged) {
    let mut client = connect(&runtime, node).await;
    for batch in 0.. {
        let path = |number| format!("/n{life}-{batch}-{number}");
        let requests: Vec<_> = (0..10).map(|number| create(&path(number), b"x")).collect();
        client.send(&requests).await;
        for number in 0..10 {
            let answer = client.try_answer().await.expect("the node outlives it");
            assert_eq!(answer.err, ErrorCode::Ok);
            acknowledged.lock().push(path(number));
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

/// A node that loses power ten times while a client writes. Returns how many writes were
/// acknowledged; all of them are there at the end.
fn power_cuts(seed: u64) -> usize {
    World::run(seed, async |world| {
        let (host, client) = (world.host("node"), world.host("client"));
        host.disk(FOLDER).set_sync_time(SyncTime {
            least: Duration::from_millis(2),
            jitter: Duration::from_millis(8),
            stalls: None,
        });
        let node = SocketAddr::new(host.address(), 2181);
        let start = || {
            let serve = move |runtime| async move {
                let mut settings = without_http();
                settings.server.listen = node;
                let _node = Node::start(runtime, settings).await.expect("it starts");
                pending::<()>().await;
            };
            host.start(serve).detach();
        };
        let acknowledged = Acknowledged::default();
        for life in 0..10 {
            start();
            let told = acknowledged.clone();
            let writing = client.start(move |runtime| write(runtime, node, life, told));
            writing.detach();
            world.sleep(Duration::from_millis(500 + 37 * life)).await;
            client.kill();
            host.cut_power();
        }
        start();
        let acknowledged = std::mem::take(&mut *acknowledged.lock());
        let count = acknowledged.len();
        let reading = client.start(move |runtime| async move {
            let mut client = connect(&runtime, node).await;
            let reads: Vec<_> = acknowledged.iter().map(|path| get(path, false)).collect();
            for batch in reads.chunks(PIPELINED) {
                client.send(batch).await;
                let answers = client.answers(batch.len()).await;
                assert!(answers.iter().all(|error| *error == ErrorCode::Ok));
            }
        });
        reading.await.expect("everything is there");
        count
    })
}

#[test]
fn seeds_of_power_cuts() {
    const SEEDS: usize = 10;
    let began = cpu::of_thread();
    let acknowledged: usize = (0..SEEDS as u64).map(power_cuts).sum();
    let took = cpu::of_thread() - began;
    cpu::print_each("a seed with ten power cuts", took, SEEDS);
    println!(
        "a seed with ten power cuts: {} writes are acknowledged",
        acknowledged / SEEDS
    );
    assert!(acknowledged > SEEDS * 1_000, "{acknowledged}");
}
