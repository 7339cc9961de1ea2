//! `innkeeper-oracle`: compare Innkeeper with a real ZooKeeper.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a testing client stands outside the host, on the real clock, disk and sockets"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use innkeeper_oracle::compare::{Both, Report};
use innkeeper_oracle::coverage::Coverage;
use innkeeper_oracle::deliberate::NOT_COMPARED;
use innkeeper_oracle::op::Case;
use innkeeper_oracle::servers::{Programs, Which};
use innkeeper_oracle::{directed, generate, shrink};

/// The folder for data, if it exists: it is in memory, since both servers sync every write, and
/// this test does not need the data after a crash.
const MEMORY: &str = "/dev/shm";

/// Send the same requests to Innkeeper and to a real ZooKeeper, and compare every answer.
#[derive(Parser)]
#[command(name = "innkeeper-oracle")]
struct Args {
    /// The folder of ZooKeeper's jars (scripts/zookeeper.sh fetches them)
    #[arg(long)]
    jars: PathBuf,
    /// The server to compare [default: innkeeper beside this program]
    #[arg(long)]
    innkeeper: Option<PathBuf>,
    /// Run this seed alone; may be given several times
    #[arg(long, conflicts_with_all = ["from", "cases"])]
    seed: Vec<u64>,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many seeds
    #[arg(long, default_value_t = 300)]
    cases: u64,
    /// Stop after so many differences
    #[arg(long, default_value_t = 5)]
    differences: usize,
    /// Print cases as they are, without leaving out what a difference does not need
    #[arg(long)]
    whole: bool,
    /// Compare with a follower of three Innkeeper nodes instead of a node alone
    #[arg(long, conflicts_with = "zookeeper_twice")]
    follower: bool,
    /// Compare ZooKeeper with another ZooKeeper: whatever differs is this program's mistake
    #[arg(long)]
    zookeeper_twice: bool,
    /// Do not demand that every reachable pair of operation and error occurred
    #[arg(long)]
    no_coverage: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let innkeeper = match &args.innkeeper {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("innkeeper"),
    };
    let programs = Programs {
        jars: args.jars.clone(),
        innkeeper,
    };
    let memory = Path::new(MEMORY);
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
    .context("no temporary folder can be made")?;
    let cases: Box<dyn Iterator<Item = Case>> = if args.seed.is_empty() {
        let random = (args.from..args.from + args.cases).map(generate::case);
        Box::new(directed::cases().into_iter().chain(random))
    } else {
        let directed = directed::cases();
        Box::new(args.seed.clone().into_iter().map(move |seed| {
            directed
                .iter()
                .find(|case| case.seed == seed)
                .cloned()
                .unwrap_or_else(|| generate::case(seed))
        }))
    };
    let mut session = Session {
        programs,
        other: match (args.zookeeper_twice, args.follower) {
            (true, _) => Which::ZooKeeper,
            (_, true) => Which::Follower,
            _ => Which::Innkeeper,
        },
        folder,
        started: 0,
        coverage: Coverage::default(),
        excused: BTreeMap::new(),
        differences: 0,
    };
    let seeds = !args.seed.is_empty();
    let count = session.run(cases, &args)?;
    session.summary(count, !seeds && !args.no_coverage)
}

struct Session {
    programs: Programs,
    other: Which,
    folder: tempfile::TempDir,
    started: usize,
    coverage: Coverage,
    excused: BTreeMap<&'static str, (u64, &'static str)>,
    differences: usize,
}

impl Session {
    fn start(&mut self) -> anyhow::Result<Both> {
        self.started += 1;
        let folder = self.folder.path().join(self.started.to_string());
        Both::start(&self.programs, &folder, self.other)
    }

    fn run(&mut self, cases: impl Iterator<Item = Case>, args: &Args) -> anyhow::Result<u64> {
        let mut both = self.start()?;
        let mut count = 0;
        let mut said = Instant::now();
        for case in cases {
            count += 1;
            if said.elapsed() > Duration::from_secs(30) {
                eprintln!("oracle: {count} cases, {} differences", self.differences);
                said = Instant::now();
            }
            let outcome = match both.run(&case) {
                Ok(outcome) => outcome,
                Err(error) => {
                    println!(
                        "seed {} ({}) ended a server: {error:#}\n",
                        case.seed, case.profile
                    );
                    self.differences += 1;
                    if self.differences >= args.differences {
                        break;
                    }
                    both = self.start()?;
                    continue;
                }
            };
            self.coverage.add(outcome.pairs);
            for rule in outcome.excused {
                self.excused.entry(rule.name).or_insert((0, rule.reason)).0 += 1;
            }
            let Some(difference) = outcome.difference else {
                continue;
            };
            self.differences += 1;
            let shown = if args.whole {
                Ok((case.clone(), difference))
            } else {
                shrink::shrink(&mut both, &case, difference)
            };
            match shown {
                Ok((case, difference)) => println!(
                    "{}",
                    Report {
                        case: &case,
                        difference: &difference
                    }
                ),
                Err(error) => {
                    println!(
                        "seed {}: a server ended while shrinking: {error:#}\n",
                        case.seed
                    );
                    both = self.start()?;
                }
            }
            if self.differences >= args.differences {
                println!("{} differences are enough for one run", self.differences);
                break;
            }
        }
        Ok(count)
    }

    fn summary(&self, count: u64, demand_coverage: bool) -> anyhow::Result<ExitCode> {
        println!("{}", self.coverage);
        for (name, (times, reason)) in &self.excused {
            println!("deliberate, {times} times: {name}\n    {reason}");
        }
        for (what, reason) in NOT_COMPARED {
            println!("not compared: {what}\n    {reason}");
        }
        println!("{count} cases, {} differences", self.differences);
        let mut good = self.differences == 0;
        for (operation, error) in self.coverage.unlisted() {
            println!("tests/oracle/pairs.txt lacks {operation}: {error}");
        }
        if demand_coverage {
            for (operation, error) in self.coverage.missing() {
                good = false;
                println!("never occurred: {operation}: {error}");
            }
        }
        Ok(if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
