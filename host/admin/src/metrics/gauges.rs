//! ZooKeeper's gauges: numbers that go up and down.

use std::collections::BTreeMap;

use innkeeper_runtime::Runtime;

use super::metric::Number;
use super::render::rounded;
use super::row::{Read, Row};
use super::uptime_ms;

impl<R: Runtime> Row<R> {
    /// ZooKeeper's gauges, in the order in which they are listed.
    pub(super) const GAUGES: &'static [Self] = &[
        Row::gauge(
            "avg_latency",
            "Average time that a request took, in milliseconds.",
            |look| rounded(look.latency.average / 1000.0),
        ),
        Row::gauge(
            "max_latency",
            "The longest time that a request took, in milliseconds.",
            |look| (look.latency.max / 1000).into(),
        ),
        Row::gauge(
            "min_latency",
            "The shortest time that a request took, in milliseconds.",
            |look| (look.latency.min / 1000).into(),
        ),
        Row::gauge(
            "packets_received",
            "Frames and words received from clients.",
            |look| look.totals.received.into(),
        ),
        Row::gauge(
            "packets_sent",
            "Replies, events and words' answers sent to clients.",
            |look| look.totals.sent.into(),
        ),
        Row::gauge("num_alive_connections", "Connections of clients.", |look| {
            look.service.connection_count().into()
        }),
        Row::gauge(
            "outstanding_requests",
            "Requests received and not answered.",
            |look| look.service.pending_requests().into(),
        ),
        Row::gauge(
            "uptime",
            "How long the node has been up, in milliseconds.",
            |look| uptime_ms(look.service).into(),
        ),
        Row::gauge("znode_count", "Number of znodes.", |look| {
            look.view.znode_count().into()
        }),
        Row::gauge("watch_count", "Watches of this node's clients.", |look| {
            look.service.fanout.watch_counts().watches().into()
        }),
        Row::gauge("ephemerals_count", "Ephemeral znodes.", |look| {
            look.view.ephemeral_count().into()
        }),
        Row::gauge(
            "approximate_data_size",
            "Bytes of all znodes' paths and data.",
            |look| look.view.data_bytes().into(),
        ),
        Row::gauge("global_sessions", "Sessions that are in the log.", |look| {
            look.sessions().1.into()
        }),
        Row::gauge(
            "local_sessions",
            "Sessions of this node that are not in the log.",
            |look| look.sessions().0.into(),
        ),
        Row::gauge(
            "open_file_descriptor_count",
            "Files and sockets that the process has open.",
            |look| Number::Int(look.process.open_files),
        ),
        Row::gauge(
            "max_file_descriptor_count",
            "Files and sockets that the process may have open.",
            |look| Number::Int(look.process.max_files),
        ),
        Row::gauge(
            "connection_drop_probability",
            "The chance that a connect request is dropped by the connection throttle.",
            |look| Number::Float(look.service.connection_drop_chance()),
        ),
        Row::gauge(
            "last_client_response_size",
            "Bytes of the last reply to a client; -1 if there was none.",
            |look| Number::Int(look.totals.last_response),
        ),
        Row::gauge(
            "max_client_response_size",
            "Bytes of the longest reply to a client; -1 if there was none.",
            |look| Number::Int(look.totals.max_response),
        ),
        Row::gauge(
            "min_client_response_size",
            "Bytes of the shortest reply to a client; -1 if there was none.",
            |look| Number::Int(look.totals.min_response),
        ),
        Row::gauge(
            "outstanding_tls_handshake",
            "TLS handshakes under way.",
            |look| look.service.tls_handshakes().into(),
        ),
        Row::gauge(
            "auth_failed_count",
            "Credentials of clients that were wrong.",
            |look| look.service.stats.auth_failed.get().into(),
        ),
        Row::gauge(
            "non_mtls_remote_conn_count",
            "Connections from other machines without TLS, where TLS is served.",
            |look| look.service.connections_without_tls().0.into(),
        ),
        Row::gauge(
            "non_mtls_local_conn_count",
            "Connections from this machine without TLS, where TLS is served.",
            |look| look.service.connections_without_tls().1.into(),
        ),
        Row::new(
            "quota_count_limit_per_namespace",
            "Znodes that quotas allow, by the first name of the path.",
            Read::NamespaceGauges(|look| sums(&look.quotas.count_limit)),
        ),
        Row::new(
            "quota_bytes_limit_per_namespace",
            "Bytes that quotas allow, by the first name of the path.",
            Read::NamespaceGauges(|look| sums(&look.quotas.bytes_limit)),
        ),
        Row::new(
            "quota_count_usage_per_namespace",
            "Znodes below paths with quotas, by the first name of the path.",
            Read::NamespaceGauges(|look| sums(&look.quotas.count_usage)),
        ),
        Row::new(
            "quota_bytes_usage_per_namespace",
            "Bytes below paths with quotas, by the first name of the path.",
            Read::NamespaceGauges(|look| sums(&look.quotas.bytes_usage)),
        ),
    ];
}

/// The sums by first name, in byte order.
fn sums(by_name: &BTreeMap<String, i64>) -> Vec<(String, i64)> {
    let all = by_name.iter();
    all.map(|(name, sum)| (name.clone(), *sum)).collect()
}
