//! What scenes return: figures that were read or measured, typed. The JSON printer writes them as
//! they are, the one for people makes sentences of them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::probe::Latencies;
use super::processes::{Addresses, Ended};

/// One scene's figures, and where they can be checked.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Record {
    /// What happened, in a word.
    pub(super) scene: &'static str,
    /// Counted from 1.
    pub(super) number: usize,
    /// How long the scene took.
    pub(super) took_ms: f64,
    /// Where the node is reached.
    pub(super) addresses: Addresses,
    /// The group's generation when the scene ended; 0 before the first assignment.
    pub(super) generation: u64,
    /// The rest.
    #[serde(flatten)]
    pub(super) figures: Figures,
}

/// The figures of each kind of scene.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Figures {
    /// The node runs and its guests act.
    Started(Started),
    /// The group has another assignment.
    Dealt(Dealt),
    /// A binding got another module.
    Swapped(Swapped),
    /// An authorizer refused a write.
    Refused(Refused),
    /// The policy changed again and again.
    Flipped(Flipped),
    /// A guest looped.
    Looped(Looped),
    /// It was mended.
    Mended(Mended),
}

/// A node, and its guests.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Started {
    /// The node's process.
    pub(super) node_pid: u32,
    /// The temporary folder.
    pub(super) folder: String,
    /// From the start of the process to its ready line.
    pub(super) ready_after_ms: f64,
    /// The pushed guests: their modules.
    pub(super) pushed: BTreeMap<&'static str, String>,
    /// The bindings that were written.
    pub(super) bindings: Vec<Binding>,
}

/// A binding that acts.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Binding {
    /// Its name.
    pub(super) name: &'static str,
    /// The guest whose module it names.
    pub(super) guest: &'static str,
    /// recipe, assignor or authorizer.
    pub(super) world: String,
    /// The module.
    pub(super) module: String,
    /// It acts from this zxid on.
    pub(super) activation: u64,
}

/// An assignment after members came or went.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Dealt {
    /// Who came or went.
    pub(super) who: Vec<String>,
    /// The consumers' processes, by member.
    pub(super) consumer_pids: BTreeMap<String, u32>,
    /// The assignor that dealt.
    pub(super) strategy: &'static str,
    /// The generation when the scene began.
    pub(super) generation_before: u64,
    /// Partitions by member.
    pub(super) assignment: BTreeMap<String, Vec<u32>>,
    /// Partitions that had an owner when the scene began and have another now.
    pub(super) moved: usize,
    /// From SIGKILL to the disappearance of the member's ephemeral.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expired_after_ms: Option<f64>,
    /// From the ephemeral's appearance or disappearance to the new assignment, both as events of
    /// one client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reassigned_after_ms: Option<f64>,
    /// From the new assignment to the last consumer's having printed it.
    pub(super) told_after_ms: f64,
}

/// Another module behind a binding.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Swapped {
    /// The binding.
    pub(super) binding: &'static str,
    /// The guest before.
    pub(super) from: &'static str,
    /// Its module.
    pub(super) from_module: String,
    /// The guest now.
    pub(super) to: &'static str,
    /// Its module.
    pub(super) to_module: String,
    /// It acts from this zxid on.
    pub(super) activation: u64,
    /// From the request to the activation.
    pub(super) active_after_ms: f64,
    /// The reactions of `group` that the swap caused.
    pub(super) reactions: u64,
    /// The generation when the scene began.
    pub(super) generation_before: u64,
    /// Partitions by member.
    pub(super) assignment: BTreeMap<String, Vec<u32>>,
    /// Partitions that moved because of the swap.
    pub(super) moved: usize,
}

/// A write that an authorizer refused.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Refused {
    /// The authorizer's binding.
    pub(super) binding: Binding,
    /// The znode that holds the policy.
    pub(super) policy: &'static str,
    /// The znode that was to be written.
    pub(super) path: &'static str,
    /// The znode's version after the write that was allowed, before the binding.
    pub(super) version: i32,
    /// ZooKeeper's error for the same write afterwards.
    pub(super) error: String,
    /// The same client may still read it.
    pub(super) may_read: bool,
}

/// Policy changes, each followed by one request of another client.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Flipped {
    /// The znode that holds the policy.
    pub(super) policy: &'static str,
    /// Its version now.
    pub(super) policy_version: i32,
    /// The znode that was written to.
    pub(super) path: &'static str,
    /// Its version now.
    pub(super) version: i32,
    /// Policy changes.
    pub(super) changes: usize,
    /// Next requests that were allowed, as the policy then said.
    pub(super) allowed: usize,
    /// Next requests that were refused, as the policy then said.
    pub(super) refused: usize,
    /// zxid of the last policy change.
    pub(super) last_change_zxid: i64,
    /// zxid of the write that followed it.
    pub(super) last_write_zxid: i64,
    /// From a change's reply to the next request's answer, the slowest.
    pub(super) slowest_ms: f64,
}

/// A guest without end.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Looped {
    /// Its binding.
    pub(super) binding: Binding,
    /// The fuel that one run may burn.
    pub(super) fuel: u64,
    /// From its activation to the moment at which the host stopped it.
    pub(super) stopped_after_ms: u64,
    /// A client's requests before.
    pub(super) before: Latencies,
    /// The same client's requests answered between activation and stop.
    pub(super) during: Latencies,
    /// Requests of that client answered until the breaker was open.
    pub(super) served: usize,
    /// How often it was stopped until then.
    pub(super) failures: u64,
    /// What the node says of the binding.
    pub(super) breaker: String,
    /// What the node says of the last run.
    pub(super) error: String,
    /// The znode that it had written in its transaction before it looped.
    pub(super) out: &'static str,
    /// Whether any of that is to be seen.
    pub(super) out_exists: bool,
}

/// The guest after it was mended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Mended {
    /// Its binding.
    pub(super) binding: Binding,
    /// Runs that ended well.
    pub(super) invocations: u64,
    /// Runs that did not, all told.
    pub(super) failures: u64,
    /// What the node says of the binding.
    pub(super) breaker: String,
    /// The znode that it writes.
    pub(super) out: &'static str,
    /// What it wrote.
    pub(super) written: String,
}

/// Partitions moved by the same event under two assignors.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Compared {
    /// Under `range`.
    pub(super) range: usize,
    /// Under `sticky`.
    pub(super) sticky: usize,
}

/// The whole demo.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    /// Always `summary`.
    pub(super) scene: &'static str,
    /// Scenes that were played.
    pub(super) scenes: usize,
    /// How long they took, without the waits for a newline.
    pub(super) took_ms: f64,
    /// Where the node was reached.
    pub(super) addresses: Addresses,
    /// The group's last generation.
    pub(super) generation: u64,
    /// Partitions moved when a consumer joined.
    pub(super) moved_by_join: Compared,
    /// Partitions moved when a consumer was killed.
    pub(super) moved_by_kill: Compared,
    /// Partitions moved by the swap itself.
    pub(super) moved_by_swap: usize,
    /// The median write, before and during the loop.
    pub(super) write_p50_ms: [f64; 2],
    /// How everything ended.
    #[serde(flatten)]
    pub(super) ended: Ended,
}
