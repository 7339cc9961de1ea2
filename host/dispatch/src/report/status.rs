//! A binding as people are shown it.

use innkeeper_runtime::calendar::rfc_3339;
use innkeeper_sandbox::GuestText;
use innkeeper_tree::Binding;
use serde::{Deserialize, Serialize};

use super::entry::Report;
use crate::health::Breaker;

/// One binding as shown by `innkeeper binding status` and HTTP. In a group it comes from the leader,
/// whose reports begin when its node started.
// A node of an older release leaves out what it does not know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BindingStatus {
    /// The binding's name.
    pub name: String,
    /// recipe, assignor or authorizer.
    pub world: String,
    /// The module that the document names.
    pub wished: String,
    /// The module that acts, if any.
    pub active: Option<String>,
    /// zxid of the activation that holds.
    pub activation: Option<u64>,
    /// Whether the document still waits for its activation.
    pub pending: bool,
    /// Why the document is not active, if its activation was tried and failed.
    pub activation_error: Option<String>,
    /// What the activation waits for, while the leader lets other nodes load an authorizer's
    /// module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
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
    /// Whether it is being invoked; of an assignor, by the recipe that it fares worst with.
    pub breaker: Breaker,
    /// How often events were kept from it because too long a chain of reactions led to them:
    /// most likely, recipes answer each other without an end.
    pub cascades_cut: u64,
    /// The last error, if any since the node started.
    pub last_error: Option<String>,
    /// The time of the last error, in milliseconds since 1970.
    pub last_error_ms: Option<u64>,
    /// The time of the last error by RFC 3339.
    pub last_error_at: Option<String>,
    /// Fuel of the last invocation.
    pub last_fuel: u64,
    /// Greatest memory of the last invocation, in bytes.
    pub last_memory_bytes: usize,
    /// Messages that the node's log does not have, because the guest wrote too many in one
    /// invocation or in a second.
    pub log_dropped: u64,
    /// Errors that the node's log does not have, because there were too many in a second.
    pub errors_dropped: u64,
    /// The guest's last messages.
    pub log: Vec<String>,
}

impl BindingStatus {
    /// What the replicated state and the report of this node say of a binding, in whose queue are
    /// that many events.
    pub(super) fn of(binding: &Binding, queued: usize, report: &Report) -> Self {
        let last_error = report.last_error.as_ref();
        Self {
            name: binding.name.to_string(),
            world: binding.wished.world.name().to_owned(),
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
                .map(|(_, error)| error.to_string()),
            waits_for: None,
            policy_zxid: binding.policy_zxid.0,
            queued,
            invocations: report.invocations,
            conflicts: report.conflicts,
            failures: report.failures,
            breaker: report.breaker(),
            cascades_cut: report.cascades_cut,
            last_error: last_error.map(|(_, error)| error.to_string()),
            last_error_ms: last_error.map(|(at_ms, _)| *at_ms),
            last_error_at: last_error.map(|(at_ms, _)| rfc_3339(*at_ms)),
            last_fuel: report.last_usage.fuel,
            last_memory_bytes: report.last_usage.memory_bytes,
            log_dropped: report.log_dropped,
            errors_dropped: report.errors_dropped,
            log: report.log.iter().map(GuestText::to_string).collect(),
        }
    }

    /// More bytes than its JSON has. Guests' texts are escaped already, so that at most every
    /// character is escaped once more.
    pub(crate) fn bytes_at_most(&self) -> usize {
        const REST: usize = 2048;
        let errors = [&self.activation_error, &self.waits_for, &self.last_error];
        let errors = errors.into_iter().flatten();
        let texts = self.log.iter().chain(errors).chain([&self.name]);
        REST + texts.map(|text| 2 * text.len() + 8).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_status_fits_into_a_message_between_nodes() {
        let text = "\"\\".repeat(2048);
        let status = BindingStatus {
            name: "n".repeat(256),
            world: "authorizer".to_owned(),
            wished: "w".repeat(71),
            active: Some("a".repeat(71)),
            activation: Some(u64::MAX),
            activation_error: Some(text.clone()),
            waits_for: Some(text.clone()),
            last_error: Some(text.clone()),
            last_error_at: Some("2026-01-01T00:00:00.000Z".to_owned()),
            last_fuel: u64::MAX,
            log: vec![text; 32],
            ..BindingStatus::default()
        };
        let json = serde_json::to_vec(&status).unwrap();
        assert!(json.len() <= status.bytes_at_most());
        assert!(json.len() < 400 << 10, "{} bytes", json.len());
        let read: BindingStatus = serde_json::from_slice(&json).unwrap();
        assert_eq!(serde_json::to_vec(&read).unwrap(), json);
        // An older node leaves a field out.
        let older: BindingStatus = serde_json::from_str(r#"{"name":"n","new":1}"#).unwrap();
        assert_eq!(older.name, "n");
    }
}
