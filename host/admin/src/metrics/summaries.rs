//! ZooKeeper's summaries: distributions since the last reset.

use innkeeper_raft::histogram::Reading;
use innkeeper_runtime::Runtime;

use super::metric::Detail::{Advanced, Basic};
use super::metric::Unit::{Plain, Time};
use super::metric::{Detail, Distribution, Metric, Value};
use super::row::{NOT_HERE, Read, Row};

/// Summaries of parts that ZooKeeper has and Innkeeper does not have.
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

/// Sets of summaries of parts that ZooKeeper has and Innkeeper does not have. ZooKeeper's leader has a
/// queue of packets for each learner, whose length and waiting time the last two tell. Here entries
/// are read from the log when they are sent to a member: one that lags is behind by entries
/// (`innkeeper_member_entries_behind`), and there is no queue.
const ABSENT_SETS: &[&str] = &[
    "ack_latency",
    "learner_handler_qp_size",
    "learner_handler_qp_time_ms",
];

impl<R: Runtime> Row<R> {
    /// ZooKeeper's summaries, in the order in which they are listed.
    pub(super) const SUMMARIES: &'static [Self] = &[
        Row::new(
            "readlatency",
            "Time that requests took which need no log, in milliseconds.",
            Read::Summary(Advanced, Time, |sample| sample.totals.reads_us.clone()),
        ),
        Row::new(
            "updatelatency",
            "Time that requests took which go through the log, in milliseconds.",
            Read::Summary(Advanced, Time, |sample| sample.totals.updates_us.clone()),
        ),
        Row::new(
            "fsynctime",
            "Time to write and sync a batch of the log, in milliseconds.",
            Read::Summary(Basic, Time, |sample| sample.of_raft(|raft| &raft.sync_us)),
        ),
        Row::new(
            "sync_processor_queue_flush_time_ms",
            "Time to write and sync a batch of the log, in milliseconds.",
            Read::Summary(Advanced, Time, |sample| {
                sample.of_raft(|raft| &raft.sync_us)
            }),
        ),
        Row::new(
            "sync_processor_batch_size",
            "Entries per batch of the log.",
            Read::Summary(Basic, Plain, |sample| {
                sample.of_raft(|raft| &raft.batch_entries)
            }),
        ),
        Row::new(
            "snapshottime",
            "Time to write a checkpoint of the state, in milliseconds.",
            Read::Summary(Basic, Time, |sample| {
                sample.of_raft(|raft| &raft.checkpoint_us)
            }),
        ),
        Row::new(
            "dbinittime",
            "Time to open the log and the state, in milliseconds.",
            Read::Summary(Basic, Time, |sample| sample.service.stats.opening_us.read()),
        ),
        Row::new(
            "startup_txns_loaded",
            "Entries applied from the log at the start.",
            Read::Summary(Basic, Plain, |sample| sample.service.stats.replayed.read()),
        ),
        Row::new(
            "node_created_watch_count",
            "Watchers of each znode that was created while it was watched.",
            Read::Summary(Basic, Plain, |sample| {
                sample.service.stats.watchers_of_created.read()
            }),
        ),
        Row::new(
            "node_deleted_watch_count",
            "Watchers of each znode that was deleted while it was watched.",
            Read::Summary(Basic, Plain, |sample| {
                sample.service.stats.watchers_of_deleted.read()
            }),
        ),
        Row::new(
            "node_changed_watch_count",
            "Watchers of each znode whose data changed while it was watched.",
            Read::Summary(Basic, Plain, |sample| {
                sample.service.stats.watchers_of_changed.read()
            }),
        ),
        Row::new(
            "node_children_watch_count",
            "Watchers of each znode whose children changed while it was watched.",
            Read::Summary(Basic, Plain, |sample| {
                sample.service.stats.watchers_of_children.read()
            }),
        ),
        Row::new(
            "read_per_namespace",
            "Bytes of each read, by the first name of the path.",
            Read::NamespaceSummaries(|namespace| namespace.reads.as_ref()),
        ),
        Row::new(
            "write_per_namespace",
            "Bytes of each write, by the first name of the path.",
            Read::NamespaceSummaries(|namespace| namespace.writes.as_ref()),
        ),
    ];
}

/// The summaries that stay empty.
pub(super) fn absent() -> impl Iterator<Item = Metric> {
    let summaries = ABSENT.iter().map(|(name, detail)| {
        let nothing = Distribution {
            reading: Reading::default(),
            unit: Plain,
            detail: *detail,
        };
        (*name, Value::Summary(nothing))
    });
    let sets = ABSENT_SETS.iter();
    let sets = sets.map(|name| (*name, Value::Summaries("key", Vec::new())));
    summaries.chain(sets).map(|(name, value)| Metric {
        name,
        help: NOT_HERE,
        value,
    })
}
