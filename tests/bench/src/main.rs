//! A benchmark: the throughput and latency of clients, the cost of guests, and the time of a
//! reaction; beside them the speed of the disk, without which numbers of durable writes mean
//! nothing.
//!
//! 1. The data folder's file system is checked (one in memory is refused), and its fdatasyncs per
//!    second are measured.
//! 2. A server is started in that folder as a process of its own.
//! 3. Creates, sets and gets, with one request in flight per connection and with many.
//! 4. Reactions: from an ephemeral's disappearance to the new assignment.
//! 5. One invocation of each kind of guest, a new store included, in this process.
//!
//! With `--sustained`, there are only creates and sets, for longer, so that checkpoints, snapshots
//! and full logs are part of the measurement; a real ZooKeeper on the same disk is measured as
//! well, if the folder of its jars is given.
//!
//! With `--cluster`, three nodes, and beside them three servers of a real ZooKeeper (`cluster/`).
//!
//! With `--hostile`, clients and a harmless binding beside hostile guests instead (`hostile/`).

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a measuring client stands outside the host, on the real clock, disk and sockets"
)]

mod cluster;
mod disk;
mod guests;
mod hostile;
mod load;
mod node;
mod peer;
mod reaction;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::cluster::Kind;
use crate::load::{Measured, Workload};
use crate::node::Node;
use crate::peer::Peer;

/// Measure a server over the wire and its guests.
#[derive(Parser)]
#[command(name = "innkeeper-bench")]
struct Args {
    /// The server to start.
    #[arg(long)]
    server: PathBuf,

    /// Where its data goes, in a new folder that is removed afterwards.
    #[arg(long)]
    data: Option<PathBuf>,

    /// The folder of the guests' modules.
    #[arg(long, env = "INNKEEPER_GUEST_MODULES")]
    modules: PathBuf,

    /// Connections at a time.
    #[arg(long, default_value_t = 32)]
    connections: usize,

    /// Requests in flight on each connection in the pipelined runs.
    #[arg(long, default_value_t = 32)]
    depth: usize,

    /// Seconds for each run over the wire.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,

    /// Reactions to measure.
    #[arg(long, default_value_t = 300)]
    reactions: usize,

    /// Clients and a harmless binding beside hostile guests, and nothing else.
    #[arg(long)]
    hostile: bool,

    /// With --hostile: how often each situation is measured; the table shows the medians.
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// With --hostile: only the situations whose name contains this text.
    #[arg(long, default_value = "")]
    situation: String,

    /// Three servers: throughput, fail-over, memory and restarts, and nothing else.
    #[arg(long)]
    cluster: bool,

    #[command(flatten)]
    plan: cluster::Plan,

    /// Only creates and sets, with 1 and with 64 requests in flight.
    #[arg(long)]
    sustained: bool,

    /// The folder of a real ZooKeeper's jars: what is written over the wire is written to it, too.
    #[arg(long)]
    zookeeper_jars: Option<PathBuf>,

    /// Only the guests' invocations, without a server.
    #[arg(long)]
    guests_only: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if args.cluster
        && let Some(code) = cluster::enter(std::env::args_os().skip(1))?
    {
        std::process::exit(code);
    }
    let parent = match &args.data {
        Some(folder) => folder.clone(),
        // The folder is beside the binary: that is the disk of the build, while /tmp may be in
        // memory.
        None => args
            .server
            .parent()
            .context("the server's path has no folder")?
            .to_owned(),
    };
    std::fs::create_dir_all(&parent)?;
    let kind = disk::file_system(&parent)?;
    disk::refuse_memory(&kind, &parent)?;
    let folder = Scratch(parent.join(format!("bench-data-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0)?;

    // One thread: the generator shares few cores with the server.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        // One that is told to end removes its folder, and its servers end with it.
        tokio::select! {
            done = measure(&args, &folder.0, &kind) => done,
            _ = terminated.recv() => bail!("the measurement was told to end"),
            _ = interrupted.recv() => bail!("the measurement was told to end"),
        }
    })
}

async fn measure(args: &Args, folder: &std::path::Path, kind: &str) -> anyhow::Result<()> {
    if args.hostile {
        let plan = hostile::Plan {
            span: Duration::from_secs_f64(args.seconds),
            rounds: args.rounds,
            only: &args.situation,
        };
        return hostile::measure(&args.server, folder, &args.modules, &plan).await;
    }
    if args.cluster {
        print_machine(folder, kind)?;
        let mut kinds = vec![Kind::Innkeeper(args.server.clone())];
        kinds.extend(args.zookeeper_jars.clone().map(Kind::ZooKeeper));
        let span = Duration::from_secs_f64(args.seconds);
        return cluster::measure(&args.plan, &kinds, folder, span).await;
    }
    if !args.guests_only {
        measure_server(args, folder, kind).await?;
    }
    if args.sustained {
        return Ok(());
    }
    println!("one invocation of a guest, a new store included:");
    for (name, latency) in guests::measure(&args.modules).await? {
        println!(
            "{name:<36} p50 {:>6.1} us   p99 {:>6.1} us",
            latency.value_at_quantile(0.5) as f64 / 1e3,
            latency.value_at_quantile(0.99) as f64 / 1e3,
        );
    }
    Ok(())
}

/// What the figures stand and fall with.
fn print_machine(folder: &std::path::Path, kind: &str) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("file system     {kind}");
    println!(
        "fdatasyncs      {:.0}/s by itself",
        disk::fdatasyncs_per_second(folder, Duration::from_secs(2))?
    );
    println!("cores           {cores}, shared by the server and this load generator");
    Ok(())
}

async fn measure_server(args: &Args, folder: &std::path::Path, kind: &str) -> anyhow::Result<()> {
    print_machine(folder, kind)?;
    println!();

    let node = Node::start(&args.server, &folder.join("node"))?;
    let peer = match &args.zookeeper_jars {
        Some(jars) => Some(Peer::start(jars, &folder.join("zookeeper")).await?),
        None => None,
    };
    println!("over the wire, 100 bytes of data; the pause is the longest time without any reply:");
    println!(
        "{:<24} {:>9} {:>11} {:>8} {:>8} {:>8} {:>9} {:>8} {:>12}",
        "",
        "in flight",
        "requests/s",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "pause ms",
        "syncs/s",
        "server CPU"
    );
    let span = Duration::from_secs_f64(args.seconds);
    let (many, depth) = (args.connections, args.depth);
    let runs = match args.sustained {
        false => vec![
            (Workload::Create, many, 1),
            (Workload::Create, many, depth),
            (Workload::Set, many, 1),
            (Workload::Set, many, depth),
            (Workload::Get, many, 1),
            (Workload::Get, many, depth),
        ],
        true => vec![
            (Workload::Create, 1, 1),
            (Workload::Create, 8, 8),
            (Workload::Set, 1, 1),
            (Workload::Set, 8, 8),
        ],
    };
    for (number, (workload, connections, depth)) in runs.into_iter().enumerate() {
        let (syncs, cpu) = (node.syncs().await?, node.cpu_seconds()?);
        let load = async |address: &str| {
            load::run(&[address], workload, connections, depth, span, number).await
        };
        let measured = load(&node.zookeeper).await?;
        let seconds = measured.span.as_secs_f64();
        let syncs = (node.syncs().await? - syncs) as f64 / seconds;
        let cpu = (node.cpu_seconds()? - cpu) / seconds;
        let name = format!("{}, innkeeper", workload.name());
        print_run(
            &name,
            connections * depth,
            &measured,
            &format!("{syncs:.0}"),
            cpu,
        );
        if let Some(peer) = &peer {
            let cpu = peer.cpu_seconds()?;
            let measured = load(&peer.address).await?;
            let cpu = (peer.cpu_seconds()? - cpu) / measured.span.as_secs_f64();
            let name = format!("{}, zookeeper", workload.name());
            print_run(&name, connections * depth, &measured, "", cpu);
        }
    }
    drop(peer);
    if args.sustained {
        return node.stop();
    }

    let reactions = reaction::measure(&node, &args.modules, args.reactions).await?;
    println!();
    println!(
        "reaction        p50 {} us, p99 {} us, from an ephemeral's disappearance to the new assignment ({} of them)",
        reactions.value_at_quantile(0.5),
        reactions.value_at_quantile(0.99),
        reactions.len(),
    );
    node.stop()?;

    println!();
    Ok(())
}

fn print_run(name: &str, in_flight: usize, measured: &Measured, syncs: &str, cpu: f64) {
    let at = |quantile| measured.latency_us.value_at_quantile(quantile);
    println!(
        "{name:<24} {in_flight:>9} {:>11.0} {:>8} {:>8} {:>8} {:>9.1} {syncs:>8} {cpu:>6.2} cores",
        measured.per_second(),
        at(0.5),
        at(0.99),
        at(0.999),
        measured.longest_pause.as_secs_f64() * 1e3,
    );
}

/// The run's folder, which is removed at the end, also after an error.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} could not be removed: {error}", self.0.display());
        }
    }
}
