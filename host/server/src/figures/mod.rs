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
use process::build_date;
pub(crate) use process::{Process, calendar};
pub use recorded::{Counter, Figures};
pub(crate) use row::{Row, json_number};
pub(crate) use sizes::{folders, sizes};
pub(crate) use traffic::Totals;

/// The version as `srvr`, `mntr` and others print it: ZooKeeper's version first, which is what
/// parsers look for and which says who this really is, then when it was built.
///
/// ZooKeeper has printed that date in two ways: since 3.6 as `2026-02-11 20:18 UTC`, before as
/// `02/11/2026 20:18 GMT`. The parsers that look at it at all, among them the Go client's, take
/// the earlier one alone. (test: `the_go_clients_parser_takes_srvr`)
pub(crate) fn version() -> String {
    // The build script writes nothing but a number.
    let built_at_s = env!("INNKEEPER_BUILT_AT_S").parse().unwrap_or(0);
    format!("{VERSION}, built on {}", build_date(built_at_s))
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

/// Which provider of metrics is spoken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Provider {
    /// ZooKeeper's own: each key is a name and a number.
    Default,
    /// Prometheus's, which shows the process besides, and samples with labels.
    Prometheus,
}

impl Provider {
    /// The one that `mntr` and `/commands/monitor` speak for.
    pub(crate) fn configured<R: Runtime>(core: &Core<R>) -> Self {
        match core.settings.metrics {
            Some(_) => Provider::Prometheus,
            None => Provider::Default,
        }
    }
}

/// All figures as they are now, gauges first.
pub(crate) fn rows<R: Runtime>(core: &Core<R>, provider: Provider) -> Vec<Row> {
    let totals = core.figures.traffic.totals();
    let raft = core.replica().ok().map(|replica| replica.figures());
    let mut rows = gauges::rows(core, &totals);
    rows.extend(counters::rows(core, &totals, raft.as_deref()));
    rows.extend(summaries::rows(core, &totals, raft.as_deref()));
    rows.extend(own::rows(core));
    if provider == Provider::Prometheus {
        rows.extend(process::rows());
    }
    rows
}

/// What `srst` does.
pub(crate) fn reset<R: Runtime>(core: &Core<R>) {
    core.figures.reset();
    if let Ok(replica) = core.replica() {
        replica.figures().reset();
    }
}
