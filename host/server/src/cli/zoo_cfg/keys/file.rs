//! The keys that ZooKeeper's `QuorumPeerConfig` reads itself. It takes them from the file only;
//! here `-D` may give them, too.

use std::path::PathBuf;

use anyhow::bail;

use super::super::ensemble::votes_of;
use super::{ALONE, Key, honoured, unsupported};

/// See [`super`].
pub(super) const KEYS: &[Key] = &[
    honoured("tickTime", |draft, given| {
        draft.settings.tick_time_ms = given.natural()?;
        if draft.settings.tick_time_ms == 0 {
            bail!("{given}: a tick of 0 ms is no tick; write 2000, or leave it out");
        }
        Ok(())
    }),
    honoured("dataDir", |draft, given| {
        draft.data_dir = Some(PathBuf::from(&given.value));
        Ok(())
    }),
    unsupported(
        "dataLogDir",
        "the log stands in the data folder, beside the state; put the whole of dataDir on the fast disk",
    ),
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
        // Below zero is no limit there, too.
        draft.settings.max_client_connections = usize::try_from(given.integer()?).unwrap_or(0);
        Ok(())
    }),
    honoured("minSessionTimeout", |draft, given| {
        draft.settings.min_session_timeout_ms = u32::try_from(given.integer()?).ok();
        Ok(())
    }),
    honoured("maxSessionTimeout", |draft, given| {
        draft.settings.max_session_timeout_ms = u32::try_from(given.integer()?).ok();
        Ok(())
    }),
    honoured("localSessionsEnabled", |draft, given| {
        draft.settings.local_sessions = given.boolean()?;
        Ok(())
    }),
    honoured("localSessionsUpgradingEnabled", |draft, given| {
        draft.settings.local_sessions_upgrading = given.boolean()?;
        Ok(())
    }),
    honoured("reconfigEnabled", |draft, given| {
        draft.settings.reconfig_enabled = given.boolean()?;
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
        draft.observer = !votes_of(&given.value)?;
        Ok(())
    }),
    honoured("electionAlg", |draft, given| {
        if given.integer()? != 3 {
            bail!("{given}: ZooKeeper takes 3 only; write 3, or leave it out");
        }
        draft.note("electionAlg", ALONE);
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
        draft.metrics.port = given.port()?;
        Ok(())
    }),
    unsupported(
        "metricsProvider.*",
        "of a metrics provider's own settings, httpHost and httpPort are known here",
    ),
    unsupported(
        "observerMasterPort",
        "this release serves alone, so no observer can follow it",
    ),
    unsupported(
        "oraclePath",
        "this release serves alone, so no oracle is asked which of two goes on",
    ),
];
