//! The system properties of ZooKeeper that its users tune, and that do the same here.

use anyhow::Context;

use super::super::words;
use super::{Key, honoured, unsupported};
use crate::settings::MAX_JUTE_BUFFER_BYTES;

/// See [`super`].
pub(super) const KEYS: &[Key] = &[
    honoured("4lw.commands.whitelist", |draft, given| {
        draft.settings.words =
            words(&given.value).with_context(|| format!("{given} is not usable"))?;
        Ok(())
    }),
    honoured("jute.maxbuffer", |draft, given| {
        if let Some(bytes) = draft.positive::<usize>(given) {
            if bytes > MAX_JUTE_BUFFER_BYTES {
                draft.warn(format!(
                    "{given} is more than this server takes: {MAX_JUTE_BUFFER_BYTES} counts"
                ));
            }
            draft.settings.jute_max_buffer_bytes = bytes.min(MAX_JUTE_BUFFER_BYTES);
        }
        Ok(())
    }),
    honoured("maxCnxns", |draft, given| {
        if let Some(max) = draft.number(given) {
            draft.settings.max_connections = usize::try_from(max).unwrap_or(0);
        }
        Ok(())
    }),
    honoured("globalOutstandingLimit", |draft, given| {
        if let Some(limit) = draft.positive(given) {
            draft.settings.global_outstanding_limit = limit;
        }
        Ok(())
    }),
    honoured("request_throttle_max_requests", |draft, given| {
        if let Some(max) = draft.number(given) {
            draft.settings.request_throttle.max_requests = usize::try_from(max).unwrap_or(0);
        }
        Ok(())
    }),
    honoured("request_throttle_drop_stale", |draft, given| {
        draft.drop_stale = given.switch();
        Ok(())
    }),
    honoured("request_stale_latency_check", |draft, given| {
        draft.stale_latency = given.switch();
        Ok(())
    }),
    honoured("throttled_op_wait_time", |draft, given| {
        if let Some(wait_ms) = draft.number(given) {
            let wait_ms = u64::try_from(wait_ms).unwrap_or(0);
            draft.settings.request_throttle.throttled_op_wait_ms = wait_ms;
        }
        Ok(())
    }),
    honoured("largeRequestThreshold", |draft, given| {
        if let Some(threshold) = draft.number(given) {
            // Zero and below switch it off there, too.
            let threshold = usize::try_from(threshold).ok().filter(|bytes| *bytes > 0);
            draft.settings.large_request_threshold_bytes = threshold;
        }
        Ok(())
    }),
    honoured("largeRequestMaxBytes", |draft, given| {
        if let Some(bytes) = draft.positive(given) {
            draft.settings.large_request_max_bytes = bytes;
        }
        Ok(())
    }),
    honoured("connection_throttle_tokens", |draft, given| {
        if let Some(tokens) = draft.number(given) {
            draft.settings.connection_throttle.tokens = u32::try_from(tokens).unwrap_or(0);
        }
        Ok(())
    }),
    honoured("connection_throttle_fill_time", |draft, given| {
        if let Some(time_ms) = draft.positive(given) {
            draft.settings.connection_throttle.fill_time_ms = time_ms;
        }
        Ok(())
    }),
    honoured("connection_throttle_fill_count", |draft, given| {
        if let Some(count) = draft.positive(given) {
            draft.settings.connection_throttle.fill_count = count;
        }
        Ok(())
    }),
    honoured("connection_throttle_freeze_time", |draft, given| {
        if let Some(time_ms) = draft.number(given) {
            draft.settings.connection_throttle.freeze_time_ms = u32::try_from(time_ms).ok();
        }
        Ok(())
    }),
    honoured("connection_throttle_drop_increase", |draft, given| {
        draft.settings.connection_throttle.drop_increase = given.ratio()?;
        Ok(())
    }),
    honoured("connection_throttle_drop_decrease", |draft, given| {
        draft.settings.connection_throttle.drop_decrease = given.ratio()?;
        Ok(())
    }),
    honoured("connection_throttle_decrease_ratio", |draft, given| {
        draft.settings.connection_throttle.decrease_ratio = given.ratio()?;
        Ok(())
    }),
    honoured("connection_throttle_weight_enabled", |draft, given| {
        draft.weighed = given.switch();
        Ok(())
    }),
    honoured(
        "connection_throttle_global_session_weight",
        |draft, given| {
            if let Some(weight) = draft.positive(given) {
                draft.weights.session = weight;
            }
            Ok(())
        },
    ),
    honoured(
        "connection_throttle_local_session_weight",
        |draft, given| {
            if let Some(weight) = draft.positive(given) {
                draft.weights.local_session = weight;
            }
            Ok(())
        },
    ),
    honoured(
        "connection_throttle_renew_session_weight",
        |draft, given| {
            if let Some(weight) = draft.positive(given) {
                draft.weights.old_session = weight;
            }
            Ok(())
        },
    ),
    honoured("nio.sessionlessCnxnTimeout", |draft, given| {
        if let Some(time_ms) = draft.positive(given) {
            draft.settings.handshake_timeout_ms = time_ms;
        }
        Ok(())
    }),
    honoured("extendedTypesEnabled", |draft, given| {
        draft.settings.extended_types_enabled = given.switch();
        Ok(())
    }),
    unsupported(
        "emulate353TTLNodes",
        "TTL znodes are marked as 3.5.4 and later mark them",
    ),
    honoured("enforceQuota", |draft, given| {
        draft.settings.enforce_quota = given.switch();
        Ok(())
    }),
    honoured("znode.container.checkIntervalMs", |draft, given| {
        if let Some(time_ms) = draft.positive(given) {
            draft.settings.container_check_interval_ms = time_ms;
        }
        Ok(())
    }),
    honoured("znode.container.maxPerMinute", |draft, given| {
        if let Some(count) = draft.positive(given) {
            draft.settings.container_max_per_minute = count;
        }
        Ok(())
    }),
    honoured("znode.container.maxNeverUsedIntervalMs", |draft, given| {
        if let Some(time_ms) = draft.number(given) {
            let time_ms = u64::try_from(time_ms).unwrap_or(0);
            draft.settings.container_max_never_used_ms = time_ms;
        }
        Ok(())
    }),
    honoured("readonlymode.enabled", |draft, given| {
        draft.settings.read_only_mode = given.switch();
        Ok(())
    }),
    honoured("skipACL", |draft, given| {
        // ZooKeeper knows one word here.
        draft.settings.skip_acl = given.value == "yes";
        Ok(())
    }),
    honoured("datadir.autocreate", |draft, given| {
        draft.create_data_dir = given.switch();
        Ok(())
    }),
    honoured("admin.enableServer", |draft, given| {
        draft.admin.enabled = given.switch();
        Ok(())
    }),
    honoured("admin.serverAddress", |draft, given| {
        draft.admin.host = Some(given.clone());
        Ok(())
    }),
    honoured("admin.serverPort", |draft, given| {
        draft.admin.port = given.port()?;
        Ok(())
    }),
    honoured("admin.idleTimeout", |draft, given| {
        // In Java's sense, 0 and less is no limit; here a limit there is.
        let limit_ms = u64::try_from(given.integer()?).ok();
        draft.settings.admin_idle_timeout_ms = limit_ms.filter(|limit_ms| *limit_ms > 0);
        Ok(())
    }),
    honoured("admin.commandURL", |draft, given| {
        let path = given.value.trim_matches('/');
        draft.settings.admin_command_url = format!("/{path}");
        Ok(())
    }),
    unsupported(
        "admin.portUnification",
        "HTTP is served without TLS; put a proxy that speaks TLS before it",
    ),
    unsupported(
        "admin.forceHttps",
        "HTTP is served WITHOUT TLS; set admin.serverAddress=127.0.0.1 and put a proxy that speaks TLS before it",
    ),
    unsupported(
        "admin.needClientAuth",
        "HTTP is served without TLS and asks for no certificate; put a proxy that does before it",
    ),
    unsupported(
        "admin.snapshot.enabled",
        "the commands snapshot and restore are not served; the data folder of a stopped node is its backup",
    ),
    unsupported(
        "admin.restore.enabled",
        "the commands snapshot and restore are not served; the data folder of a stopped node is its backup",
    ),
    unsupported(
        "admin.rateLimiterIntervalInMS",
        "the commands snapshot and restore, which it limits, are not served",
    ),
    unsupported(
        "audit.*",
        "no audit log is written; changes can be followed by a persistent recursive watch",
    ),
];
