//! The node's metrics: one set of tables, several renderings.
//!
//! 1. The parts of the node record as they work, in [`Stats`](innkeeper_server::stats::Stats):
//!    connections in shards of sums, apply and the log in summaries.
//! 2. `rows` reads the tables (`row`): what was recorded and what can be asked of the state, each
//!    once, under ZooKeeper's name where it has one and as `innkeeper_*` otherwise.
//! 3. `render::lines` makes the pairs of name and value of `mntr` and of `/commands/monitor`;
//!    `prometheus` makes Prometheus's text.
//!
//! A metric of ZooKeeper's about a part that is not here (its processors' queues, Netty, the
//! messages between a leader and its learners) is there and empty, as it is in ZooKeeper where the part has nothing to do, so
//! that dashboards and parsers find every key. Metrics about Java's machine are left out.

mod counters;
pub(crate) mod disk_usage;
mod ensemble;
mod gauges;
mod innkeeper;
mod metric;
mod process;
pub(crate) mod prometheus;
mod quotas;
pub(crate) mod render;
mod row;
mod summaries;

use innkeeper_runtime::{Runtime, calendar};
use innkeeper_server::service::Service;
use innkeeper_server::settings::VERSION;

use super::settings::AdminSettings;
use super::surface::Surface;

pub(crate) use disk_usage::{folders, sizes};
pub(crate) use metric::{Metric, json_number};
pub(crate) use process::Process;
use row::{Row, Sample};

/// The version as `srvr`, `mntr` and others print it: ZooKeeper's version first, which is what
/// parsers look for, then Innkeeper's own, then when it was built.
///
/// ZooKeeper has printed that date in two forms: since 3.6 as `2026-02-11 20:18 UTC`, before as
/// `02/11/2026 20:18 GMT`. Parsers that read the date, the Go client's among them, know only the
/// earlier form, so this is the one here. (test: `the_go_clients_parser_takes_srvr`)
pub(crate) fn version(settings: &AdminSettings) -> String {
    format!(
        "{VERSION}, built on {}",
        calendar::build_date(settings.built_at_s.saturating_mul(1000))
    )
}

/// How long the node has been up, in milliseconds.
pub(crate) fn uptime_ms<R: Runtime>(service: &Service<R>) -> u64 {
    u64::try_from((service.runtime.now() - service.started).as_millis()).unwrap_or(u64::MAX)
}

/// The provider of metrics whose names and numbers are listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Provider {
    /// ZooKeeper's own: each key is a name and a number.
    Default,
    /// Prometheus's, which shows the process besides, and samples with labels.
    Prometheus,
}

impl Provider {
    /// The provider whose lines `mntr` and `/commands/monitor` list.
    pub(crate) fn configured(settings: &AdminSettings) -> Self {
        match settings.metrics {
            Some(_) => Provider::Prometheus,
            None => Provider::Default,
        }
    }
}

/// All metrics as they are now, gauges first.
pub(crate) fn rows<R: Runtime>(surface: &Surface<R>, provider: Provider) -> Vec<Metric> {
    let sample = Sample::at(surface);
    let read = |table: &'static [Row<R>]| table.iter().filter_map(|row| row.read(&sample));
    let mut rows: Vec<_> = read(Row::GAUGES).collect();
    rows.extend(read(Row::ENSEMBLE));
    rows.extend(read(Row::COUNTERS));
    rows.extend(counters::absent());
    rows.extend(read(Row::SUMMARIES));
    rows.extend(summaries::absent());
    rows.extend(read(Row::INNKEEPER));
    if provider == Provider::Prometheus {
        rows.extend(read(Row::PROCESS));
    }
    rows
}
