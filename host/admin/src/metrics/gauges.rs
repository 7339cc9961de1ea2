//! ZooKeeper's gauges: what is now.

use std::collections::BTreeMap;

use innkeeper_runtime::Runtime;
use innkeeper_server::service::Service;
use innkeeper_server::stats::Totals;

use super::metric::{Metric, Number, Value};
use super::quotas::Quotas;
use super::render::rounded;
use super::{Process, uptime_ms};

pub(super) fn rows<R: Runtime>(service: &Service<R>, totals: &Totals) -> Vec<Metric> {
    let stats = &service.stats;
    let latency = totals.latency_us();
    let view = service.reader.view();
    let process = Process::now();
    let watches = service.fanout.watch_counts().watches();
    let local_sessions = service.local_sessions();
    let sessions = service.session_count().saturating_sub(local_sessions);
    let int = Number::Int;
    let mut rows = vec![
        Metric::gauge(
            "avg_latency",
            "Average time that a request took, in milliseconds.",
            rounded(latency.average / 1000.0),
        ),
        Metric::gauge(
            "max_latency",
            "The longest time that a request took, in milliseconds.",
            latency.max / 1000,
        ),
        Metric::gauge(
            "min_latency",
            "The shortest time that a request took, in milliseconds.",
            latency.min / 1000,
        ),
        Metric::gauge(
            "packets_received",
            "Frames and words received from clients.",
            totals.received,
        ),
        Metric::gauge(
            "packets_sent",
            "Replies, events and words' answers sent to clients.",
            totals.sent,
        ),
        Metric::gauge(
            "num_alive_connections",
            "Connections of clients.",
            service.connection_count(),
        ),
        Metric::gauge(
            "outstanding_requests",
            "Requests received and not answered.",
            service.pending_requests(),
        ),
        Metric::gauge(
            "uptime",
            "How long the node has been up, in milliseconds.",
            uptime_ms(service),
        ),
        Metric::gauge("znode_count", "Znodes.", view.znode_count()),
        Metric::gauge("watch_count", "Watches of this node's clients.", watches),
        Metric::gauge(
            "ephemerals_count",
            "Ephemeral znodes.",
            view.ephemeral_count(),
        ),
        Metric::gauge(
            "approximate_data_size",
            "Bytes of all znodes' paths and data.",
            view.data_bytes(),
        ),
        Metric::gauge("global_sessions", "Sessions that are in the log.", sessions),
        Metric::gauge(
            "local_sessions",
            "Sessions of this node that are not in the log.",
            local_sessions,
        ),
        Metric::gauge(
            "open_file_descriptor_count",
            "Files and sockets that the process has open.",
            int(process.open_files),
        ),
        Metric::gauge(
            "max_file_descriptor_count",
            "How many it may have open.",
            int(process.max_files),
        ),
        Metric::gauge(
            "connection_drop_probability",
            "The chance that a connect request is dropped by the connection throttle.",
            Number::Float(service.connection_drop_chance()),
        ),
        Metric::gauge(
            "last_client_response_size",
            "Bytes of the last reply to a client; -1 if there was none.",
            int(totals.last_response),
        ),
        Metric::gauge(
            "max_client_response_size",
            "Bytes of the longest reply to a client; -1 if there was none.",
            int(totals.max_response),
        ),
        Metric::gauge(
            "min_client_response_size",
            "Bytes of the shortest reply to a client; -1 if there was none.",
            int(totals.min_response),
        ),
        Metric::gauge(
            "outstanding_tls_handshake",
            "TLS handshakes under way.",
            service.tls_handshakes(),
        ),
        Metric::gauge(
            "auth_failed_count",
            "Credentials of clients that did not hold.",
            stats.auth_failed.get(),
        ),
    ];
    let (remote, local) = service.connections_without_tls();
    rows.extend([
        Metric::gauge(
            "non_mtls_remote_conn_count",
            "Connections from other machines without TLS, where TLS is served.",
            remote,
        ),
        Metric::gauge(
            "non_mtls_local_conn_count",
            "Connections from this machine without TLS, where TLS is served.",
            local,
        ),
    ]);
    let quotas = Quotas::of(&view);
    let by_name = |all: BTreeMap<String, i64>| {
        let all = all.into_iter();
        Value::Gauges("key", all.map(|(name, value)| (name, int(value))).collect())
    };
    rows.extend([
        Metric {
            name: "quota_count_limit_per_namespace",
            help: "Znodes that quotas allow, by the first name of the path.",
            value: by_name(quotas.count_limit),
        },
        Metric {
            name: "quota_bytes_limit_per_namespace",
            help: "Bytes that quotas allow, by the first name of the path.",
            value: by_name(quotas.bytes_limit),
        },
        Metric {
            name: "quota_count_usage_per_namespace",
            help: "Znodes below paths with quotas, by the first name of the path.",
            value: by_name(quotas.count_usage),
        },
        Metric {
            name: "quota_bytes_usage_per_namespace",
            help: "Bytes below paths with quotas, by the first name of the path.",
            value: by_name(quotas.bytes_usage),
        },
    ]);
    rows
}
