//! The rows of the tables of metrics: a name, a help text, a kind, and the function that reads the
//! value.
//!
//! 1. [`Sample::at`] asks the node once for what several rows need.
//! 2. [`Row::read`] makes a [`Metric`] of a row and a sample. A row whose subject is not there (no TLS,
//!    no leader) makes none.
//!
//! The tables are `Row::GAUGES`, `ENSEMBLE`, `COUNTERS`, `SUMMARIES`, `INNKEEPER` and `PROCESS`, each in
//! the file of that name.

use std::sync::Arc;

use innkeeper_dispatch::BindingStatus;
use innkeeper_raft::Status;
use innkeeper_raft::histogram::{RaftStats, Reading, Summary};
use innkeeper_runtime::Runtime;
use innkeeper_server::inspect::{MemberLag, NamespaceStats};
use innkeeper_server::service::Service;
use innkeeper_server::stats::{Latency, Totals};
use innkeeper_tree::View;

use super::Process;
use super::metric::{Detail, Distribution, Metric, Number, Unit, Value};
use super::quotas::Quotas;
use crate::ensemble::{self, Following};
use crate::surface::Surface;

/// The help text of a metric of ZooKeeper whose subject Innkeeper does not have.
pub(super) const NOT_HERE: &str =
    "A metric of ZooKeeper for a part that Innkeeper does not have: it stays empty.";

/// The label of metrics that there are once per binding.
const BINDING: &str = "binding";

/// The label of metrics that there are once per first name of a path.
const NAMESPACE: &str = "key";

/// The label of metrics that there are once per member of a group.
const MEMBER: &str = "member";

/// What the node says of itself at one moment.
pub(super) struct Sample<'a, R: Runtime> {
    pub(super) service: &'a Service<R>,
    pub(super) view: View,
    pub(super) totals: Totals,
    pub(super) latency: Latency,
    pub(super) namespaces: Vec<NamespaceStats>,
    pub(super) quotas: Quotas,
    pub(super) process: Process,
    /// The replica's status and statistics; `None` while the node stops.
    pub(super) replica: Option<(Status, Arc<RaftStats>)>,
    pub(super) bindings: Vec<BindingStatus>,
    /// Whether the node is one of an ensemble that it has contact with.
    pub(super) is_in_ensemble: bool,
    /// Of a leader of an ensemble only.
    pub(super) following: Option<Following>,
    proposals: Option<[i64; 3]>,
    lags: Vec<MemberLag>,
}

impl<'a, R: Runtime> Sample<'a, R> {
    /// The node as it is now.
    pub(super) fn at(surface: &'a Surface<R>) -> Self {
        let service = &*surface.service;
        let totals = service.totals();
        let view = service.reader.view();
        let replica = service.replica().ok();
        Self {
            latency: totals.latency_us(),
            totals,
            namespaces: service.namespaces(),
            quotas: Quotas::of(&view),
            view,
            process: Process::now(),
            replica: replica.map(|replica| (replica.status(), replica.stats())),
            bindings: surface.guests.statuses_here(),
            is_in_ensemble: ensemble::is_in_ensemble(service.mode()),
            following: ensemble::following(service),
            proposals: ensemble::proposal_sizes(service),
            lags: service.member_lags(),
            service,
        }
    }

    /// The replica's status.
    pub(super) fn status(&self) -> Option<&Status> {
        self.replica.as_ref().map(|(status, _)| status)
    }

    /// A distribution that the replica records; empty while the node stops.
    pub(super) fn of_raft(&self, pick: fn(&RaftStats) -> &Summary) -> Reading {
        let replica = self.replica.as_ref();
        replica.map_or_else(Reading::default, |(_, stats)| pick(stats).read())
    }

    /// Local sessions, and those that are in the log.
    pub(super) fn sessions(&self) -> (usize, usize) {
        let local = self.service.local_sessions();
        (local, self.service.session_count().saturating_sub(local))
    }
}

/// How a row's value is read, and so what kind of metric it is.
pub(super) enum Read<R: Runtime> {
    Gauge(fn(&Sample<'_, R>) -> Number),
    /// `None` if the subject is not there.
    GaugeIfAny(fn(&Sample<'_, R>) -> Option<Number>),
    Counter(fn(&Sample<'_, R>) -> u64),
    /// `None` if the subject is not there.
    CounterIfAny(fn(&Sample<'_, R>) -> Option<u64>),
    /// What a leader of an ensemble shows of those that follow it.
    Following(fn(&Following) -> usize),
    /// The sizes of a leader's proposals: the last, the least and the greatest.
    Proposals(fn(&[i64; 3]) -> i64),
    /// By the member, on the leader.
    MemberGauges(fn(&MemberLag) -> u64),
    /// `None` if the kernel does not say it.
    SecondsIfAny(fn(&Sample<'_, R>) -> Option<f64>),
    Summary(Detail, Unit, fn(&Sample<'_, R>) -> Reading),
    /// By the first name of the path.
    NamespaceGauges(fn(&Sample<'_, R>) -> Vec<(String, i64)>),
    /// A counter for each namespace for which there is one.
    NamespaceCounters(fn(&NamespaceStats) -> Option<u64>),
    /// A distribution for each namespace for which there is one.
    NamespaceSummaries(fn(&NamespaceStats) -> Option<&Reading>),
    BindingGauges(fn(&BindingStatus) -> usize),
    BindingCounters(fn(&BindingStatus) -> u64),
}

/// A row of a table of metrics.
pub(super) struct Row<R: Runtime> {
    name: &'static str,
    /// One sentence.
    help: &'static str,
    read: Read<R>,
}

impl<R: Runtime> Row<R> {
    /// A row that is read in that way.
    pub(super) const fn new(name: &'static str, help: &'static str, read: Read<R>) -> Self {
        Self { name, help, read }
    }

    pub(super) const fn gauge(
        name: &'static str,
        help: &'static str,
        read: fn(&Sample<'_, R>) -> Number,
    ) -> Self {
        Self::new(name, help, Read::Gauge(read))
    }

    pub(super) const fn counter(
        name: &'static str,
        help: &'static str,
        read: fn(&Sample<'_, R>) -> u64,
    ) -> Self {
        Self::new(name, help, Read::Counter(read))
    }

    /// The row's metric; `None` if its subject is not there.
    pub(super) fn read(&self, sample: &Sample<'_, R>) -> Option<Metric> {
        let namespaces = sample.namespaces.iter();
        let bindings = sample.bindings.iter();
        let value = match &self.read {
            Read::Gauge(read) => Value::Gauge(read(sample)),
            Read::GaugeIfAny(read) => Value::Gauge(read(sample)?),
            Read::Counter(read) => Value::Counter(read(sample)),
            Read::CounterIfAny(read) => Value::Counter(read(sample)?),
            Read::Following(read) => Value::Gauge(read(&sample.following?).into()),
            Read::Proposals(read) => Value::Gauge(Number::Int(read(&sample.proposals?))),
            Read::MemberGauges(read) => {
                let all = sample.lags.iter();
                let all = all.map(|lag| {
                    let node = lag.node.cast_signed().to_string();
                    (node, Number::from(read(lag)))
                });
                Value::Gauges(MEMBER, all.collect())
            }
            Read::SecondsIfAny(read) => Value::Seconds(read(sample)?),
            Read::Summary(detail, unit, read) => Value::Summary(Distribution {
                reading: read(sample),
                unit: *unit,
                detail: *detail,
            }),
            Read::NamespaceGauges(read) => {
                let all = read(sample).into_iter();
                let all = all.map(|(name, number)| (name, Number::Int(number)));
                Value::Gauges(NAMESPACE, all.collect())
            }
            Read::NamespaceCounters(read) => {
                let all = namespaces.filter_map(|one| Some((one.name.to_string(), read(one)?)));
                Value::Counters(NAMESPACE, all.collect())
            }
            Read::NamespaceSummaries(read) => {
                let all = namespaces.filter_map(|one| {
                    let distribution = Distribution {
                        reading: read(one)?.clone(),
                        unit: Unit::Plain,
                        detail: Detail::Basic,
                    };
                    Some((one.name.to_string(), distribution))
                });
                Value::Summaries(NAMESPACE, all.collect())
            }
            Read::BindingGauges(read) => {
                let all = bindings.map(|one| (one.name.clone(), Number::from(read(one))));
                Value::Gauges(BINDING, all.collect())
            }
            Read::BindingCounters(read) => {
                let all = bindings.map(|one| (one.name.clone(), read(one)));
                Value::Counters(BINDING, all.collect())
            }
        };
        let (name, help) = (self.name, self.help);
        Some(Metric { name, help, value })
    }
}
