//! ZooKeeper's gauges: what is now.

use std::collections::BTreeMap;

use innkeeper_runtime::Runtime;

use super::quotas::Quotas;
use super::render::rounded;
use super::row::{Number, Row, Value};
use super::traffic::Totals;
use super::{Process, uptime_ms};
use crate::core::Core;

pub(super) fn rows<R: Runtime>(core: &Core<R>, totals: &Totals) -> Vec<Row> {
    let figures = &core.figures;
    let latency = totals.latency_us();
    let view = core.reader.view();
    let process = Process::now();
    let watches = core.fanout.watch_counts().watches();
    let local_sessions = core.locals.len();
    let sessions = core.expiry.len().saturating_sub(local_sessions);
    let int = Number::Int;
    let mut rows = vec![
        Row::gauge(
            "avg_latency",
            "Average time that a request took, in milliseconds.",
            rounded(latency.average / 1000.0),
        ),
        Row::gauge(
            "max_latency",
            "The longest time that a request took, in milliseconds.",
            latency.max / 1000,
        ),
        Row::gauge(
            "min_latency",
            "The shortest time that a request took, in milliseconds.",
            latency.min / 1000,
        ),
        Row::gauge(
            "packets_received",
            "Frames and words received from clients.",
            totals.received,
        ),
        Row::gauge(
            "packets_sent",
            "Replies, events and words' answers sent to clients.",
            totals.sent,
        ),
        Row::gauge(
            "num_alive_connections",
            "Connections of clients.",
            core.clients.len(),
        ),
        Row::gauge(
            "outstanding_requests",
            "Requests received and not answered.",
            core.clients.pending(),
        ),
        Row::gauge(
            "uptime",
            "How long the node has been up, in milliseconds.",
            uptime_ms(core),
        ),
        Row::gauge("znode_count", "Znodes.", view.znode_count()),
        Row::gauge("watch_count", "Watches of this node's clients.", watches),
        Row::gauge(
            "ephemerals_count",
            "Ephemeral znodes.",
            view.ephemeral_count(),
        ),
        Row::gauge(
            "approximate_data_size",
            "Bytes of all znodes' paths and data.",
            view.data_bytes(),
        ),
        Row::gauge("global_sessions", "Sessions that are in the log.", sessions),
        Row::gauge(
            "local_sessions",
            "Sessions of this node that are not in the log.",
            local_sessions,
        ),
        Row::gauge(
            "open_file_descriptor_count",
            "Files and sockets that the process has open.",
            int(process.open_files),
        ),
        Row::gauge(
            "max_file_descriptor_count",
            "How many it may have open.",
            int(process.max_files),
        ),
        Row::gauge(
            "connection_drop_probability",
            "The chance that a connect request is dropped by the connection throttle.",
            Number::Float(core.connection_throttle.drop_chance()),
        ),
        Row::gauge(
            "last_client_response_size",
            "Bytes of the last reply to a client; -1 if there was none.",
            int(totals.last_response),
        ),
        Row::gauge(
            "max_client_response_size",
            "Bytes of the longest reply to a client; -1 if there was none.",
            int(totals.max_response),
        ),
        Row::gauge(
            "min_client_response_size",
            "Bytes of the shortest reply to a client; -1 if there was none.",
            int(totals.min_response),
        ),
        Row::gauge(
            "outstanding_tls_handshake",
            "TLS handshakes under way.",
            core.tls.as_ref().map_or(0, |tls| tls.handshakes()),
        ),
        Row::gauge(
            "auth_failed_count",
            "Credentials of clients that did not hold.",
            figures.auth_failed.get(),
        ),
    ];
    let (remote, local) = without_tls(core);
    rows.extend([
        Row::gauge(
            "non_mtls_remote_conn_count",
            "Connections from other machines without TLS, where TLS is served.",
            remote,
        ),
        Row::gauge(
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
        Row {
            name: "quota_count_limit_per_namespace",
            help: "Znodes that quotas allow, by the first name of the path.",
            value: by_name(quotas.count_limit),
        },
        Row {
            name: "quota_bytes_limit_per_namespace",
            help: "Bytes that quotas allow, by the first name of the path.",
            value: by_name(quotas.bytes_limit),
        },
        Row {
            name: "quota_count_usage_per_namespace",
            help: "Znodes below paths with quotas, by the first name of the path.",
            value: by_name(quotas.count_usage),
        },
        Row {
            name: "quota_bytes_usage_per_namespace",
            help: "Bytes below paths with quotas, by the first name of the path.",
            value: by_name(quotas.bytes_usage),
        },
    ]);
    rows
}

/// Connections without TLS, from other machines and from this one, where TLS is served. ZooKeeper
/// counts them where clients could have used it; elsewhere they would say nothing.
pub(crate) fn without_tls<R: Runtime>(core: &Core<R>) -> (usize, usize) {
    if core.tls.is_none() {
        return (0, 0);
    }
    core.clients.without_tls()
}
