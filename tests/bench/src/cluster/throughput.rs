//! Throughput, latency and the servers' CPU time, with clients on all servers.

use std::time::Duration;

use anyhow::ensure;

use super::group::Group;
use super::table::{Table, ratio};
use crate::load::{self, Workload};

/// The uncounted run before each run is this part of its time: Java compiles what is used often.
const WARM_UP_PART: u32 = 4;

/// How the load is made.
pub struct Load {
    /// Connections, dealt to the servers in turn.
    pub connections: usize,
    /// Requests in flight on each connection; one row of the table for each.
    pub depths: Vec<usize>,
    /// How long each run takes.
    pub span: Duration,
}

/// The figures of one run.
#[derive(Clone, Copy)]
struct Run {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    /// Of all three servers together, per request.
    cpu_us: f64,
}

/// Measures every workload on every group, one group after the other, and prints a row for each run.
pub async fn measure(groups: &[Group], load: &Load) -> anyhow::Result<()> {
    println!(
        "{} connections, spread over three servers; 100 bytes of data; CPU time of all three \
         servers",
        load.connections
    );
    let mut table = Table::new(
        &["", "in flight", "server"],
        &["requests/s", "p50 us", "p99 us", "CPU us/request"],
    );
    table.head();
    let mut run = 0;
    for workload in [
        Workload::Create,
        Workload::Set,
        Workload::Get,
        Workload::Mixed,
    ] {
        for depth in &load.depths {
            let mut runs = Vec::new();
            for group in groups {
                one(group, workload, *depth, load, load.span / WARM_UP_PART, run).await?;
                let measured = one(group, workload, *depth, load, load.span, run + 1).await?;
                run += 2;
                let figures = [
                    format!("{:.0}", measured.per_second),
                    format!("{:.0}", measured.p50_us),
                    format!("{:.0}", measured.p99_us),
                    format!("{:.1}", measured.cpu_us),
                ];
                let depth = depth.to_string();
                table.row(&[workload.name(), &depth, group.kind.name()], &figures);
                runs.push(measured);
            }
            if let [ours, theirs] = runs[..] {
                let figures = [
                    ratio(ours.per_second, theirs.per_second),
                    ratio(ours.p50_us, theirs.p50_us),
                    ratio(ours.p99_us, theirs.p99_us),
                    ratio(ours.cpu_us, theirs.cpu_us),
                ];
                table.row(&["", "", "ratio"], &figures);
            }
        }
    }
    Ok(())
}

async fn one(
    group: &Group,
    workload: Workload,
    depth: usize,
    load: &Load,
    span: Duration,
    run: usize,
) -> anyhow::Result<Run> {
    let cpu = group.cpu_seconds()?;
    let addresses = group.addresses();
    let measured = load::run(&addresses, workload, load.connections, depth, span, run).await?;
    let cpu = group.cpu_seconds()? - cpu;
    ensure!(measured.count > 0, "no request was answered");
    let at = |quantile| measured.latency_us.value_at_quantile(quantile) as f64;
    Ok(Run {
        per_second: measured.per_second(),
        p50_us: at(0.5),
        p99_us: at(0.99),
        cpu_us: cpu * 1e6 / measured.count as f64,
    })
}
