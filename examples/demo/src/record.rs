//! The records that scenes XX. The JSON printer writes them
//! as they are; the printer for people makes sentences of them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::probe::Latencies;
use super::processes::{Addresses, Ended};

/// The outcome of one scene, with the addresses at which they can be checked.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Record {
    /// The name of the scene.
    pub(super) scene: &'static str,
    /// The number of the scene, counted from 1.
    pub(super) number: usize,
    /// How long the scene took.
    pub(super) took_ms: f64,
    /// The addresses of the node.
    pub(super) addresses: Addresses,
    /// The group's generation when the scene ended; 0 before the first assignment.
    pub(super) generation: u64,
    /// The outcome of this kind of scene.
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

/// The outcome of each kind of scene.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Outcome {
    /// The node runs and its guests act.
    Started(Started),
    /// The group has another assignment.
    Dealt(Dealt),
    /// A binding has another module.
    Swapped(Swapped),
    /// An authorizer refused a write.
    Refused(Refused),
    /// The policy changed again and again.
    Flipped(Flipped),
    /// A guest looped.
    Looped(Looped),
    /// The looping guest was mended.
    Mended(Mended),
}

/// A started node, and its guests.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Started {
    /// The node's process id.
    pub(super) node_pid: u32,
    /// The temporary folder.
    pub(super) folder: String,
    /// From the start of the process to its ready line.
    pub(super) ready_after_ms: f64,
    /// The modules of the pushed guests, by the guests' names.
    pub(super) pushed: BTreeMap<&'static str, String>,
    /// The bindings that were set.
    pub(super) bindings: Vec<Binding>,
}

/// A binding that acts.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Binding {
    /// The name of the binding.
    pub(super) name: &'static str,
    /// The guest whose module it names.
    pub(super) guest: &'static str,
    /// recipe, assignor or authorizer.
    pub(super) world: String,
    /// The name of the module: `sha256:` and 64 hex digits.
    pub(super) module: String,
    /// The zxid since which the module acts.
    pub(super) activation: u64,
}

/// A new assignment after members joined or were killed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Dealt {
    /// The members that joined or were killed.
    pub(super) who: Vec<String>,
    /// The process ids of the consumers, by member.
    pub(super) consumer_pids: BTreeMap<String, u32>,
    /// The assignor that computed the assignment.
    pub(super) strategy: &'static str,
    /// The generation when the scene began.
    pub(super) generation_before: u64,
    /// Partitions by member.
    pub(super) assignment: BTreeMap<String, Vec<u32>>,
    /// Partitions with another owner than at the beginning of the scene; those without an owner
    /// then do not count.
    pub(super) moved: usize,
    /// From SIGKILL to the deletion of the member's ephemeral znode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expired_after_ms: Option<f64>,
    /// From the creation or deletion of the ephemeral znode to the new assignment, measured by the
    /// events of one client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reassigned_after_ms: Option<f64>,
    /// From the new assignment to its line of the last consumer.
    pub(super) told_after_ms: f64,
}

/// The swap of a binding's module.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Swapped {
    /// The name of the binding.
    pub(super) binding: &'static str,
    /// The guest before the swap.
    pub(super) from: &'static str,
    /// The module of that guest.
    pub(super) from_module: String,
    /// The guest after the swap.
    pub(super) to: &'static str,
    /// The module of that guest.
    pub(super) to_module: String,
    /// The zxid since which the module acts.
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
    /// The znode that the refused write was for.
    pub(super) path: &'static str,
    /// The znode's version after the allowed write, before the authorizer was bound.
    pub(super) version: i32,
    /// The error of the same write after the authorizer was bound.
    pub(super) error: String,
    /// Whether the same client may still read the znode.
    pub(super) may_read: bool,
}

/// Policy changes, each followed by one request of another client.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Flipped {
    /// The znode that holds the policy.
    pub(super) policy: &'static str,
    /// The version of that znode at the end of the scene.
    pub(super) policy_version: i32,
    /// The znode that was written to.
    pub(super) path: &'static str,
    /// The version of that znode at the end of the scene.
    pub(super) version: i32,
    /// The number of policy changes.
    pub(super) changes: usize,
    /// The requests after a change that were allowed, as the policy demanded.
    pub(super) allowed: usize,
    /// The requests after a change that were refused, as the policy demanded.
    pub(super) refused: usize,
    /// The zxid of the last policy change.
    pub(super) last_change_zxid: i64,
    /// The zxid of the write after it.
    pub(super) last_write_zxid: i64,
    /// The longest time from the reply to a change to the answer of the next request.
    pub(super) slowest_ms: f64,
}

/// A guest that loops without end.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Looped {
    /// The guest's binding.
    pub(super) binding: Binding,
    /// The fuel limit of one run.
    pub(super) fuel: u64,
    /// From the activation to the first stop by the host.
    pub(super) stopped_after_ms: u64,
    /// The latencies of a client before the loop.
    pub(super) before: Latencies,
    /// The latencies of the same client between the activation and the first stop.
    pub(super) during: Latencies,
    /// Requests of that client that were answered until the breaker was open.
    pub(super) served: usize,
    /// How often the host stopped the guest until then.
    pub(super) failures: u64,
    /// The state of the binding's breaker.
    pub(super) breaker: String,
    /// The binding's last error.
    pub(super) error: String,
    /// The znode that the guest wrote in its transaction before it looped.
    pub(super) out: &'static str,
    /// Whether that znode exists, which it must not.
    pub(super) out_exists: bool,
}

/// The guest after it was mended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Mended {
    /// The guest's binding.
    pub(super) binding: Binding,
    /// Runs that ended well.
    pub(super) invocations: u64,
    /// Runs that failed, in all.
    pub(super) failures: u64,
    /// The state of the binding's breaker.
    pub(super) breaker: String,
    /// The znode that the guest writes.
    pub(super) out: &'static str,
    /// The data that it wrote.
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
    /// Always `summary`, to tell it from a scene.
    pub(super) scene: &'static str,
    /// Scenes that were played.
    pub(super) scenes: usize,
    /// The time of all scenes, without the waits for a newline.
    pub(super) took_ms: f64,
    /// The addresses of the node.
    pub(super) addresses: Addresses,
    /// The group's last generation.
    pub(super) generation: u64,
    /// Partitions moved when a consumer joined.
    pub(super) moved_by_join: Compared,
    /// Partitions moved when a consumer was killed.
    pub(super) moved_by_kill: Compared,
    /// Partitions moved by the swap itself.
    pub(super) moved_by_swap: usize,
    /// The median latency of a write, before and during the loop.
    pub(super) write_p50_ms: [f64; 2],
    /// How the processes ended.
    #[serde(flatten)]
    pub(super) ended: Ended,
}
