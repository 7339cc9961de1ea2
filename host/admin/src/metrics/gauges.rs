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
            |sample| rounded(sample.latency.average / 1000.0),
        ),
        Row::gauge(
            "max_latency",
            "The longest time that a request took, in milliseconds.",
            |sample| (sample.latency.max / 1000).into(),
        ),
        Row::gauge(
            "min_latency",
            "The shortest time that a request took, in milliseconds.",
            |sample| (sample.latency.min / 1000).into(),
        ),
        Row::gauge(
            "packets_received",
            "Frames and words received from clients.",
            |sample| sample.totals.received.into(),
        ),
        Row::gauge(
            "packets_sent",
            "Replies, events and words' answers sent to clients.",
            |sample| sample.totals.sent.into(),
        ),
        Row::gauge(
            "num_alive_connections",
            "Connections of clients.",
            |sample| sample.service.connection_count().into(),
        ),
        Row::gauge(
            "outstanding_requests",
            "Requests received and not answered.",
            |sample| sample.service.pending_requests().into(),
        ),
        Row::gauge(
            "uptime",
            "How long the node has been up, in milliseconds.",
            |sample| uptime_ms(sample.service).into(),
        ),
        Row::gauge("znode_count", "Number of znodes.", |sample| {
            sample.view.znode_count().into()
        }),
        Row::gauge("watch_count", "Watches of this node's clients.", |sample| {
            sample.service.fanout.watch_counts().watches().into()
        }),
        Row::gauge("ephemerals_count", "Ephemeral znodes.", |sample| {
            sample.view.ephemeral_count().into()
        }),
        Row::gauge(
            "approximate_data_size",
            "Bytes of all znodes' paths and data.",
            |sample| sample.view.data_bytes().into(),
        ),
        Row::gauge(
            "global_sessions",
            "Sessions that are in the log.",
            |sample| sample.sessions().1.into(),
        ),
        Row::gauge(
            "local_sessions",
            "Sessions of this node that are not in the log.",
            |sample| sample.sessions().0.into(),
        ),
        Row::gauge(
            "open_file_descriptor_count",
            "Files and sockets that the process has open.",
            |sample| Number::Int(sample.process.open_files),
        ),
        Row::gauge(
            "max_file_descriptor_count",
            "Files and sockets that the process may have open.",
            |sample| Number::Int(sample.process.max_files),
        ),
        Row::gauge(
            "connection_drop_probability",
            "The chance that a connect request is dropped by the connection throttle.",
            |sample| Number::Float(sample.service.connection_drop_chance()),
        ),
        Row::gauge(
            "last_client_response_size",
            "Bytes of the last reply to a client; -1 if there was none.",
            |sample| Number::Int(sample.totals.last_response),
        ),
        Row::gauge(
            "max_client_response_size",
            "Bytes of the longest reply to a client; -1 if there was none.",
            |sample| Number::Int(sample.totals.max_response),
        ),
        Row::gauge(
            "min_client_response_size",
            "Bytes of the shortest reply to a client; -1 if there was none.",
            |sample| Number::Int(sample.totals.min_response),
        ),
        Row::gauge(
            "outstanding_tls_handshake",
            "TLS handshakes under way.",
            |sample| sample.service.tls_handshakes().into(),
        ),
        Row::gauge(
            "auth_failed_count",
            "Credentials of clients that were wrong.",
            |sample| sample.service.stats.auth_failed.get().into(),
        ),
        Row::gauge(
            "non_mtls_remote_conn_count",
            "Connections from other machines without TLS, where TLS is served.",
            |sample| sample.service.connections_without_tls().0.into(),
        ),
        Row::gauge(
            "non_mtls_local_conn_count",
            "Connections from this machine without TLS, where TLS is served.",
            |sample| sample.service.connections_without_tls().1.into(),
        ),
        Row::new(
            "quota_count_limit_per_namespace",
            "Znodes that quotas allow, by the first name of the path.",
            Read::NamespaceGauges(|sample| sums(&sample.quotas.count_limit)),
        ),
        Row::new(
            "quota_bytes_limit_per_namespace",
            "Bytes that quotas allow, by the first name of the path.",
            Read::NamespaceGauges(|sample| sums(&sample.quotas.bytes_limit)),
        ),
        Row::new(
            "quota_count_usage_per_namespace",
            "Znodes below paths with quotas, by the first name of the path.",
            Read::NamespaceGauges(|sample| sums(&sample.quotas.count_usage)),
        ),
        Row::new(
            "quota_bytes_usage_per_namespace",
            "Bytes below paths with quotas, by the first name of the path.",
            Read::NamespaceGauges(|sample| sums(&sample.quotas.bytes_usage)),
        ),
    ];
}

/// The sums by first name, in byte order.
fn sums(by_name: &BTreeMap<String, i64>) -> Vec<(String, i64)> {
    let all = by_name.iter();
    all.map(|(name, sum)| (name.clone(), *sum)).collect()
}
