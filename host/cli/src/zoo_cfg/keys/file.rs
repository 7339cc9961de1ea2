//! The keys that ZooKeeper's `QuorumPeerConfig` reads, from the file alone. It checks their values,
//! so a value that it refuses is an error here as well, except where this node does not use the
//! value.

use std::path::PathBuf;

use anyhow::bail;
use innkeeper_auth::java::is_true;

use super::super::draft::{Draft, PEERS};
use super::super::ensemble::votes_of;
use super::super::values::Given;
use super::{Key, honoured, unsupported};

/// The keys that have an effect, and those whose missing effect users would notice.
pub(super) const KEYS: &[Key] = &[
    honoured("tickTime", |draft, given| {
        draft.tick_time = Some((given.integer()?, given.clone()));
        Ok(())
    }),
    honoured("dataDir", |draft, given| {
        draft.data_dir = Some(PathBuf::from(&given.value));
        Ok(())
    }),
    honoured("dataLogDir", |draft, given| {
        // This node does not use the folder, but ZooKeeper's own log may be in it.
        draft.data_log_dir = Some(PathBuf::from(&given.value));
        draft.warn(format!(
            "{given} is not supported: the log stands in the data folder, beside the state; put \
             the whole of dataDir on the fast disk"
        ));
        Ok(())
    }),
    honoured("clientPort", |draft, given| {
        draft.client_port = Some(given.port()?);
        Ok(())
    }),
    honoured("clientPortAddress", |draft, given| {
        draft.client_address = Some(given.clone());
        Ok(())
    }),
    honoured("secureClientPort", |draft, given| {
        draft.secure_port = Some(given.port()?);
        Ok(())
    }),
    honoured("secureClientPortAddress", |draft, given| {
        draft.secure_address = Some(given.clone());
        Ok(())
    }),
    honoured("maxClientCnxns", |draft, given| {
        // As in ZooKeeper, a number below zero is no limit.
        draft.settings.server.max_client_connections =
            usize::try_from(given.integer()?).unwrap_or(0);
        Ok(())
    }),
    honoured("minSessionTimeout", |draft, given| {
        // -1 stands for the default.
        draft.min_timeout_ms = Some(given.integer()?).filter(|time_ms| *time_ms != -1);
        Ok(())
    }),
    honoured("maxSessionTimeout", |draft, given| {
        draft.max_timeout_ms = Some(given.integer()?).filter(|time_ms| *time_ms != -1);
        Ok(())
    }),
    honoured("localSessionsEnabled", |draft, given| {
        draft.settings.server.local_sessions = given.boolean()?;
        Ok(())
    }),
    honoured("localSessionsUpgradingEnabled", |draft, given| {
        draft.settings.server.local_sessions_upgrading = given.boolean()?;
        Ok(())
    }),
    honoured("reconfigEnabled", |draft, given| {
        draft.settings.server.reconfig_enabled = given.boolean()?;
        Ok(())
    }),
    honoured("standaloneEnabled", |draft, given| {
        draft.standalone_enabled = given.boolean()?;
        Ok(())
    }),
    honoured("dynamicConfigFile", |draft, given| {
        draft.dynamic_file = Some(PathBuf::from(&given.value));
        Ok(())
    }),
    honoured("server.*", |draft, given| draft.member(given)),
    honoured("group*", |draft, given| draft.member(given)),
    honoured("weight*", |draft, given| draft.member(given)),
    honoured("peerType", |draft, given| {
        draft.observer = Some(!votes_of(&given.value)?);
        Ok(())
    }),
    honoured("quorumListenOnAllIPs", |draft, given| {
        draft.peers_everywhere = is_true(&given.value);
        Ok(())
    }),
    honoured("sslQuorum", protects_peers),
    honoured("quorum.auth.enableSasl", protects_peers),
    honoured("quorum.auth.serverRequireSasl", protects_peers),
    honoured("quorum.auth.learnerRequireSasl", protects_peers),
    honoured("initLimit", |draft, given| {
        draft.init_limit = Some(given.integer()?);
        Ok(())
    }),
    honoured("syncLimit", |draft, given| {
        draft.sync_limit = Some(given.integer()?);
        Ok(())
    }),
    honoured("electionAlg", |draft, given| {
        if given.integer()? != 3 {
            bail!("{given}: ZooKeeper takes 3 only; write 3, or leave it out");
        }
        draft.note("electionAlg", PEERS);
        Ok(())
    }),
    honoured("metricsProvider.className", |draft, given| {
        draft.metrics.provider = match given.value.rsplit('.').next() {
            Some("PrometheusMetricsProvider") => true,
            Some("DefaultMetricsProvider" | "NullMetricsProvider") => false,
            _ => {
                draft.warn(format!(
                    "{given}: only PrometheusMetricsProvider is served here; metrics are at /metrics \
                     of the admin address"
                ));
                false
            }
        };
        Ok(())
    }),
    honoured("metricsProvider.httpHost", |draft, given| {
        draft.metrics.host = Some(given.clone());
        Ok(())
    }),
    honoured("metricsProvider.httpPort", |draft, given| {
        draft.metrics.port = Some(given.clone());
        Ok(())
    }),
    unsupported(
        "metricsProvider.*",
        "of a metrics provider's own settings, httpHost and httpPort are known here",
    ),
    unsupported(
        "observerMasterPort",
        "an observer follows the leader of its group, at the peer port",
    ),
    unsupported(
        "oraclePath",
        "no oracle is asked which of two servers goes on: take three servers, of which two are enough",
    ),
];

/// A key that asks to protect what servers tell each other.
fn protects_peers(draft: &mut Draft, given: &Given) -> anyhow::Result<()> {
    if is_true(&given.value) {
        draft.peer_protection.push(given.clone());
    }
    Ok(())
}
