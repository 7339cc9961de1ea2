//! Measures clients and a harmless binding beside hostile guests.
//!
//! 1. A server is started, and a harmless binding that answers each write of a znode below
//!    `/probe/in` with a write below `/probe/out`.
//! 2. Each round goes through all situations (`situations.rs`): a quiet run, the same run beside
//!    the hostile guests, and a second quiet run. In a run a few connections set, as many get, with
//!    one request in flight on each, and a probe measures the harmless binding's reactions.
//! 3. A table is printed: the medians of all rounds, how the clients' p99 compares with that of
//!    both quiet runs of the same round, and whether the aims are met. It also shows the noise: how
//!    much the p99 of the two quiet runs of a round differ. No result makes the program fail.

mod probe;
mod situations;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::{self, Workload};
use crate::node::Node;
use situations::{SITUATIONS, Situation, Stage};

/// The connections that set; as many others get.
const CONNECTIONS: usize = 4;

/// The aim for clients: their p99 beside hostile guests is at most so many times the quiet one.
const CLIENTS_AIM: f64 = 1.5;

/// The aim for the harmless binding's p99 beside hostile guests, in microseconds.
const REACTION_AIM_US: f64 = 100_000.0;

/// The time that guests get to end after they were unbound: their fuel lasts no longer. The
/// checkpoint of the prepared znodes takes about as long, too.
const SETTLE: Duration = Duration::from_secs(3);

/// The settings of a measurement.
pub struct Plan<'a> {
    /// How long each run takes.
    pub span: Duration,
    /// How often each situation is measured.
    pub rounds: usize,
    /// Only situations whose name contains this text; all of them if it is empty.
    pub only: &'a str,
}

/// The results of one run, in microseconds.
struct Run {
    set_us: Histogram<u64>,
    get_us: Histogram<u64>,
    reaction_us: Histogram<u64>,
}

/// One situation in one round.
struct Round {
    quiet: Run,
    beside: Run,
    quiet_again: Run,
}

/// Measures each situation and prints the table.
pub async fn measure(
    server: &Path,
    folder: &Path,
    modules: &Path,
    plan: &Plan<'_>,
) -> anyhow::Result<()> {
    let chosen: Vec<Situation> = SITUATIONS
        .into_iter()
        .filter(|situation| situation.name.contains(plan.only))
        .collect();
    anyhow::ensure!(
        !chosen.is_empty() && plan.rounds > 0,
        "no situation is named like {:?}, or there are no rounds",
        plan.only
    );
    let log = std::fs::File::create(folder.join("log"))?;
    let node = Node::start_logging(server, &folder.join("node"), Stdio::from(log))?;
    probe::bind(&node, modules).await?;
    let mut stage = Stage::new(&node, modules);
    stage.prepare().await?;
    // The checkpoint of that many znodes must not fall into a run.
    tokio::time::sleep(SETTLE).await;
    println!(
        "{CONNECTIONS} connections set and {CONNECTIONS} get, one request in flight on each; {} rounds of three runs of {:.1} s",
        plan.rounds,
        plan.span.as_secs_f64()
    );
    let mut number = 1_000;
    let mut measured: Vec<Vec<Round>> = chosen.iter().map(|_| Vec::new()).collect();
    for round in 1..=plan.rounds {
        for (situation, rounds) in chosen.iter().zip(&mut measured) {
            match self::round(&node, &mut stage, *situation, plan.span, &mut number).await {
                Ok(measured) => rounds.push(measured),
                Err(error) => println!("{}, round {round}: {error:#}", situation.name),
            }
        }
    }
    print(&chosen, &measured);
    println!(
        "the server had {} MiB of memory at most",
        node.peak_memory_bytes()? >> 20
    );
    node.stop()
}

/// Measures one situation once. Its guests are removed afterwards, also after an error.
async fn round(
    node: &Node,
    stage: &mut Stage<'_>,
    situation: Situation,
    span: Duration,
    number: &mut usize,
) -> anyhow::Result<Round> {
    let quiet = run(node, span, number).await?;
    let beside = match stage.begin(situation).await {
        Ok(()) => run(node, span, number).await,
        Err(error) => Err(error),
    };
    stage.end().await?;
    // Guests that still run end at their fuel, so the next quiet run is quiet.
    tokio::time::sleep(SETTLE).await;
    Ok(Round {
        quiet,
        beside: beside?,
        quiet_again: run(node, span, number).await?,
    })
}

/// One run: clients and probe side by side.
async fn run(node: &Node, span: Duration, number: &mut usize) -> anyhow::Result<Run> {
    *number += 2;
    let address = &node.zookeeper;
    let servers = [address];
    let (sets, gets, reaction_us) = tokio::try_join!(
        load::run(&servers, Workload::Set, CONNECTIONS, 1, span, *number),
        load::run(&servers, Workload::Get, CONNECTIONS, 1, span, *number + 1),
        probe::measure(address, span),
    )?;
    Ok(Run {
        set_us: sets.latency_us,
        get_us: gets.latency_us,
        reaction_us,
    })
}

fn p99(latency: &Histogram<u64>) -> f64 {
    latency.value_at_quantile(0.99) as f64
}

/// One of the three latencies of a run.
type Part = fn(&Run) -> &Histogram<u64>;

impl Round {
    /// The p99 beside hostile guests, as a multiple of the quiet one.
    fn times(&self, part: Part) -> f64 {
        let mut quiet = part(&self.quiet).clone();
        quiet += part(&self.quiet_again);
        p99(part(&self.beside)) / p99(&quiet)
    }

    /// The greater of the two quiet p99, as a multiple of the smaller one.
    fn noise(&self, part: Part) -> f64 {
        let (one, other) = (p99(part(&self.quiet)), p99(part(&self.quiet_again)));
        one.max(other) / one.min(other)
    }
}

/// The median of some values; of an even number, the greater one of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn print(situations: &[Situation], measured: &[Vec<Round>]) {
    let sets: Part = |run| &run.set_us;
    let gets: Part = |run| &run.get_us;
    let reactions: Part = |run| &run.reaction_us;
    println!(
        "{:<46} {:>8} {:>8} {:>8} {:>8} {:>8}  {:>6} {:>6} {:>6} {:>6}  aims; sets of each round",
        "medians, in us",
        "set p50",
        "set p99",
        "get p50",
        "get p99",
        "reaction",
        "set x",
        "get x",
        "noise",
        "noise",
    );
    for (situation, rounds) in situations.iter().zip(measured) {
        if rounds.is_empty() {
            continue;
        }
        let over = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value));
        let line = |name: &str, run: fn(&Round) -> &Run| {
            let p50 =
                |part: Part| over(&|round: &Round| part(run(round)).value_at_quantile(0.5) as f64);
            let p99 = |part: Part| over(&|round: &Round| p99(part(run(round))));
            format!(
                "{:<46} {:>8.0} {:>8.0} {:>8.0} {:>8.0} {:>8.0}",
                format!("{}, {name}", situation.name),
                p50(sets),
                p99(sets),
                p50(gets),
                p99(gets),
                p99(reactions),
            )
        };
        println!("{}", line("quiet", |round| &round.quiet));
        let (set, get) = (
            over(&|round| round.times(sets)),
            over(&|round| round.times(gets)),
        );
        let reaction_us = over(&|round| p99(&round.beside.reaction_us));
        let holds = |holds: bool| if holds { "held" } else { "MISSED" };
        let each: Vec<String> = rounds
            .iter()
            .map(|round| format!("{:.1}", round.times(sets)))
            .collect();
        println!(
            "{}  {set:>6.2} {get:>6.2} {:>6.2} {:>6.2}  clients {}, reaction {}; {}",
            line("beside", |round| &round.beside),
            over(&|round| round.noise(sets)),
            over(&|round| round.noise(gets)),
            holds(set <= CLIENTS_AIM && get <= CLIENTS_AIM),
            holds(reaction_us <= REACTION_AIM_US),
            each.join(" "),
        );
    }
}
