//! Clients and a harmless binding beside hostile guests.
//!
//! 1. A server is started, and a harmless binding that answers each znode set below
//!    `/probe/in` with one below `/probe/out`.
//! 2. For each situation (`situations.rs`): a quiet run, then the same run beside the hostile
//!    guests. In a run a few connections set, as many get, one request in flight on each, and a
//!    probe measures the harmless binding's reactions.
//! 3. A table: latencies, how the clients' p99 compares with the quiet one, and whether the
//!    aims hold. It reports; nothing fails by it.

mod probe;
mod situations;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::{self, Workload};
use crate::node::Node;
use situations::{SITUATIONS, Stage};

/// Connections that set, and as many that get.
const CONNECTIONS: usize = 4;

/// The clients' p99 beside hostile guests may be so many times the quiet one.
const CLIENTS_AIM: f64 = 1.5;

/// The harmless binding's p99 beside hostile guests, in microseconds.
const REACTION_AIM_US: u64 = 100_000;

/// How long guests that were unbound may go on: longer than any has fuel for.
const SETTLE: Duration = Duration::from_secs(3);

/// What one run gave, in microseconds.
struct Run {
    set_us: Histogram<u64>,
    get_us: Histogram<u64>,
    reaction_us: Histogram<u64>,
}

/// Measures each situation and prints the table.
pub async fn measure(
    server: &Path,
    folder: &Path,
    modules: &Path,
    span: Duration,
) -> anyhow::Result<()> {
    let log = std::fs::File::create(folder.join("log"))?;
    let node = Node::start_logging(server, &folder.join("node"), Stdio::from(log))?;
    probe::bind(&node, modules).await?;
    let mut stage = Stage::new(&node, modules);
    stage.prepare().await?;
    println!(
        "{CONNECTIONS} connections set and {CONNECTIONS} get, one request in flight on each; {:.0} s for each run",
        span.as_secs_f64()
    );
    println!(
        "{:<44} {:>10} {:>10} {:>10} {:>10} {:>12} {:>6} {:>6}  aims",
        "in us", "set p50", "set p99", "get p50", "get p99", "reaction p99", "set x", "get x"
    );
    let mut number = 1_000;
    for situation in SITUATIONS {
        let quiet = run(&node, span, &mut number).await?;
        print(situation.name, "quiet", &quiet, None);
        let began = stage.begin(situation).await;
        let beside = match &began {
            Ok(()) => Some(run(&node, span, &mut number).await),
            Err(_) => None,
        };
        // Whatever came of it, the next situation starts without these guests.
        let ended = stage.end().await;
        match (began, beside) {
            (Ok(()), Some(Ok(beside))) => print(situation.name, "beside", &beside, Some(&quiet)),
            (Err(error), _) | (Ok(()), Some(Err(error))) => {
                println!("{:<44} {error:#}", situation.name);
            }
            (Ok(()), None) => {}
        }
        ended?;
        // What runs still ends at its fuel, so that the next quiet run is one.
        tokio::time::sleep(SETTLE).await;
    }
    println!(
        "the server had {} MiB of memory at most",
        node.peak_memory_bytes()? >> 20
    );
    node.stop()
}

/// One run of all measured parties side by side.
async fn run(node: &Node, span: Duration, number: &mut usize) -> anyhow::Result<Run> {
    *number += 2;
    let address = &node.zookeeper;
    let (sets, gets, reaction_us) = tokio::try_join!(
        load::run(address, Workload::Set, CONNECTIONS, 1, span, *number),
        load::run(address, Workload::Get, CONNECTIONS, 1, span, *number + 1),
        probe::measure(address, span),
    )?;
    Ok(Run {
        set_us: sets.latency_us,
        get_us: gets.latency_us,
        reaction_us,
    })
}

fn print(situation: &str, part: &str, run: &Run, quiet: Option<&Run>) {
    let p99 = |latency: &Histogram<u64>| latency.value_at_quantile(0.99);
    let times =
        |latency: &Histogram<u64>, of: &Histogram<u64>| p99(latency) as f64 / p99(of) as f64;
    let (mut compared, mut verdict) = (format!("{:>6} {:>6}", "", ""), String::new());
    if let Some(quiet) = quiet {
        let (set, get) = (
            times(&run.set_us, &quiet.set_us),
            times(&run.get_us, &quiet.get_us),
        );
        compared = format!("{set:>6.2} {get:>6.2}");
        let holds = |holds: bool| if holds { "held" } else { "MISSED" };
        verdict = format!(
            "clients {}, reaction {}",
            holds(set <= CLIENTS_AIM && get <= CLIENTS_AIM),
            holds(p99(&run.reaction_us) <= REACTION_AIM_US)
        );
    }
    println!(
        "{:<44} {:>10} {:>10} {:>10} {:>10} {:>12} {compared}  {verdict}",
        format!("{situation}, {part}"),
        run.set_us.value_at_quantile(0.5),
        p99(&run.set_us),
        run.get_us.value_at_quantile(0.5),
        p99(&run.get_us),
        p99(&run.reaction_us),
    );
}
