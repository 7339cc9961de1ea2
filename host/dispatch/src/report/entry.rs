//! What the node knows of one binding, and what of it goes into the node's log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use innkeeper_runtime::Instant;
use innkeeper_sandbox::{GuestText, LogLevel, LogLine, Usage};
use innkeeper_tree::Zxid;

use crate::flow::{Flow, Most};
use crate::health::Breaker;

/// Lines of a guest's log that are kept for its status.
pub(super) const LOG_LINES_KEPT: usize = 32;

/// Lines of one guest that reach the node's log in a second; its status has the newest in any
/// case.
const LINES_MOST: Most = Most {
    lines: 100,
    bytes: 64 << 10,
};

/// Errors of one binding that reach the node's log in a second; the last stands in its status.
const ERRORS_MOST: Most = Most {
    lines: 10,
    bytes: 64 << 10,
};

/// Lines of all guests together, and errors of all bindings together, each: guests that log without
/// an end fill at most 45 GB of disk in a day, however many they are.
const NODE_MOST: Most = Most {
    lines: 500,
    bytes: 256 << 10,
};

/// What the node has seen of one binding since the node started.
#[derive(Default)]
pub(super) struct Report {
    /// The czxid of the binding's znode.
    pub(super) created: Zxid,
    /// The wish and the activation that the node's log was told of last.
    pub(super) told_wish: Zxid,
    pub(super) told_activation: Zxid,
    pub(super) invocations: u64,
    pub(super) conflicts: u64,
    pub(super) failures: u64,
    /// The breakers that are not closed: of an assignor, one for each recipe that calls it;
    /// otherwise one, under `None`.
    pub(super) breakers: BTreeMap<Option<Arc<str>>, Breaker>,
    pub(super) cascades_cut: u64,
    /// When the log was last told of a cut cascade, in the state's time, and how many cascades
    /// were cut since without a line.
    pub(super) cut_told_ms: Option<u64>,
    pub(super) cuts_untold: u64,
    pub(super) last_error: Option<(u64, GuestText)>,
    /// The wish that could not be activated, and why.
    pub(super) not_activated: Option<(Zxid, GuestText)>,
    pub(super) last_usage: Usage,
    pub(super) log: VecDeque<GuestText>,
    pub(super) log_dropped: u64,
    pub(super) errors_dropped: u64,
    pub(super) log_flow: Flow,
    pub(super) error_flow: Flow,
}

impl Report {
    pub(super) fn breaker(&self) -> Breaker {
        self.breakers.values().copied().max().unwrap_or_default()
    }

    /// Keeps an error, and tells the node's log of it, unless that has had enough of them.
    pub(super) fn error(
        &mut self,
        node: &mut Flow,
        name: &str,
        now: Instant,
        now_ms: u64,
        error: GuestText,
    ) {
        let flow = &mut self.error_flow;
        match flow.take_of(node, now, error.len(), ERRORS_MOST, NODE_MOST) {
            Some(missing) => {
                if missing > 0 {
                    tracing::warn!(binding = name, "{missing} more errors were not logged");
                }
                tracing::warn!(event = "binding-failed", binding = name, "{error}");
            }
            None => self.errors_dropped += 1,
        }
        self.last_error = Some((now_ms, error));
    }

    /// Keeps a message of the guest, and tells the node's log of it, unless that has had enough
    /// of them.
    pub(super) fn line(&mut self, node: &mut Flow, name: &str, now: Instant, line: LogLine) {
        let LogLine {
            level,
            message,
            dropped_after,
        } = line;
        let flow = &mut self.log_flow;
        match flow.take_of(node, now, message.len(), LINES_MOST, NODE_MOST) {
            Some(missing) => {
                if missing > 0 {
                    let text = format!("{missing} more messages were not logged");
                    to_the_log(name, LogLevel::Warn, &text);
                }
                to_the_log(name, level, &message);
            }
            None => self.log_dropped += 1,
        }
        self.log_flow.missed(dropped_after);
        self.log_dropped += dropped_after;
        if self.log.len() == LOG_LINES_KEPT {
            self.log.pop_front();
        }
        self.log.push_back(message);
    }
}

fn to_the_log(name: &str, level: LogLevel, message: &str) {
    match level {
        LogLevel::Debug => tracing::debug!(target: "guest", binding = name, "{message}"),
        LogLevel::Info => tracing::info!(target: "guest", binding = name, "{message}"),
        LogLevel::Warn => tracing::warn!(target: "guest", binding = name, "{message}"),
        LogLevel::Error => tracing::error!(target: "guest", binding = name, "{message}"),
    }
}
