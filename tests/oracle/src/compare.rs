//! Runs one case on two servers, and finds where they differ.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use crate::answer::Pair;
use crate::deliberate::{self, Rule};
use crate::op::Case;
use crate::run::{Lines, Server, Transcript};
use crate::servers::{Process, Programs, Which};

/// Both servers, and the keeper's session on each.
pub struct Both {
    zookeeper: (Process, Server),
    innkeeper: (Process, Server),
    /// The number of roots that were used.
    roots: u64,
}

/// A step after which the servers' answers differ.
pub struct Difference {
    /// The number of the step; 0 is the opening of the sessions.
    pub step: usize,
    /// ZooKeeper's answers.
    pub zookeeper: Lines,
    /// Innkeeper's answers.
    pub innkeeper: Lines,
}

/// The result of a case.
pub struct Outcome {
    /// The first difference that is not deliberate.
    pub difference: Option<Difference>,
    /// The deliberate differences that it met.
    pub excused: Vec<&'static Rule>,
    /// How often ZooKeeper answered each operation with each code.
    pub pairs: HashMap<Pair, u64>,
}

impl Both {
    /// Starts ZooKeeper and the server to compare with it: Innkeeper, alone or as a follower, or a
    /// second ZooKeeper, which must not differ at all.
    pub fn start(programs: &Programs, folder: &Path, other: Which) -> anyhow::Result<Self> {
        let open = |which, name| -> anyhow::Result<(Process, Server)> {
            let process = Process::start(which, programs, &folder.join(name))?;
            let server = process
                .until_ready(|| Server::open(process.address))
                .map_err(|error| error.context(format!("{which:?} is not usable")))?;
            Ok((process, server))
        };
        Ok(Self {
            zookeeper: open(Which::ZooKeeper, "zookeeper")?,
            innkeeper: open(other, "other")?,
            roots: 0,
        })
    }

    /// Runs a case on both, below a fresh root.
    pub fn run(&mut self, case: &Case) -> anyhow::Result<Outcome> {
        self.roots += 1;
        // The root's name always has the same length, so that lengths are the same in every run.
        let root = format!("/c{:09}", self.roots);
        let (zookeeper, innkeeper) = (&mut self.zookeeper, &mut self.innkeeper);
        let (theirs, ours) = std::thread::scope(|scope| {
            let theirs = scope.spawn(|| zookeeper.1.run(case, &root));
            let ours = innkeeper.1.run(case, &root);
            (theirs.join(), ours)
        });
        let theirs = theirs.unwrap_or_else(|_| anyhow::bail!("the client of ZooKeeper panicked"));
        let theirs = theirs.map_err(|error| {
            error.context(format!(
                "ZooKeeper failed; the end of its log:\n{}",
                zookeeper.0.log_end()
            ))
        })?;
        let ours = ours.map_err(|error| {
            error.context(format!(
                "Innkeeper failed; the end of its log:\n{}",
                innkeeper.0.log_end()
            ))
        })?;
        Ok(outcome(case, theirs, ours))
    }
}

fn outcome(case: &Case, theirs: Transcript, ours: Transcript) -> Outcome {
    let mut excused = Vec::new();
    let mut difference = None;
    for (at, (zookeeper, innkeeper)) in theirs.steps.into_iter().zip(ours.steps).enumerate() {
        if zookeeper == innkeeper {
            continue;
        }
        let step = at.checked_sub(1).map(|at| &case.steps[at]);
        if let Some(rule) = deliberate::rule(step, &zookeeper, &innkeeper) {
            excused.push(rule);
            if rule.ends {
                break;
            }
            continue;
        }
        difference = Some(Difference {
            step: at,
            zookeeper,
            innkeeper,
        });
        break;
    }
    Outcome {
        difference,
        excused,
        pairs: theirs.pairs,
    }
}

/// A difference, and the case that shows it.
pub struct Report<'a> {
    /// The case, reduced to the steps that are needed.
    pub case: &'a Case,
    /// The difference.
    pub difference: &'a Difference,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, difference } = self;
        writeln!(f, "seed {} ({}):", case.seed, case.profile)?;
        for (slot, opening) in case.sessions.iter().enumerate() {
            writeln!(
                f,
                "   opened s{slot} (timeout {}, read-only {:?})",
                opening.timeout_ms, opening.read_only
            )?;
        }
        for (at, step) in case.steps.iter().enumerate().take(difference.step) {
            let mark = if at + 1 == difference.step { ">" } else { " " };
            writeln!(f, " {mark} {step}")?;
        }
        for (who, lines) in [
            ("ZooKeeper", &difference.zookeeper),
            ("Innkeeper", &difference.innkeeper),
        ] {
            writeln!(f, "   {who} says:")?;
            for (slot, line) in lines {
                writeln!(f, "      s{slot} {line}")?;
            }
            if lines.is_empty() {
                writeln!(f, "      nothing")?;
            }
        }
        Ok(())
    }
}
