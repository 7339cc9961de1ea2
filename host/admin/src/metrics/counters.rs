//! ZooKeeper's counters since the last reset.

use innkeeper_runtime::Runtime;

use super::metric::{Metric, Value};
use super::row::{NOT_HERE, Read, Row};

/// Counters of parts that ZooKeeper has and Innkeeper does not have.
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

impl<R: Runtime> Row<R> {
    /// ZooKeeper's counters, in the order in which they are listed.
    pub(super) const COUNTERS: &'static [Self] = &[
        Row::counter(
            "bytes_received_count",
            "Bytes received from clients.",
            |sample| sample.totals.received_bytes,
        ),
        Row::counter("response_bytes", "Bytes of replies to clients.", |sample| {
            sample.totals.response_bytes
        }),
        Row::counter(
            "watch_bytes",
            "Bytes of watch events to clients.",
            |sample| sample.totals.watch_bytes,
        ),
        Row::counter(
            "connection_request_count",
            "Connect requests of clients.",
            |sample| sample.service.stats.connection_requests.get(),
        ),
        Row::counter(
            "connection_rejected",
            "Connections refused because there were too many.",
            |sample| sample.service.stats.connections_rejected.get(),
        ),
        Row::counter(
            "connection_drop_count",
            "Connections that ended because the client had left.",
            |sample| sample.service.stats.connections_dropped.get(),
        ),
        Row::counter(
            "connection_revalidate_count",
            "Clients that came back to a session.",
            |sample| sample.service.stats.connections_revalidated.get(),
        ),
        Row::counter(
            "sessionless_connections_expired",
            "Connections closed because no first frame came.",
            |sample| sample.service.stats.sessionless_expired.get(),
        ),
        Row::counter(
            "stale_sessions_expired",
            "Sessions that expired.",
            |sample| sample.service.stats.sessions_expired.get(),
        ),
        Row::counter(
            "large_requests_rejected",
            "Requests refused for their length.",
            |sample| sample.service.stats.large_requests_rejected.get(),
        ),
        Row::counter(
            "request_throttle_wait_count",
            "Times that a connection had to wait because of the limit on outstanding requests.",
            |sample| sample.service.stats.throttle_waits.get(),
        ),
        Row::counter(
            "throttled_ops",
            "Requests answered with ThrottledOp because they had waited for too long.",
            |sample| sample.service.stats.throttled_ops.get(),
        ),
        Row::counter(
            "stale_requests",
            "Requests that had waited for longer than their session's timeout.",
            |sample| sample.service.stats.stale_requests.get(),
        ),
        Row::counter(
            "stale_requests_dropped",
            "Stale requests that were not run; their connections were closed.",
            |sample| sample.service.stats.stale_requests.get(),
        ),
        Row::counter(
            "unsuccessful_handshake",
            "TLS handshakes that failed.",
            |sample| sample.service.stats.tls_handshakes_failed.get(),
        ),
        Row::counter(
            "tls_handshake_exceeded",
            "TLS connections refused because too many handshakes were under way.",
            |sample| sample.service.stats.tls_handshakes_exceeded.get(),
        ),
        Row::counter(
            "proposal_count",
            "Entries that the log has taken.",
            |sample| sample.of_raft(|raft| &raft.batch_entries).sum,
        ),
        Row::counter(
            "sync_processor_request_queued",
            "Entries that the log has taken.",
            |sample| sample.of_raft(|raft| &raft.batch_entries).sum,
        ),
        Row::counter("commit_count", "Commands applied.", |sample| {
            sample.service.stats.commits.get()
        }),
        Row::counter("request_commit_queued", "Commands applied.", |sample| {
            sample.service.stats.commits.get()
        }),
        Row::counter(
            "unrecoverable_error_count",
            "1 if the node has failed for good.",
            |sample| {
                u64::from(
                    sample
                        .status()
                        .is_none_or(|status| status.failure.is_some()),
                )
            },
        ),
        Row::new(
            "quota_exceeded_error_per_namespace",
            "Writes refused by a hard quota, by the first name of the path.",
            Read::NamespaceCounters(|namespace| {
                Some(namespace.quota_exceeded).filter(|count| *count != 0)
            }),
        ),
    ];
}

/// The counters that stay at zero.
pub(super) fn absent() -> impl Iterator<Item = Metric> {
    ABSENT.iter().map(|name| Metric {
        name,
        help: NOT_HERE,
        value: Value::Counter(0),
    })
}
