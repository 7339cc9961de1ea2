//! ZooKeeper's summaries: distributions since the last reset.

use innkeeper_raft::histogram::{RaftStats, Reading, Summary};
use innkeeper_runtime::Runtime;
use innkeeper_server::service::Service;
use innkeeper_server::stats::Totals;

use super::metric::Detail::{Advanced, Basic};
use super::metric::Unit::{Plain, Time};
use super::metric::{Detail, Distribution, Metric, NOT_HERE, Value};

/// Summaries of parts that ZooKeeper has and Innkeeper has not.
const ABSENT: &[(&str, Detail)] = &[
    ("close_session_prep_time", Advanced),
    ("commit_commit_proc_req_queued", Basic),
    ("commit_process_time", Basic),
    ("commit_propagation_latency", Advanced),
    ("concurrent_request_processing_in_commit_processor", Basic),
    ("connection_token_deficit", Basic),
    ("dead_watchers_cleaner_latency", Advanced),
    ("election_time", Basic),
    ("follower_sync_time", Basic),
    ("inflight_diff_count", Basic),
    ("inflight_snap_count", Basic),
    ("leader_unavailable_time", Basic),
    ("learner_request_processor_queue_size", Basic),
    ("local_write_committed_time_ms", Advanced),
    ("netty_queued_buffer_capacity", Basic),
    ("observer_sync_time", Basic),
    ("om_commit_process_time_ms", Advanced),
    ("om_proposal_process_time_ms", Advanced),
    ("pending_session_queue_size", Basic),
    ("prep_process_time", Basic),
    ("prep_processor_queue_size", Basic),
    ("prep_processor_queue_time_ms", Advanced),
    ("propagation_latency", Advanced),
    ("proposal_ack_creation_latency", Advanced),
    ("proposal_latency", Advanced),
    ("proposal_process_time", Basic),
    ("quorum_ack_latency", Advanced),
    ("read_commit_proc_issued", Basic),
    ("read_commit_proc_req_queued", Basic),
    ("read_commitproc_time_ms", Advanced),
    ("read_final_proc_time_ms", Advanced),
    ("reads_after_write_in_session_queue", Basic),
    ("reads_issued_from_session_queue", Basic),
    ("request_throttle_queue_time_ms", Advanced),
    ("requests_in_session_queue", Basic),
    ("restore_time", Basic),
    ("server_write_committed_time_ms", Advanced),
    ("session_queues_drained", Basic),
    ("socket_closing_time", Basic),
    ("startup_snap_load_time", Basic),
    ("startup_txns_load_time", Basic),
    ("sync_process_time", Basic),
    ("sync_processor_queue_and_flush_time_ms", Advanced),
    ("sync_processor_queue_size", Basic),
    ("sync_processor_queue_time_ms", Advanced),
    ("time_waiting_empty_pool_in_commit_processor_read_ms", Basic),
    ("unavailable_time", Basic),
    ("write_batch_time_in_commit_processor", Basic),
    ("write_commit_proc_issued", Basic),
    ("write_commit_proc_req_queued", Basic),
    ("write_commitproc_time_ms", Advanced),
    ("write_final_proc_time_ms", Advanced),
];

/// Sets of summaries of parts that ZooKeeper has and Innkeeper has not.
const ABSENT_SETS: &[&str] = &[
    "ack_latency",
    "learner_handler_qp_size",
    "learner_handler_qp_time_ms",
];

pub(super) fn rows<R: Runtime>(
    service: &Service<R>,
    totals: &Totals,
    raft: Option<&RaftStats>,
) -> Vec<Metric> {
    let stats = &service.stats;
    let of_raft = |pick: fn(&RaftStats) -> &Summary| {
        raft.map_or_else(Reading::default, |raft| pick(raft).read())
    };
    let sync = of_raft(|raft| &raft.sync_us);
    let mut rows = vec![
        Metric::summary(
            "readlatency",
            "Time that requests took which need no log, in milliseconds.",
            Advanced,
            Time,
            totals.reads_us.clone(),
        ),
        Metric::summary(
            "updatelatency",
            "Time that requests took which go through the log, in milliseconds.",
            Advanced,
            Time,
            totals.updates_us.clone(),
        ),
        Metric::summary(
            "fsynctime",
            "Time to write and sync a batch of the log, in milliseconds.",
            Basic,
            Time,
            sync.clone(),
        ),
        Metric::summary(
            "sync_processor_queue_flush_time_ms",
            "Time to write and sync a batch of the log, in milliseconds.",
            Advanced,
            Time,
            sync,
        ),
        Metric::summary(
            "sync_processor_batch_size",
            "Entries per batch of the log.",
            Basic,
            Plain,
            of_raft(|raft| &raft.batch_entries),
        ),
        Metric::summary(
            "snapshottime",
            "Time to write a checkpoint of the state, in milliseconds.",
            Basic,
            Time,
            of_raft(|raft| &raft.checkpoint_us),
        ),
        Metric::summary(
            "dbinittime",
            "Time to open the log and the state, in milliseconds.",
            Basic,
            Time,
            stats.opening_us.read(),
        ),
        Metric::summary(
            "startup_txns_loaded",
            "Entries applied from the log at the start.",
            Basic,
            Plain,
            stats.replayed.read(),
        ),
        Metric::summary(
            "node_created_watch_count",
            "Watchers of each znode that was created while it was watched.",
            Basic,
            Plain,
            stats.watchers_of_created.read(),
        ),
        Metric::summary(
            "node_deleted_watch_count",
            "Watchers of each znode that was deleted while it was watched.",
            Basic,
            Plain,
            stats.watchers_of_deleted.read(),
        ),
        Metric::summary(
            "node_changed_watch_count",
            "Watchers of each znode whose data changed while it was watched.",
            Basic,
            Plain,
            stats.watchers_of_changed.read(),
        ),
        Metric::summary(
            "node_children_watch_count",
            "Watchers of each znode whose children changed while it was watched.",
            Basic,
            Plain,
            stats.watchers_of_children.read(),
        ),
    ];
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for namespace in service.namespaces() {
        for (all, reading) in [
            (&mut reads, namespace.reads),
            (&mut writes, namespace.writes),
        ] {
            all.extend(reading.map(|reading| {
                let distribution = Distribution {
                    reading,
                    unit: Plain,
                    detail: Basic,
                };
                (namespace.name.to_string(), distribution)
            }));
        }
    }
    rows.extend([
        Metric {
            name: "read_per_namespace",
            help: "Bytes of each read, by the first name of the path.",
            value: Value::Summaries("key", reads),
        },
        Metric {
            name: "write_per_namespace",
            help: "Bytes of each write, by the first name of the path.",
            value: Value::Summaries("key", writes),
        },
    ]);
    rows.extend(
        ABSENT.iter().map(|(name, detail)| {
            Metric::summary(name, NOT_HERE, *detail, Plain, Reading::default())
        }),
    );
    rows.extend(ABSENT_SETS.iter().map(|name| Metric {
        name,
        help: NOT_HERE,
        value: Value::Summaries("key", Vec::new()),
    }));
    rows
}
