//! What a snapshot of a large state costs: three processes on loopback, with real files.
//!
//! `make bench-raft` runs it after the measurements of three replicas, as the tests are built; for
//! other numbers: `cargo run --example snapshot_bench [znodes] [folder]`. Two nodes take a million
//! znodes and go on with 64 creates in flight. Then a third one starts with an empty folder. It
//! prints how long that one took, the memory of all three, and the creates per second before,
//! meanwhile and afterwards.

// The process that starts the nodes is none itself, and sleeps as it likes.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use innkeeper_proto::CreateMode;
use innkeeper_raft::peer::{Group, PeerAddress, PeerSettings, Secret, Unprotected};
use innkeeper_raft::{Delivery, Refusal, Replica, Settings};
use innkeeper_runtime::{Latest, Listener, Real, RealConfig, Runtime, Threads};
use innkeeper_tree::applied::Applied;
use innkeeper_tree::command::{Identity, Write, WriteOp};
use innkeeper_tree::{Operation, Ticket, View, acl};

const ZNODES: u64 = 1_000_000;
/// How long the two are watched before the third one starts.
const BEFORE: Duration = Duration::from_secs(5);
/// How long the third node is watched after it has caught up.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// Publishes and counts.
#[derive(Clone)]
struct Count {
    done: Latest<u64>,
    installed: Latest<bool>,
}

impl Delivery for Count {
    fn deliver(&self, batch: Vec<Applied>, publish: &mut dyn FnMut()) {
        publish();
        self.done.update(|done| {
            *done += batch.len() as u64;
            true
        });
    }

    fn installed(&self, _before: &View, _after: &View, publish: &mut dyn FnMut()) {
        publish();
        self.installed.set(true);
    }

    fn refused(&self, operation: Operation, refusal: Refusal) {
        panic!("{operation:?} was refused: {refusal}");
    }
}

/// A hundred folders' children, so that no znode has a million of them.
fn create(number: u64) -> Operation {
    let path = match number {
        0..100 => format!("/folder-{number:02}"),
        _ => format!("/folder-{:02}/{number:010}", number % 100),
    };
    Operation::Admin {
        ticket: Ticket(number),
        identities: vec![Identity {
            scheme: "super".to_owned(),
            id: String::new(),
        }],
        write: Write::Single(WriteOp::Create {
            path,
            data: Some(Bytes::from_static(&[b'x'; 100])),
            acl: acl::open(),
            mode: CreateMode::Persistent,
            ttl_ms: 0,
        }),
        enforce_quota: false,
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, id, folder, znodes, ports @ ..] = arguments.as_slice()
        && role == "node"
    {
        let ports: Vec<u16> = ports
            .iter()
            .map(|port| port.parse())
            .collect::<Result<_, _>>()?;
        return node(id.parse()?, Path::new(folder), znodes.parse()?, &ports);
    }
    let znodes = arguments
        .first()
        .map_or(Ok(ZNODES), |given| given.parse())?;
    let folder = match arguments.get(1) {
        Some(given) => tempfile::tempdir_in(given)?,
        None => tempfile::tempdir_in(".")?,
    };
    let ports = free_ports()?;
    let start = |node: usize| -> Result<Child, Box<dyn Error>> {
        let mut process = Process::new(std::env::current_exe()?);
        process.args(["node", &node.to_string()]);
        process.arg(folder.path().join(node.to_string()));
        process.arg(znodes.to_string());
        process.args(ports.iter().map(u16::to_string));
        Ok(process.stdout(Stdio::piped()).spawn()?)
    };
    let mut nodes = vec![start(1)?, start(2)?];
    let measured = measure(&mut nodes, || start(3));
    for node in &mut nodes {
        let _ = node.kill();
        let _ = node.wait();
    }
    let Measured {
        installed,
        caught_up,
        memory_before,
        memory_after,
    } = measured?;
    let output = nodes[0].stdout.take().ok_or("its output was taken")?;
    let mut rates = Vec::new();
    for line in BufReader::new(output).lines() {
        rates.extend(number_after(&line?, "creates/s:"));
    }
    let before = BEFORE.as_secs() as usize;
    let meanwhile = before + caught_up.ceil() as usize;
    let part = |from: usize, to: usize| {
        let some = rates.get(from.min(rates.len())..to.min(rates.len()));
        some.unwrap_or_default()
    };
    println!("{znodes} znodes of 100 bytes; seconds from the start of the empty node:");
    println!("installed after {installed:.1} s, caught up after {caught_up:.1} s");
    for (node, after) in memory_after.iter().enumerate() {
        // The third one was not there.
        let before = memory_before.get(node).map_or("nothing", String::as_str);
        println!(
            "memory of node {}: {before} before; {after} after",
            node + 1
        );
    }
    println!("creates/s of a node, second by second");
    println!("before: {:.0?}", part(0, before));
    println!("meanwhile: {:.0?}", part(before, meanwhile));
    println!("afterwards: {:.0?}", part(meanwhile, rates.len()));
    Ok(())
}

struct Measured {
    /// Seconds.
    installed: f64,
    caught_up: f64,
    memory_before: Vec<String>,
    memory_after: Vec<String>,
}

/// Watches the first two nodes, and then the third one beside them.
fn measure(
    nodes: &mut Vec<Child>,
    start_third: impl FnOnce() -> Result<Child, Box<dyn Error>>,
) -> Result<Measured, Box<dyn Error>> {
    line_with(&mut nodes[0], "filled")?;
    std::thread::sleep(BEFORE);
    let memory_before = nodes.iter().map(|node| memory(node.id())).collect();
    nodes.push(start_third()?);
    let third = &mut nodes[2];
    let seconds = |line: String| number_after(&line, "after:").ok_or(line);
    let installed = seconds(line_with(third, "installed")?)?;
    let caught_up = seconds(line_with(third, "caught up")?)?;
    std::thread::sleep(AFTERWARDS);
    let memory_after = nodes.iter().map(|node| memory(node.id())).collect();
    Ok(Measured {
        installed,
        caught_up,
        memory_before,
        memory_after,
    })
}

/// The number behind a word of a line.
fn number_after(line: &str, word: &str) -> Option<f64> {
    let mut words = line.split_whitespace();
    words.find(|found| *found == word)?;
    words.next()?.parse().ok()
}

/// Ports that are free now.
fn free_ports() -> Result<Vec<u16>, Box<dyn Error>> {
    let threads = threads()?;
    let runtime = threads.runtime();
    threads.block_on(async {
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(runtime.listen_tcp((Ipv4Addr::LOCALHOST, 0).into()).await?);
        }
        let ports = held.iter().filter_map(Listener::local_addr);
        Ok(ports.map(|address| address.port()).collect())
    })
}

fn threads() -> Result<Threads, Box<dyn Error>> {
    Ok(Threads::start(RealConfig {
        client_threads: NonZeroUsize::MIN,
        ..RealConfig::default()
    })?)
}

/// The first line of a node with this word. The lines before it are dropped.
fn line_with(node: &mut Child, word: &str) -> Result<String, Box<dyn Error>> {
    let output = node.stdout.as_mut().ok_or("its output was taken")?;
    // Without a buffer of its own, so that the lines after it stay where they are.
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        std::io::Read::read_exact(output, &mut byte)?;
        if byte != *b"\n" {
            line.push(byte[0]);
            continue;
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        if text.contains(word) {
            return Ok(text);
        }
        line.clear();
    }
}

/// The present and the greatest memory of a process.
fn memory(process: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let of = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    format!("{} MiB, {} MiB at most", of("VmRSS:"), of("VmHWM:"))
}

fn node(id: u64, folder: &Path, znodes: u64, ports: &[u16]) -> Result<(), Box<dyn Error>> {
    let threads = threads()?;
    let runtime = threads.runtime();
    threads.block_on(async {
        let delivery = Count {
            done: Latest::new(0),
            installed: Latest::new(false),
        };
        let begun = runtime.now();
        let replica = open(&runtime, id, folder, ports, delivery.clone()).await?;
        match id {
            1 => write(&runtime, &replica, &delivery, znodes).await,
            2 => loop {
                runtime.sleep(Duration::from_secs(3600)).await;
            },
            _ => {
                let since = || (runtime.now() - begun).as_secs_f64();
                delivery.installed.wait_for(|is| *is).await;
                println!("installed after: {:.1}", since());
                let reached = |status: innkeeper_raft::Status| status.applied >= status.committed;
                while !reached(replica.status()) {
                    runtime.sleep(Duration::from_millis(10)).await;
                }
                println!("caught up after: {:.1}", since());
                loop {
                    runtime.sleep(Duration::from_secs(3600)).await;
                }
            }
        }
    })
}

async fn open(
    runtime: &Real,
    id: u64,
    folder: &Path,
    ports: &[u16],
    delivery: Count,
) -> Result<Replica<Real>, Box<dyn Error>> {
    let address = |port: u16| PeerAddress {
        host: Ipv4Addr::LOCALHOST.to_string(),
        port,
    };
    let voters: BTreeMap<u64, PeerAddress> =
        (1..).zip(ports.iter().copied().map(address)).collect();
    let own = voters.get(&id).ok_or("there are three nodes")?.port;
    let group = Group {
        voters,
        learners: BTreeMap::new(),
        ports: BTreeMap::new(),
        listener: runtime
            .listen_tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, own)))
            .await?,
        secret: Secret::new("swordfish"),
        protection: Arc::new(Unprotected),
        settings: PeerSettings::default(),
    };
    let settings = Settings {
        node_id: id,
        retention_age: Duration::ZERO,
        retention_bytes: 0,
        ..Settings::default()
    };
    let disk = runtime.disk(folder)?;
    Ok(Replica::open_in_group(runtime.clone(), disk, settings, group, Arc::new(delivery)).await?)
}

/// Fills the state, and goes on writing until the process is killed.
async fn write(
    runtime: &Real,
    replica: &Replica<Real>,
    delivery: &Count,
    znodes: u64,
) -> Result<(), Box<dyn Error>> {
    let proposals = replica.proposals();
    let (mut submitted, mut done) = (0_u64, 0_u64);
    let (mut said, mut said_at) = (0, runtime.now());
    let mut is_filled = false;
    loop {
        let in_flight = if is_filled { 64 } else { 4096 };
        let room = (done + in_flight).saturating_sub(submitted).min(1024);
        let batch = (submitted..submitted + room).map(create).collect();
        submitted += room;
        proposals.submit(batch).await;
        done = delivery.done.wait_for(|now| *now > done).await;
        let seconds = (runtime.now() - said_at).as_secs_f64();
        if is_filled && seconds >= 1.0 {
            let rate = (done - said) as f64 / seconds;
            println!("creates/s: {rate:.0}");
            (said, said_at) = (done, runtime.now());
        }
        if !is_filled && done >= znodes && replica.status().log.purged.is_some() {
            is_filled = true;
            println!("filled");
            (said, said_at) = (done, runtime.now());
        }
    }
}
