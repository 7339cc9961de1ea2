//! Measures three Innkeeper nodes and, beside them, three real ZooKeeper servers: on one machine,
//! in one run, from the same lines of `zoo.cfg`, with the same load, both syncing every write.
//!
//! 1. Everything runs in a network namespace of its own, where the machine allows it, and each
//!    server in another one ([`world`]).
//! 2. Throughput, latency and CPU time ([`throughput`]), with both groups running.
//! 3. The time without an acknowledged write after the leader fails ([`failover`]).
//! 4. Memory and restarts by the number of znodes ([`size`]), one group at a time, which is filled
//!    first ([`fill`]).
//!
//! With both groups running they share one machine: the one that is not measured is idle.

mod failover;
mod fill;
mod group;
mod size;
mod table;
mod throughput;
#[path = "../../../world.rs"]
mod world;

use std::path::Path;
use std::time::Duration;

use clap::{Args, ValueEnum};

pub use group::Kind;
pub use world::enter;

use group::Group;
use throughput::Load;

/// A part of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Throughput, latency and CPU time
    Load,
    /// The time without an acknowledged write after the leader fails
    Failover,
    /// Memory and restarts by the number of znodes
    Size,
}

/// What is measured with three servers.
#[derive(Args)]
pub struct Plan {
    /// With --cluster: only these parts
    #[arg(long, value_delimiter = ',', default_value = "load,failover,size")]
    parts: Vec<Part>,

    /// With --cluster: connections of the load, spread over three servers
    #[arg(long, default_value_t = 12)]
    cluster_connections: usize,

    /// With --cluster: requests in flight on each connection, one run for each
    #[arg(long, value_delimiter = ',', default_value = "1,64")]
    depths: Vec<usize>,

    /// With --cluster: how often the leader is killed, stopped and cut off
    #[arg(long, default_value_t = 5)]
    failovers: usize,

    /// With --cluster: the numbers of znodes at which memory and restarts are measured
    #[arg(long, value_delimiter = ',', default_value = "100000")]
    znodes: Vec<u64>,
}

/// Measures the groups and prints the tables.
pub async fn measure(
    plan: &Plan,
    kinds: &[Kind],
    folder: &Path,
    span: Duration,
) -> anyhow::Result<()> {
    let has = |part| plan.parts.contains(&part);
    if has(Part::Load) {
        let mut groups = start(kinds, &folder.join("load")).await?;
        let load = Load {
            connections: plan.cluster_connections,
            depths: plan.depths.clone(),
            span,
        };
        println!();
        throughput::measure(&groups, &load).await?;
        groups.clear();
    }
    if has(Part::Failover) {
        let mut groups = start(kinds, &folder.join("failover")).await?;
        println!();
        failover::measure(&mut groups, plan.failovers).await?;
    }
    if has(Part::Size) {
        println!();
        size::measure(kinds, &plan.znodes, &folder.join("size")).await?;
    }
    Ok(())
}

async fn start(kinds: &[Kind], folder: &Path) -> anyhow::Result<Vec<Group>> {
    let mut groups = Vec::new();
    for (network, kind) in (0..).zip(kinds) {
        let folder = folder.join(kind.name());
        groups.push(Group::start(kind, network, &folder).await?);
    }
    Ok(groups)
}
