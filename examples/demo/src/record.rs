//! The records that scenes XX. The JSON printer writes them
//! as they are; the printer for people makes sentences of them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::nodes::{Addresses, NodeInfo};
use super::probe::Latencies;
use super::processes::Ended;

/// The outcome of one scene, with the addresses at which they can be checked.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Record {
    /// The name of the scene.
    pub(super) scene: &'static str,
    /// The number of the scene, counted from 1.
    pub(super) number: usize,
    /// How long the scene took.
    pub(super) took_ms: f64,
    /// The addresses of the first node.
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
    /// The nodes run and their guests act.
    Started(Started),
    /// The group has another assignment.
    Dealt(Dealt),
    /// A binding has another module.
    Swapped(Swapped),
    /// The leader was killed.
    FailedOver(Box<FailedOver>),
    /// An authorizer refused a write.
    Refused(Refused),
    /// The policy changed again and again.
    Flipped(Flipped),
    /// A guest looped.
    Looped(Looped),
    /// The looping guest was mended.
    Mended(Mended),
}

/// The started nodes, and their guests.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Started {
    /// The nodes, by their numbers.
    pub(super) nodes: Vec<NodeInfo>,
    /// The number of the node that leads.
    pub(super) leader: u64,
    /// Its term.
    pub(super) term: u64,
    /// The temporary folder.
    pub(super) folder: String,
    /// From the start of the processes until all are ready and one of them leads.
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

/// The death of the leader while orders arrive and the assignor is swapped.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FailedOver {
    /// The binding of the guest that confirms orders.
    pub(super) confirm: Binding,
    /// The node that led and was killed.
    pub(super) killed: u64,
    /// The node that leads since then.
    pub(super) leader: u64,
    /// The term of the killed leader.
    pub(super) term_before: u64,
    /// The term of its successor.
    pub(super) term: u64,
    /// The longest time after the kill in which no write was acknowledged, by a client that writes
    /// all the time on one connection to another node.
    pub(super) no_write_for_ms: f64,
    /// The median time between two acknowledged writes of that client.
    pub(super) write_p50_ms: f64,
    /// The znodes that the client created.
    pub(super) orders: usize,
    /// Those to which the guest reacted exactly once.
    pub(super) confirmed_once: usize,
    /// Those to which it reacted more than once, or not at all.
    pub(super) confirmed_otherwise: usize,
    /// The longest time in which two consumers believed to own one partition.
    pub(super) two_owners_ms: f64,
    /// The longest time in which no consumer believed to own some partition.
    pub(super) no_owner_ms: f64,
    /// The assignor's binding, which was being set when the leader was killed.
    pub(super) balance: Binding,
    /// From the request to the activation.
    pub(super) swapped_after_ms: f64,
    /// The process id of the killed node after its restart.
    pub(super) restarted_pid: u32,
    /// From the restart of the killed node until it served what was written before.
    pub(super) back_after_ms: f64,
    /// The assignment after the swap and the consumer that joined.
    #[serde(flatten)]
    pub(super) dealt: Dealt,
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
    /// The addresses of the first node.
    pub(super) addresses: Addresses,
    /// The group's last generation.
    pub(super) generation: u64,
    /// Partitions moved when a consumer joined.
    pub(super) moved_by_join: Compared,
    /// Partitions moved when a consumer was killed.
    pub(super) moved_by_kill: Compared,
    /// Partitions moved by the swap itself.
    pub(super) moved_by_swap: usize,
    /// The longest time without an acknowledged write after the leader was killed; missing with one
    /// node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) no_write_for_ms: Option<f64>,
    /// The median latency of a write, before and during the loop.
    pub(super) write_p50_ms: [f64; 2],
    /// How the processes ended.
    #[serde(flatten)]
    pub(super) ended: Ended,
}
