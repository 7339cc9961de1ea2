//! What a snapshot of a large state costs: three processes on loopback, with real files.
//!
//! `cargo run -p innkeeper-raft --example snapshot_bench [znodes] [folder]`: two nodes take
//! a million znodes, then a third one starts with an empty folder. Each second each node prints its
//! memory, and the node that is written to its creates per second with 64 in flight, so that one
//! sees what a snapshot costs the others.

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
    let filled = lines_until(&mut nodes[0], "filled");
    nodes.push(start(3)?);
    let ended = filled.and_then(|()| lines_until(&mut nodes[2], "over"));
    for node in &mut nodes {
        let _ = node.kill();
        let _ = node.wait();
    }
    // What the node that was written to has said meanwhile.
    if let Some(output) = nodes[0].stdout.take() {
        for line in BufReader::new(output).lines() {
            println!("{}", line?);
        }
    }
    ended
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

/// Prints a node's lines up to one with this word.
fn lines_until(node: &mut Child, word: &str) -> Result<(), Box<dyn Error>> {
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
        println!("{text}");
        if text.contains(word) {
            return Ok(());
        }
        line.clear();
    }
}

/// The present and the greatest memory of this process, in MiB.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
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
                delivery.installed.wait_for(|is| *is).await;
                let seconds = (runtime.now() - begun).as_secs_f64();
                let zxid = replica.reader().last_zxid().0;
                println!(
                    "node 3: zxid {zxid} installed after {seconds:.1} s; {}",
                    memory()
                );
                let reached = |status: innkeeper_raft::Status| status.applied >= status.committed;
                while !reached(replica.status()) {
                    runtime.sleep(Duration::from_millis(10)).await;
                }
                let seconds = (runtime.now() - begun).as_secs_f64();
                println!("node 3: caught up after {seconds:.1} s; {}", memory());
                runtime.sleep(AFTERWARDS).await;
                println!("node 3: over; {}", memory());
                Ok(())
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
            println!(
                "node {}: {rate:.0} creates/s; {}",
                replica.status().node_id,
                memory()
            );
            (said, said_at) = (done, runtime.now());
        }
        if !is_filled && done >= znodes && replica.status().log.purged.is_some() {
            is_filled = true;
            println!("node 1: {done} znodes are there, filled; {}", memory());
            (said, said_at) = (done, runtime.now());
        }
    }
}
