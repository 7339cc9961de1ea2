//! Innkeeper's own figures: the log, the state, the guests; and what ZooKeeper shows of a leader
//! only, which this node always is.

use innkeeper_dispatch::{BindingStatus, Breaker};
use innkeeper_raft::RaftRole;
use innkeeper_runtime::Runtime;
use innkeeper_server::service::Service;

use super::metric::{Metric, Number, Value};
use super::uptime_ms;

/// The label of what there is once per binding.
const BINDING: &str = "binding";

pub(super) fn rows<R: Runtime>(service: &Service<R>, bindings: &[BindingStatus]) -> Vec<Metric> {
    let view = service.reader.view();
    let watched_paths = service.fanout.watch_counts().paths;
    let (min_timeout_ms, max_timeout_ms) = service.settings.timeout_range_ms();
    let mut rows = vec![
        Metric::gauge(
            "last_zxid",
            "The last zxid that is published.",
            view.zxid().0,
        ),
        Metric::gauge("watched_paths", "Paths that clients watch.", watched_paths),
        Metric::gauge(
            "min_client_session_timeout",
            "The shortest session timeout that is granted, in milliseconds.",
            u64::from(min_timeout_ms),
        ),
        Metric::gauge(
            "max_client_session_timeout",
            "The longest session timeout that is granted, in milliseconds.",
            u64::from(max_timeout_ms),
        ),
    ];
    if let Ok(replica) = service.replica() {
        let (status, stats) = (replica.status(), replica.stats());
        let leads = status.role == RaftRole::Leader;
        if leads {
            rows.extend([
                Metric::gauge("quorum_size", "Voting members of the group.", 1u64),
                Metric::gauge(
                    "leader_uptime",
                    "How long this node has led, in milliseconds.",
                    uptime_ms(service),
                ),
            ]);
        }
        let index = |index: Option<u64>| index.unwrap_or(0);
        rows.extend([
            Metric::gauge("innkeeper_leads", "1 if this node leads.", u64::from(leads)),
            Metric::gauge("innkeeper_term", "The term of the leader.", status.term),
            Metric::gauge(
                "innkeeper_log_last_index",
                "The last entry of the log.",
                index(status.last_log),
            ),
            Metric::gauge(
                "innkeeper_log_committed_index",
                "The last entry that is committed.",
                index(status.committed),
            ),
            Metric::gauge(
                "innkeeper_log_applied_index",
                "The last entry that is applied.",
                index(status.applied),
            ),
            Metric::gauge(
                "innkeeper_checkpoint_index",
                "The entry at which the state on disk stands.",
                index(status.checkpoint),
            ),
            Metric::gauge(
                "innkeeper_log_segments",
                "Files of the log.",
                status.log.segments,
            ),
            Metric::gauge(
                "innkeeper_log_bytes",
                "Bytes written in them.",
                status.log.bytes,
            ),
            Metric::counter(
                "innkeeper_syncs_total",
                "Syncs of files and folders since the process started.",
                status.syncs,
            ),
            Metric::counter(
                "innkeeper_slow_syncs_total",
                "Batches of the log that took more than a second to sync.",
                stats.slow_syncs(),
            ),
        ]);
    }
    rows.extend([
        Metric::counter(
            "innkeeper_http_wrong_passwords_total",
            "Wrong names or passwords over HTTP.",
            service.stats.http_attempts_wrong.get(),
        ),
        Metric::counter(
            "innkeeper_http_deferred_passwords_total",
            "Requests over HTTP whose password was not looked at, because too many wrong ones had come from their address.",
            service.stats.http_attempts_deferred.get(),
        ),
        Metric::counter(
            "innkeeper_http_evicted_connections_total",
            "Idle or slow connections of HTTP and of the admin socket that were closed to make room.",
            service.stats.http_evicted.get(),
        ),
        Metric::gauge(
            "innkeeper_modules",
            "Modules that bindings may name.",
            view.modules().len(),
        ),
        Metric::counter(
            "innkeeper_modules_compiled_total",
            "Compiling processes that were started.",
            service.stats.modules_compiled.get(),
        ),
        Metric::counter(
            "innkeeper_modules_loaded_total",
            "Modules that were loaded from what was compiled before.",
            service.stats.modules_loaded.get(),
        ),
        Metric::gauge("innkeeper_bindings", "Bindings.", view.bindings().len()),
    ]);
    if let Some(ends_s) = service.certificate_ends_s() {
        rows.push(Metric::gauge(
            "innkeeper_tls_certificate_expiry_seconds",
            "When the first of the node's own certificates ends, in seconds since 1970.",
            Number::Int(ends_s),
        ));
    }
    rows.extend(of_bindings(bindings));
    rows
}

fn of_bindings(bindings: &[BindingStatus]) -> [Metric; 9] {
    let gauges = |value: fn(&BindingStatus) -> usize| {
        let all = bindings.iter();
        let all = all.map(|binding| (binding.name.clone(), Number::from(value(binding))));
        Value::Gauges(BINDING, all.collect())
    };
    let counters = |value: fn(&BindingStatus) -> u64| {
        let all = bindings.iter();
        let all = all.map(|binding| (binding.name.clone(), value(binding)));
        Value::Counters(BINDING, all.collect())
    };
    let row = |name, help, value| Metric { name, help, value };
    [
        row(
            "innkeeper_binding_active",
            "1 if a module acts for the binding.",
            gauges(|binding| usize::from(binding.active.is_some())),
        ),
        row(
            "innkeeper_binding_queued",
            "Events that wait for a recipe.",
            gauges(|binding| binding.queued),
        ),
        row(
            "innkeeper_binding_breaker_open",
            "1 if the binding has failed so often that it is rarely tried.",
            gauges(|binding| usize::from(binding.breaker == Breaker::Open)),
        ),
        row(
            "innkeeper_binding_invocations_total",
            "Invocations of the guest that ended well.",
            counters(|binding| binding.invocations),
        ),
        row(
            "innkeeper_binding_conflicts_total",
            "Transactions that ran again because something they had read had changed.",
            counters(|binding| binding.conflicts),
        ),
        row(
            "innkeeper_binding_failures_total",
            "Invocations of the guest that failed.",
            counters(|binding| binding.failures),
        ),
        row(
            "innkeeper_binding_log_dropped_total",
            "Messages of the guest that the node's log does not have, because there were too many.",
            counters(|binding| binding.log_dropped),
        ),
        row(
            "innkeeper_binding_errors_dropped_total",
            "Errors of the binding that the node's log does not have, because there were too many.",
            counters(|binding| binding.errors_dropped),
        ),
        row(
            "innkeeper_binding_cascades_cut_total",
            "Times that events were kept from the binding because too long a chain of reactions led to them.",
            counters(|binding| binding.cascades_cut),
        ),
    ]
}
