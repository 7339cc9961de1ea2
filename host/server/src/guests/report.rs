//! What the node knows of each binding beyond the replicated state: for people.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use innkeeper_sandbox::{LogLevel, LogLine, Usage};
use innkeeper_tree::{Binding, Zxid};
use parking_lot::Mutex;
use serde::Serialize;

/// Lines of a guest's log that are kept for its status.
const LOG_LINES_KEPT: usize = 32;

/// Failures in a row after which a binding's breaker opens.
pub(super) const BREAKER_FAILURES: u32 = 5;

/// Whether a binding is being invoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breaker {
    /// Normal.
    #[default]
    Closed,
    /// It failed; the next try waits.
    BackingOff,
    /// It failed again and again; it is tried now and then only. Somebody has to look.
    Open,
}

/// One binding as shown by `innkeeper binding status` and HTTP.
#[derive(Clone, Debug, Serialize)]
pub struct BindingStatus {
    /// The binding's name.
    pub name: String,
    /// recipe, assignor or authorizer.
    pub world: &'static str,
    /// The module that the document names.
    pub wished: String,
    /// The module that acts, if any.
    pub active: Option<String>,
    /// zxid of the activation that holds.
    pub activation: Option<u64>,
    /// Has the document been activated?
    pub pending: bool,
    /// Why the document is not active, if its activation was tried and failed.
    pub activation_error: Option<String>,
    /// zxid of the last change of the binding, its module or its policy.
    pub policy_zxid: u64,
    /// Events waiting (recipes).
    pub queued: usize,
    /// Invocations that ended well since the node started.
    pub invocations: u64,
    /// Transactions that had to run again because something they read had changed.
    pub conflicts: u64,
    /// Invocations that failed since the node started.
    pub failures: u64,
    /// Whether it is being invoked.
    pub breaker: Breaker,
    /// The last error, if any since the node started.
    pub last_error: Option<String>,
    /// When, in milliseconds since 1970.
    pub last_error_ms: Option<u64>,
    /// Fuel of the last invocation.
    pub last_fuel: u64,
    /// Greatest memory of the last invocation, in bytes.
    pub last_memory_bytes: usize,
    /// The guest's last messages.
    pub log: Vec<String>,
}

#[derive(Default)]
struct Report {
    invocations: u64,
    conflicts: u64,
    failures: u64,
    breaker: Breaker,
    last_error: Option<(u64, String)>,
    /// The wish that could not be activated, and why.
    not_activated: Option<(Zxid, String)>,
    last_usage: Usage,
    log: VecDeque<String>,
}

/// The reports of all bindings.
#[derive(Default)]
pub(super) struct Reports {
    by_name: Mutex<BTreeMap<Arc<str>, Report>>,
}

impl Reports {
    fn with(&self, name: &Arc<str>, change: impl FnOnce(&mut Report)) {
        change(self.by_name.lock().entry(Arc::clone(name)).or_default());
    }

    pub(super) fn invoked(&self, name: &Arc<str>, usage: Usage) {
        self.with(name, |report| {
            report.invocations += 1;
            report.last_usage = usage;
        });
    }

    pub(super) fn conflicted(&self, name: &Arc<str>) {
        self.with(name, |report| report.conflicts += 1);
    }

    pub(super) fn failed(&self, name: &Arc<str>, now_ms: u64, error: String) {
        tracing::warn!(binding = &**name, "{error}");
        self.with(name, |report| {
            report.failures += 1;
            report.last_error = Some((now_ms, error));
        });
    }

    pub(super) fn not_activated(&self, name: &Arc<str>, wish: Zxid, now_ms: u64, error: String) {
        self.with(name, |report| {
            report.not_activated = Some((wish, error.clone()))
        });
        self.failed(name, now_ms, error);
    }

    pub(super) fn breaker(&self, name: &Arc<str>, breaker: Breaker) {
        self.with(name, |report| {
            if breaker == Breaker::Open && report.breaker != Breaker::Open {
                tracing::error!(
                    binding = &**name,
                    "the binding failed {BREAKER_FAILURES} times in a row and is hardly invoked any more; \
                     see `innkeeper binding status`, mend its module or its policy, and write the binding again"
                );
            }
            report.breaker = breaker;
        });
    }

    pub(super) fn log(&self, name: &Arc<str>, lines: Vec<LogLine>) {
        if lines.is_empty() {
            return;
        }
        self.with(name, |report| {
            for line in lines {
                match line.level {
                    LogLevel::Debug => {
                        tracing::debug!(target: "guest", binding = &**name, "{}", line.message)
                    }
                    LogLevel::Info => {
                        tracing::info!(target: "guest", binding = &**name, "{}", line.message)
                    }
                    LogLevel::Warn => {
                        tracing::warn!(target: "guest", binding = &**name, "{}", line.message)
                    }
                    LogLevel::Error => {
                        tracing::error!(target: "guest", binding = &**name, "{}", line.message)
                    }
                }
                if report.log.len() == LOG_LINES_KEPT {
                    report.log.pop_front();
                }
                report.log.push_back(line.message);
            }
        });
    }

    pub(super) fn forget(&self, name: &str) {
        self.by_name.lock().remove(name);
    }

    pub(super) fn status(&self, binding: &Binding, queued: usize) -> BindingStatus {
        let reports = self.by_name.lock();
        let none = Report::default();
        let report = reports.get(&binding.name).unwrap_or(&none);
        BindingStatus {
            name: binding.name.to_string(),
            world: binding.wished.world.name(),
            wished: binding.wished.module.to_string(),
            active: binding
                .active
                .as_ref()
                .map(|active| active.definition.module.to_string()),
            activation: binding.active.as_ref().map(|active| active.activation.0),
            pending: binding.is_pending(),
            activation_error: report
                .not_activated
                .as_ref()
                .filter(|(wish, _)| *wish == binding.wish && binding.is_pending())
                .map(|(_, error)| error.clone()),
            policy_zxid: binding.policy_zxid.0,
            queued,
            invocations: report.invocations,
            conflicts: report.conflicts,
            failures: report.failures,
            breaker: report.breaker,
            last_error: report.last_error.as_ref().map(|(_, error)| error.clone()),
            last_error_ms: report.last_error.as_ref().map(|(at_ms, _)| *at_ms),
            last_fuel: report.last_usage.fuel,
            last_memory_bytes: report.last_usage.memory_bytes,
            log: report.log.iter().cloned().collect(),
        }
    }
}
