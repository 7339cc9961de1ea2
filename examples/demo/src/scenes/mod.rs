//! The scenes in their order.
//!
//! | Scene | What happens |
//! |---|---|
//! | `start` | the nodes start and form a group; the guests are pushed and bound |
//! | `assign` | the consumers join; `range` assigns the partitions |
//! | `join`, `kill` | one more consumer joins; one is killed |
//! | `swap` | the assignor's binding gets the module of `sticky` |
//! | `rejoin`, `rekill` | the same two events under `sticky`: fewer partitions move |
//! | `failover` | the leader is killed while orders arrive, the assignor is swapped, and a consumer joins; not with one node |
//! | `refuse`, `flip` | an authorizer refuses a write; each policy change holds for the next request |
//! | `loop`, `mend` | a guest loops and is stopped while a client is served; then it is mended |

mod failover;
mod group;
mod policy;
mod runaway;
mod start;

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::nodes::Addresses;
use super::print::{Printer, no_stdout};
use super::probe::ms;
use super::processes::{Ended, Processes, SESSION_TIMEOUT_MS};
use super::record::{Compared, Dealt, Looped, Outcome, Record, Summary, Swapped};
use super::stage::Stage;
use super::steps::Steps;
use super::{DemoArgs, Guest};

/// The number of scenes with so many nodes.
pub(super) const fn count(nodes: u64) -> usize {
    if nodes > 1 { 12 } else { 11 }
}

/// What the summary needs of the played scenes.
pub(super) struct Played {
    addresses: Addresses,
    generation: u64,
    scenes: usize,
    took: Duration,
    join: Dealt,
    kill: Dealt,
    swap: Swapped,
    rejoin: Dealt,
    rekill: Dealt,
    no_write_for_ms: Option<f64>,
    looped: Looped,
}

impl Played {
    pub(super) fn summary(self, ended: Ended) -> Summary {
        Summary {
            scene: "summary",
            scenes: self.scenes,
            took_ms: ms(self.took),
            addresses: self.addresses,
            generation: self.generation,
            moved_by_join: Compared {
                range: self.join.moved,
                sticky: self.rejoin.moved,
            },
            moved_by_kill: Compared {
                range: self.kill.moved,
                sticky: self.rekill.moved,
            },
            moved_by_swap: self.swap.moved,
            no_write_for_ms: self.no_write_for_ms,
            write_p50_ms: [
                self.looped.before.writes.p50_ms,
                self.looped.during.writes.p50_ms,
            ],
            ended,
        }
    }
}

/// Numbers and times the scenes, and prints their records.
struct Theatre<'a> {
    steps: &'a mut Steps,
    played: usize,
    took: Duration,
    curtain: Instant,
}

impl Theatre<'_> {
    /// Announces the next scene.
    fn open(&mut self, printer: &mut Printer, sentence: &str) -> anyhow::Result<()> {
        self.played += 1;
        self.curtain = Instant::now();
        Ok(printer.open(self.played, sentence).map_err(no_stdout)?)
    }

    /// Prints the record of the scene, and waits for a newline with `--step`.
    async fn close(
        &mut self,
        stage: &mut Stage<'_>,
        scene: &'static str,
        outcome: Outcome,
    ) -> anyhow::Result<()> {
        let took = self.curtain.elapsed();
        self.took += took;
        // A change of the assignment between scenes would falsify the measurements of the next one.
        let now = stage.group.now().await?;
        ensure!(
            now == stage.snapshot,
            "the assignment changed although no consumer joined or was killed: is this machine too busy for sessions of {SESSION_TIMEOUT_MS} ms?"
        );
        let record = Record {
            scene,
            number: self.played,
            took_ms: ms(took),
            addresses: stage.addresses.clone(),
            generation: stage.snapshot.generation,
            outcome,
        };
        let partitions = stage.args.partitions;
        stage
            .printer
            .close(&record, partitions)
            .map_err(no_stdout)?;
        self.steps.next().await
    }
}

/// Plays all scenes.
pub(super) async fn play(
    args: &DemoArgs,
    guests: &[&'static Guest],
    processes: &mut Processes,
    printer: &mut Printer,
    steps: &mut Steps,
) -> anyhow::Result<Played> {
    let (nodes, members, partitions) = (args.nodes, args.members, args.partitions);
    let mut theatre = Theatre {
        steps,
        played: 0,
        took: Duration::ZERO,
        curtain: Instant::now(),
    };

    printer
        .title(nodes, members, partitions)
        .map_err(no_stdout)?;
    let sentence = match nodes {
        1 => "A node starts; guests are pushed to it and bound.".to_owned(),
        nodes => format!("{nodes} nodes start and elect a leader; guests are pushed and bound."),
    };
    theatre.open(printer, &sentence)?;
    let (mut stage, started) = start::start(args, guests, processes, printer).await?;
    let stage = &mut stage;
    theatre
        .close(stage, "start", Outcome::Started(started))
        .await?;

    let sentence = format!(
        "{members} consumers join; the guest `group` assigns {partitions} partitions to them, by `range`."
    );
    theatre.open(stage.printer, &sentence)?;
    let assign = group::assign(stage).await?;
    theatre
        .close(stage, "assign", Outcome::Dealt(assign))
        .await?;

    let newcomer = stage.member(members + 1);
    theatre.open(
        stage.printer,
        &format!("{newcomer} joins; `range` assigns all partitions anew."),
    )?;
    let join = group::join(stage, &newcomer).await?;
    theatre
        .close(stage, "join", Outcome::Dealt(join.clone()))
        .await?;

    let victim = stage.member(2);
    let sentence = format!(
        "{victim} is killed (SIGKILL); its session expires, and others get its partitions."
    );
    theatre.open(stage.printer, &sentence)?;
    let kill = group::kill(stage, &victim).await?;
    theatre
        .close(stage, "kill", Outcome::Dealt(kill.clone()))
        .await?;

    theatre.open(
        stage.printer,
        "Hot swap: the module of `sticky` replaces that of `range` in the binding `balance`.",
    )?;
    let swap = group::swap(stage).await?;
    theatre
        .close(stage, "swap", Outcome::Swapped(swap.clone()))
        .await?;

    theatre.open(
        stage.printer,
        &format!("{victim} comes back, now under `sticky`."),
    )?;
    let rejoin = group::join(stage, &victim).await?;
    theatre
        .close(stage, "rejoin", Outcome::Dealt(rejoin.clone()))
        .await?;

    theatre.open(
        stage.printer,
        &format!("{victim} is killed again, now under `sticky`."),
    )?;
    let rekill = group::kill(stage, &victim).await?;
    theatre
        .close(stage, "rekill", Outcome::Dealt(rekill.clone()))
        .await?;

    let mut no_write_for_ms = None;
    if nodes > 1 {
        let leader = failover::leader(stage).await?;
        let sentence = format!(
            "Node {}, the leader, is killed (SIGKILL) while orders arrive and `range` is swapped in; then {victim} joins.",
            leader.node
        );
        theatre.open(stage.printer, &sentence)?;
        let failed_over = failover::fail_over(stage, &leader, &victim).await?;
        no_write_for_ms = Some(failed_over.no_write_for_ms);
        theatre
            .close(
                stage,
                "failover",
                Outcome::FailedOver(Box::new(failed_over)),
            )
            .await?;
    }

    theatre.open(
        stage.printer,
        "An authorizer is bound to /**: it refuses a write that ACLs allow.",
    )?;
    let refused = policy::refuse(stage).await?;
    theatre
        .close(stage, "refuse", Outcome::Refused(refused))
        .await?;

    theatre.open(
        stage.printer,
        "The policy changes again and again; each time it holds for another client's next request.",
    )?;
    let flipped = policy::flip(stage).await?;
    theatre
        .close(stage, "flip", Outcome::Flipped(flipped))
        .await?;

    theatre.open(
        stage.printer,
        "A guest loops without end and is stopped; a client is served all the time.",
    )?;
    let looped = runaway::run_away(stage).await?;
    theatre
        .close(stage, "loop", Outcome::Looped(looped.clone()))
        .await?;

    theatre.open(
        stage.printer,
        "The guest is mended by setting its binding again.",
    )?;
    let mended = runaway::mend(stage).await?;
    theatre
        .close(stage, "mend", Outcome::Mended(mended))
        .await?;

    Ok(Played {
        addresses: stage.addresses.clone(),
        generation: stage.snapshot.generation,
        scenes: theatre.played,
        took: theatre.took,
        join,
        kill,
        swap,
        rejoin,
        rekill,
        no_write_for_ms,
        looped,
    })
}
