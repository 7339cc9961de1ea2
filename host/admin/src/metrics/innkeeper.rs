//! Innkeeper's own metrics: the log, the group, the state, the guests.

use innkeeper_dispatch::Breaker;
use innkeeper_raft::{RaftRole, Status};
use innkeeper_runtime::Runtime;

use super::metric::Number;
use super::row::{Read, Row};

impl<R: Runtime> Row<R> {
    /// Innkeeper's own metrics, in the order in which they are listed.
    pub(super) const INNKEEPER: &'static [Self] = &[
        Row::gauge("last_zxid", "The last zxid that is published.", |sample| {
            sample.view.zxid().0.into()
        }),
        Row::gauge("watched_paths", "Paths that clients watch.", |sample| {
            sample.service.fanout.watch_counts().paths.into()
        }),
        Row::gauge(
            "min_client_session_timeout",
            "The shortest session timeout that is granted, in milliseconds.",
            |sample| u64::from(sample.service.settings.timeout_range_ms().0).into(),
        ),
        Row::gauge(
            "max_client_session_timeout",
            "The longest session timeout that is granted, in milliseconds.",
            |sample| u64::from(sample.service.settings.timeout_range_ms().1).into(),
        ),
        Row::new(
            "innkeeper_member_entries_behind",
            "On the leader, entries of its log that a member has not acknowledged.",
            Read::MemberGauges(|lag| lag.entries),
        ),
        Row::new(
            "innkeeper_member_late",
            "On the leader, 1 if a member is late by initLimit or syncLimit.",
            Read::MemberGauges(|lag| u64::from(lag.late.is_some())),
        ),
        Row::new(
            "innkeeper_leads",
            "1 if this node leads.",
            Read::GaugeIfAny(|sample| {
                sample
                    .status()
                    .map(|status| u64::from(leads(&status)).into())
            }),
        ),
        Row::new(
            "innkeeper_term",
            "The term of the leader.",
            Read::GaugeIfAny(|sample| sample.status().map(|status| status.term.into())),
        ),
        Row::new(
            "innkeeper_log_last_index",
            "The last entry of the log.",
            Read::GaugeIfAny(|sample| sample.status().map(|status| index(status.last_log).into())),
        ),
        Row::new(
            "innkeeper_log_committed_index",
            "The last entry that is committed.",
            Read::GaugeIfAny(|sample| sample.status().map(|status| index(status.committed).into())),
        ),
        Row::new(
            "innkeeper_log_applied_index",
            "The last entry that is applied.",
            Read::GaugeIfAny(|sample| sample.status().map(|status| index(status.applied).into())),
        ),
        Row::new(
            "innkeeper_checkpoint_index",
            "The entry at which the state on disk stands.",
            Read::GaugeIfAny(|sample| {
                sample
                    .status()
                    .map(|status| index(status.checkpoint).into())
            }),
        ),
        Row::new(
            "innkeeper_log_segments",
            "Files of the log.",
            Read::GaugeIfAny(|sample| sample.status().map(|status| status.log.segments.into())),
        ),
        Row::new(
            "innkeeper_log_bytes",
            "Bytes written in the files of the log.",
            Read::GaugeIfAny(|sample| sample.status().map(|status| status.log.bytes.into())),
        ),
        Row::new(
            "innkeeper_syncs_total",
            "Syncs of files and folders since the process started.",
            Read::CounterIfAny(|sample| sample.status().map(|status| status.syncs)),
        ),
        Row::new(
            "innkeeper_slow_syncs_total",
            "Batches of the log that took more than a second to sync.",
            Read::CounterIfAny(|sample| {
                sample.replica.as_ref().map(|(_, stats)| stats.slow_syncs())
            }),
        ),
        Row::counter(
            "innkeeper_http_wrong_passwords_total",
            "Wrong names or passwords over HTTP.",
            |sample| sample.service.stats.http_attempts_wrong.get(),
        ),
        Row::counter(
            "innkeeper_http_deferred_passwords_total",
            "Requests over HTTP whose password was not checked, because too many wrong ones had come from their address.",
            |sample| sample.service.stats.http_attempts_deferred.get(),
        ),
        Row::counter(
            "innkeeper_http_evicted_connections_total",
            "Idle or slow connections of HTTP and of the admin socket that were closed to make room.",
            |sample| sample.service.stats.http_evicted.get(),
        ),
        Row::gauge(
            "innkeeper_modules",
            "Modules that bindings may name.",
            |sample| sample.view.modules().len().into(),
        ),
        Row::counter(
            "innkeeper_modules_compiled_total",
            "Compiling processes that were started.",
            |sample| sample.service.stats.modules_compiled.get(),
        ),
        Row::counter(
            "innkeeper_modules_loaded_total",
            "Modules that were loaded from what was compiled before.",
            |sample| sample.service.stats.modules_loaded.get(),
        ),
        Row::gauge("innkeeper_bindings", "Number of bindings.", |sample| {
            sample.view.bindings().len().into()
        }),
        Row::new(
            "innkeeper_tls_certificate_expiry_seconds",
            "When the first of the node's own certificates ends, in seconds since 1970.",
            Read::GaugeIfAny(|sample| sample.service.certificate_ends_s().map(Number::Int)),
        ),
        Row::new(
            "innkeeper_binding_active",
            "1 if a module acts for the binding.",
            Read::BindingGauges(|binding| usize::from(binding.active.is_some())),
        ),
        Row::new(
            "innkeeper_binding_queued",
            "Events that wait for a recipe.",
            Read::BindingGauges(|binding| binding.queued),
        ),
        Row::new(
            "innkeeper_binding_breaker_open",
            "1 if the binding has failed so often that it is rarely tried.",
            Read::BindingGauges(|binding| usize::from(binding.breaker == Breaker::Open)),
        ),
        Row::new(
            "innkeeper_binding_invocations_total",
            "Invocations of the guest that ended well.",
            Read::BindingCounters(|binding| binding.invocations),
        ),
        Row::new(
            "innkeeper_binding_conflicts_total",
            "Transactions that ran again because something they had read had changed.",
            Read::BindingCounters(|binding| binding.conflicts),
        ),
        Row::new(
            "innkeeper_binding_failures_total",
            "Invocations of the guest that failed.",
            Read::BindingCounters(|binding| binding.failures),
        ),
        Row::new(
            "innkeeper_binding_log_dropped_total",
            "Messages of the guest that the node's log does not have, because there were too many.",
            Read::BindingCounters(|binding| binding.log_dropped),
        ),
        Row::new(
            "innkeeper_binding_errors_dropped_total",
            "Errors of the binding that the node's log does not have, because there were too many.",
            Read::BindingCounters(|binding| binding.errors_dropped),
        ),
        Row::new(
            "innkeeper_binding_cascades_cut_total",
            "Times that events were kept from the binding because too long a chain of reactions led to them.",
            Read::BindingCounters(|binding| binding.cascades_cut),
        ),
    ];
}

fn leads(status: &&Status) -> bool {
    status.role == RaftRole::Leader
}

/// An entry's index; 0 if there is none.
fn index(index: Option<u64>) -> u64 {
    index.unwrap_or(0)
}
