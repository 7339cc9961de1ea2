//! ZooKeeper's counters: what was since the last reset.

use innkeeper_raft::histogram::RaftStats;
use innkeeper_runtime::Runtime;
use innkeeper_server::service::Service;
use innkeeper_server::stats::Totals;

use super::metric::{Metric, NOT_HERE, Value};

/// Counters of parts that ZooKeeper has and Innkeeper has not.
const ABSENT: &[&str] = &[
    "add_dead_watcher_stall_time",
    "cnxn_closed_without_zk_server_running",
    "dead_watchers_cleared",
    "dead_watchers_queued",
    "diff_count",
    "digest_mismatches_count",
    "ensemble_auth_fail",
    "ensemble_auth_skip",
    "ensemble_auth_success",
    "insecure_admin_count",
    "learner_commit_received_count",
    "learner_proposal_received_count",
    "looking_count",
    "outstanding_changes_queued",
    "outstanding_changes_removed",
    "prep_processor_request_queued",
    "quit_leading_due_to_disloyal_voter",
    "requests_not_forwarded_to_commit_processor",
    "response_packet_cache_hits",
    "response_packet_cache_misses",
    "response_packet_get_children_cache_hits",
    "response_packet_get_children_cache_misses",
    "restore_error_count",
    "restore_rate_limited_count",
    "revalidate_count",
    "skip_learner_request_to_next_processor_count",
    "snap_count",
    "snapshot_error_count",
    "snapshot_rate_limited_count",
    "stale_replies",
];

pub(super) fn rows<R: Runtime>(
    service: &Service<R>,
    totals: &Totals,
    raft: Option<&RaftStats>,
) -> Vec<Metric> {
    let stats = &service.stats;
    let failed = service
        .replica()
        .map_or(true, |replica| replica.status().failure.is_some());
    let logged = raft.map_or(0, |raft| raft.batch_entries.read().sum);
    let mut rows = vec![
        Metric::counter(
            "bytes_received_count",
            "Bytes received from clients.",
            totals.received_bytes,
        ),
        Metric::counter(
            "response_bytes",
            "Bytes of replies to clients.",
            totals.response_bytes,
        ),
        Metric::counter(
            "watch_bytes",
            "Bytes of watch events to clients.",
            totals.watch_bytes,
        ),
        Metric::counter(
            "connection_request_count",
            "Connect requests of clients.",
            stats.connection_requests.get(),
        ),
        Metric::counter(
            "connection_rejected",
            "Connections turned away because there were too many.",
            stats.connections_rejected.get(),
        ),
        Metric::counter(
            "connection_drop_count",
            "Connections that ended because the client's end was gone.",
            stats.connections_dropped.get(),
        ),
        Metric::counter(
            "connection_revalidate_count",
            "Clients that came back to a session.",
            stats.connections_revalidated.get(),
        ),
        Metric::counter(
            "sessionless_connections_expired",
            "Connections closed because no first frame came.",
            stats.sessionless_expired.get(),
        ),
        Metric::counter(
            "stale_sessions_expired",
            "Sessions that expired.",
            stats.sessions_expired.get(),
        ),
        Metric::counter(
            "large_requests_rejected",
            "Requests refused for their length.",
            stats.large_requests_rejected.get(),
        ),
        Metric::counter(
            "request_throttle_wait_count",
            "Times that a connection had to wait because of the limit on outstanding requests.",
            stats.throttle_waits.get(),
        ),
        Metric::counter(
            "throttled_ops",
            "Requests answered with ThrottledOp because they had waited for too long.",
            stats.throttled_ops.get(),
        ),
        Metric::counter(
            "stale_requests",
            "Requests that had waited for longer than their session's timeout.",
            stats.stale_requests.get(),
        ),
        Metric::counter(
            "stale_requests_dropped",
            "Of those, the ones that were not run; their connections were closed.",
            stats.stale_requests.get(),
        ),
        Metric::counter(
            "unsuccessful_handshake",
            "TLS handshakes that failed.",
            stats.tls_handshakes_failed.get(),
        ),
        Metric::counter(
            "tls_handshake_exceeded",
            "TLS connections turned away because too many handshakes were under way.",
            stats.tls_handshakes_exceeded.get(),
        ),
        Metric::counter("proposal_count", "Entries that the log has taken.", logged),
        Metric::counter(
            "sync_processor_request_queued",
            "Entries that the log has taken.",
            logged,
        ),
        Metric::counter("commit_count", "Commands applied.", stats.commits.get()),
        Metric::counter(
            "request_commit_queued",
            "Commands applied.",
            stats.commits.get(),
        ),
        Metric::counter(
            "unrecoverable_error_count",
            "1 if the node has failed for good.",
            u64::from(failed),
        ),
    ];
    let exceeded = service.namespaces().into_iter();
    let exceeded = exceeded.filter(|namespace| namespace.quota_exceeded != 0);
    rows.push(Metric {
        name: "quota_exceeded_error_per_namespace",
        help: "Writes refused by a hard quota, by the first name of the path.",
        value: Value::Counters(
            "key",
            exceeded
                .map(|namespace| (namespace.name.to_string(), namespace.quota_exceeded))
                .collect(),
        ),
    });
    rows.extend(ABSENT.iter().map(|name| Metric::counter(name, NOT_HERE, 0)));
    rows
}
