//! The node's figures: one registry, several renderings.
//!
//! 1. The parts of the node record as they work, in [`Figures`]: connections in shards of sums,
//!    apply and the log in summaries.
//! 2. Whoever shows figures calls `rows`: the recorded ones and what can be asked of the state,
//!    each once, under ZooKeeper's name where it has one and as `innkeeper_*` otherwise.
//! 3. `render::lines` makes the pairs of name and value of `mntr` and of
//!    `/commands/monitor`; `metrics.rs` makes Prometheus's text.
//!
//! A row of ZooKeeper's that says something of a part that is not here (its processors' queues,
//! Netty, the quorum's learners) is there and empty, as it is in ZooKeeper where the part has
//! nothing to do, so that dashboards and parsers find every key. Rows about the JVM are left out.

mod counters;
mod gauges;
mod namespaces;
mod own;
mod process;
mod quotas;
mod recorded;
pub(crate) mod render;
mod row;
mod sizes;
mod summaries;
mod traffic;

use innkeeper_runtime::Runtime;

use crate::core::Core;
use crate::quorum::Held;
use crate::settings::VERSION;

pub(crate) use gauges::without_tls;
pub(crate) use namespaces::{Namespace, Namespaces, top};
pub(crate) use process::{Process, calendar};
pub use recorded::{Counter, Figures};
pub(crate) use row::{Row, json_number};
pub(crate) use sizes::{folders, sizes};
pub(crate) use traffic::Totals;

/// The version as `srvr`, `mntr` and others print it: ZooKeeper's version first, which is what
/// parsers look for, then who this really is.
pub(crate) fn version() -> String {
    format!(
        "{VERSION}, built on innkeeper {}",
        env!("CARGO_PKG_VERSION")
    )
}

/// Whether the node serves, and whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Serves {
    /// All who come.
    All,
    /// Without a quorum: those who only read and have said so.
    Readers,
    /// Without a quorum, and without read-only mode: nobody.
    Nobody,
}

impl Serves {
    /// As it is now.
    pub(crate) fn now<R: Runtime>(core: &Core<R>) -> Self {
        match core.quorum.moment().0 {
            Held::Held => Serves::All,
            Held::Lost if core.settings.read_only_mode => Serves::Readers,
            Held::Lost => Serves::Nobody,
        }
    }

    /// What the node is in its ensemble, in ZooKeeper's words.
    pub(crate) fn state(self) -> &'static str {
        match self {
            Serves::All => "standalone",
            Serves::Readers | Serves::Nobody => "read-only",
        }
    }
}

/// How long the node has been up, in milliseconds.
pub(crate) fn uptime_ms<R: Runtime>(core: &Core<R>) -> u64 {
    u64::try_from((core.runtime.now() - core.started).as_millis()).unwrap_or(u64::MAX)
}

/// All figures as they are now, gauges first.
pub(crate) fn rows<R: Runtime>(core: &Core<R>) -> Vec<Row> {
    let totals = core.figures.traffic.totals();
    let raft = core.replica().ok().map(|replica| replica.figures());
    let mut rows = gauges::rows(core, &totals);
    rows.extend(counters::rows(core, &totals, raft.as_deref()));
    rows.extend(summaries::rows(core, &totals, raft.as_deref()));
    rows.extend(own::rows(core));
    rows
}

/// What `srst` does.
pub(crate) fn reset<R: Runtime>(core: &Core<R>) {
    core.figures.reset();
    if let Ok(replica) = core.replica() {
        replica.figures().reset();
    }
}
