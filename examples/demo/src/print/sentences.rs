//! Makes sentences of records, for people.

use std::time::Instant;

use super::Board;
use super::table::{self, Paint};
use crate::group::Snapshot;
use crate::nodes::Addresses;
use crate::probe::Latency;
use crate::record::{
    Binding, Compared, Dealt, FailedOver, Flipped, Looped, Mended, Outcome, Record, Refused,
    Started, Summary, Swapped,
};

/// The lines of a scene's record.
pub(super) fn of(record: &Record, paint: Paint) -> Vec<String> {
    match &record.outcome {
        Outcome::Started(started) => of_start(started),
        Outcome::Dealt(dealt) => of_deal(dealt, paint),
        Outcome::Swapped(swapped) => of_swap(swapped, paint),
        Outcome::FailedOver(failed_over) => of_fail_over(failed_over, paint),
        Outcome::Refused(refused) => of_refusal(refused, paint),
        Outcome::Flipped(flipped) => of_flips(flipped),
        Outcome::Looped(looped) => of_loop(looped, paint),
        Outcome::Mended(mended) => of_mending(mended),
    }
}

fn of_start(started: &Started) -> Vec<String> {
    let ready = ms(started.ready_after_ms);
    let mut lines = vec![format!("ready after {ready}, data in {}", started.folder)];
    for node in &started.nodes {
        let Addresses {
            zookeeper, http, ..
        } = &node.addresses;
        let role = match started.nodes.len() {
            1 => "",
            _ if node.node == started.leader => ", leads",
            _ => ", follows",
        };
        lines.push(format!(
            "node {}: process {}, ZooKeeper {zookeeper}, HTTP {http}{role}",
            node.node, node.pid
        ));
    }
    lines.push(format!(
        "{} guests pushed: {}",
        started.pushed.len(),
        names(started.pushed.keys().copied())
    ));
    lines.extend(started.bindings.iter().map(of_binding));
    lines
}

fn of_binding(binding: &Binding) -> String {
    format!(
        "binding {:8} {:10} {} ({}), since zxid {:#x}",
        binding.name,
        binding.world,
        binding.guest,
        short(&binding.module),
        binding.activation
    )
}

fn of_deal(dealt: &Dealt, paint: Paint) -> Vec<String> {
    let partitions: usize = dealt.assignment.values().map(Vec::len).sum();
    let mut lines = Vec::new();
    if dealt.generation_before > 0 {
        lines.push(moved(dealt.moved, partitions, paint));
    }
    match (dealt.expired_after_ms, dealt.reassigned_after_ms) {
        (Some(expired), Some(reassigned)) => {
            lines.push(format!("its session expired {} after SIGKILL", ms(expired)));
            lines.push(format!("the new assignment came {} later", ms(reassigned)));
        }
        (None, Some(reassigned)) => {
            let reassigned = ms(reassigned);
            lines.push(format!(
                "the new assignment came {reassigned} after the member's ephemeral znode"
            ));
        }
        _ => {}
    }
    let (consumers, told) = (dealt.assignment.len(), ms(dealt.told_after_ms));
    lines.push(format!(
        "all {consumers} consumers had read it {told} later"
    ));
    lines
}

fn of_swap(swapped: &Swapped, paint: Paint) -> Vec<String> {
    let partitions: usize = swapped.assignment.values().map(Vec::len).sum();
    vec![
        moved(swapped.moved, partitions, paint),
        format!(
            "{} -> {}, active after {}, since zxid {:#x}",
            short(&swapped.from_module),
            short(&swapped.to_module),
            ms(swapped.active_after_ms),
            swapped.activation,
        ),
        format!(
            "the swap made `group` react ({}): it {}",
            counted(swapped.reactions, "reaction"),
            if swapped.moved == 0 {
                "moved no partition"
            } else {
                "dealt again"
            }
        ),
    ]
}

/// The table of the assignment after a swap.
pub(super) fn table(
    swapped: &Swapped,
    generation: u64,
    partitions: u32,
    paint: Paint,
) -> Vec<String> {
    let now = Snapshot {
        generation,
        owners: swapped.assignment.clone(),
    };
    let nobody: Option<(&str, Instant)> = None;
    let board = Board {
        now: &now,
        before: &Snapshot::default(),
        strategy: swapped.to,
        partitions,
        killed: nobody,
        leader: None,
        killed_node: None,
    };
    let mut lines = table::rows(&board, paint);
    lines.push(paint.dim(&format!("generation {generation}, by {}", swapped.to)));
    lines
}

fn of_fail_over(failed_over: &FailedOver, paint: Paint) -> Vec<String> {
    let mut lines = of_deal(&failed_over.dealt, paint);
    lines.extend([
        format!(
            "node {} led in term {}, node {} leads in term {}",
            failed_over.killed, failed_over.term_before, failed_over.leader, failed_over.term
        ),
        paint.bold(&format!(
            "no write was acknowledged for {}; one takes {} else",
            ms(failed_over.no_write_for_ms),
            ms(failed_over.write_p50_ms)
        )),
        format!(
            "a partition had two owners for {} at most, and none for {} at most",
            ms(failed_over.two_owners_ms),
            ms(failed_over.no_owner_ms)
        ),
        format!(
            "{} orders arrived; the guest reacted once to {} of them, and otherwise to {}",
            failed_over.orders, failed_over.confirmed_once, failed_over.confirmed_otherwise
        ),
        format!(
            "the swap that was under way: active after {}, since zxid {:#x}",
            ms(failed_over.swapped_after_ms),
            failed_over.balance.activation
        ),
        format!(
            "node {} was started again, and served all of it after {}",
            failed_over.killed,
            ms(failed_over.back_after_ms)
        ),
    ]);
    lines
}

fn of_refusal(refused: &Refused, paint: Paint) -> Vec<String> {
    vec![
        format!(
            "before: a client writes {}: done (version {})",
            refused.path, refused.version
        ),
        of_binding(&refused.binding),
        format!(
            "after:  the same write: {}; reading it is still allowed",
            paint.bad(&refused.error)
        ),
    ]
}

fn of_flips(flipped: &Flipped) -> Vec<String> {
    vec![
        format!(
            "{} changes of {}; next writes: {} refused and {} done, as it said",
            flipped.changes, flipped.policy, flipped.refused, flipped.allowed
        ),
        format!(
            "the last change has zxid {:#x}, the write after it {:#x}",
            flipped.last_change_zxid, flipped.last_write_zxid
        ),
        format!(
            "the slowest of these requests took {}",
            ms(flipped.slowest_ms)
        ),
    ]
}

fn of_loop(looped: &Looped, paint: Paint) -> Vec<String> {
    let row = |what: &str, when: &str, latency: &Latency| {
        format!(
            "{what:6} {when:16} {:>8} {:>10} {:>10} {:>10}",
            latency.requests,
            ms(latency.p50_ms),
            ms(latency.p99_ms),
            ms(latency.max_ms)
        )
    };
    let heading = format!(
        "{:6} {:16} {:>8} {:>10} {:>10} {:>10}",
        "", "", "requests", "p50", "p99", "slowest"
    );
    vec![
        of_binding(&looped.binding),
        paint.dim(&heading),
        row("writes", "before", &looped.before.writes),
        row("", "during the loop", &looped.during.writes),
        row("reads", "before", &looped.before.reads),
        row("", "during the loop", &looped.during.reads),
        format!(
            "stopped after {}: {}",
            ms(looped.stopped_after_ms as f64),
            clause(&looped.error)
        ),
        format!(
            "stopped {} in all, its breaker is {}; {} {}",
            counted(looped.failures, "time"),
            looped.breaker,
            looped.out,
            if looped.out_exists {
                "exists, which is a mistake"
            } else {
                "was never written"
            }
        ),
        format!(
            "{} requests were answered meanwhile, none failed",
            looped.served
        ),
    ]
}

fn of_mending(mended: &Mended) -> Vec<String> {
    vec![format!(
        "since zxid {:#x}: {} ended well, {} holds `{}`, its breaker is {}",
        mended.binding.activation,
        counted(mended.invocations, "run"),
        mended.out,
        mended.written,
        mended.breaker
    )]
}

/// The lines of the summary.
pub(super) fn summary(summary: &Summary) -> Vec<String> {
    let row = |what: &str, range: &str, sticky: &str| format!("{what:34} {range:>7} {sticky:>7}");
    let of =
        |what, moved: &Compared| row(what, &moved.range.to_string(), &moved.sticky.to_string());
    let [before, during] = summary.write_p50_ms;
    let mut lines = vec![
        row("partitions moved when", "range", "sticky"),
        of("  a consumer joined", &summary.moved_by_join),
        of("  a consumer was killed", &summary.moved_by_kill),
        row(
            "  range was swapped for sticky",
            "",
            &summary.moved_by_swap.to_string(),
        ),
        format!(
            "median write: {} before the endless loop, {} during it",
            ms(before),
            ms(during)
        ),
    ];
    if let Some(pause) = summary.no_write_for_ms {
        lines.push(format!(
            "no write was acknowledged for {} when the leader was killed",
            ms(pause)
        ));
    }
    let codes = summary.ended.node_exit_codes.iter();
    let codes: Vec<_> = codes
        .map(|code| code.map_or_else(|| "none".to_owned(), |code| code.to_string()))
        .collect();
    lines.extend([
        format!(
            "{} scenes in {:.1} s; {} consumers closed their sessions, the {} stopped with exit code {}",
            summary.scenes,
            summary.took_ms / 1000.0,
            summary.ended.consumers_left,
            if codes.len() == 1 { "node" } else { "nodes" },
            codes.join(", "),
        ),
        format!(
            "{} left running, the folder is {}",
            if summary.ended.left_running == 0 {
                "nothing".to_owned()
            } else {
                summary.ended.left_running.to_string()
            },
            if summary.ended.folder_removed {
                "gone"
            } else {
                "still there"
            }
        ),
    ]);
    lines
}

fn moved(moved: usize, partitions: usize, paint: Paint) -> String {
    paint.bold(&format!("{moved} of {partitions} partitions moved"))
}

fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// An error up to its first colon. The details after it are for the guest's author.
fn clause(error: &str) -> &str {
    error.split_once(": ").map_or(error, |(clause, _)| clause)
}

/// The beginning of a module's name: `sha256:01234567…`.
fn short(module: &str) -> String {
    format!(
        "{}…",
        module.chars().take("sha256:".len() + 8).collect::<String>()
    )
}

/// Milliseconds for people.
fn ms(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.2} ms"),
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1_000.0),
    }
}
