//! The system properties of ZooKeeper, except those of authentication and TLS, that have an effect
//! here or whose missing effect users would notice.

use innkeeper_auth::java::{decode_long, is_true};
use innkeeper_server::settings::MAX_JUTE_BUFFER_BYTES;
use innkeeper_tree::text::piece;

use super::super::draft::Draft;
use super::super::lenient_words;
use super::super::values::Given;
use super::{Key, honoured, unsupported};

/// The keys with their functions.
pub(super) const KEYS: &[Key] = &[
    honoured("zookeeper.4lw.commands.whitelist", |draft, given| {
        let (words, unknown) = lenient_words(&given.value);
        draft.settings.admin.words = words;
        if !unknown.is_empty() {
            draft.warn(format!(
                "{given}: ZooKeeper knows no word {}, so nobody can ask for it",
                piece(unknown.join(", "))
            ));
        }
        Ok(())
    }),
    honoured("jute.maxbuffer", |draft, given| {
        if let Some(bytes) = draft.positive::<usize>(given) {
            if bytes > MAX_JUTE_BUFFER_BYTES {
                draft.warn(format!(
                    "{given} is more than this server takes: {MAX_JUTE_BUFFER_BYTES} counts"
                ));
            }
            draft.settings.server.jute_max_buffer_bytes = bytes.min(MAX_JUTE_BUFFER_BYTES);
        }
        Ok(())
    }),
    honoured("zookeeper.maxCnxns", |draft, given| {
        if let Some(max) = draft.number(given) {
            draft.settings.server.max_connections = usize::try_from(max).unwrap_or(0);
        }
        Ok(())
    }),
    honoured("zookeeper.globalOutstandingLimit", |draft, given| {
        if let Some(limit) = draft.positive(given) {
            draft.settings.server.global_outstanding_limit = limit;
        }
        Ok(())
    }),
    honoured("zookeeper.request_throttle_max_requests", |draft, given| {
        if let Some(max) = draft.number(given) {
            draft.settings.server.request_throttle.max_requests = usize::try_from(max).unwrap_or(0);
        }
        Ok(())
    }),
    honoured("zookeeper.request_throttle_drop_stale", |draft, given| {
        draft.drop_stale = is_true(&given.value);
        Ok(())
    }),
    honoured("zookeeper.request_stale_latency_check", |draft, given| {
        draft.stale_latency = is_true(&given.value);
        Ok(())
    }),
    honoured("zookeeper.throttled_op_wait_time", |draft, given| {
        if let Some(wait_ms) = draft.number(given) {
            let wait_ms = u64::try_from(wait_ms).unwrap_or(0);
            draft.settings.server.request_throttle.throttled_op_wait_ms = wait_ms;
        }
        Ok(())
    }),
    honoured("zookeeper.largeRequestThreshold", |draft, given| {
        if let Some(threshold) = draft.number(given) {
            // As in ZooKeeper, zero and below switch it off.
            let threshold = usize::try_from(threshold).ok().filter(|bytes| *bytes > 0);
            draft.settings.server.large_request_threshold_bytes = threshold;
        }
        Ok(())
    }),
    honoured("zookeeper.largeRequestMaxBytes", |draft, given| {
        if let Some(bytes) = draft.positive(given) {
            draft.settings.server.large_request_max_bytes = bytes;
        }
        Ok(())
    }),
    honoured("zookeeper.connection_throttle_tokens", |draft, given| {
        if let Some(tokens) = draft.number(given) {
            draft.settings.server.connection_throttle.tokens = u32::try_from(tokens).unwrap_or(0);
        }
        Ok(())
    }),
    honoured("zookeeper.connection_throttle_fill_time", |draft, given| {
        if let Some(time_ms) = draft.positive(given) {
            draft.settings.server.connection_throttle.fill_time_ms = time_ms;
        }
        Ok(())
    }),
    honoured(
        "zookeeper.connection_throttle_fill_count",
        |draft, given| {
            if let Some(count) = draft.positive(given) {
                draft.settings.server.connection_throttle.fill_count = count;
            }
            Ok(())
        },
    ),
    honoured(
        "zookeeper.connection_throttle_freeze_time",
        |draft, given| {
            if let Some(time_ms) = draft.number(given) {
                // -1 is off; what is below counts as 0 there, too.
                let freeze_time_ms = (time_ms != -1).then(|| u32::try_from(time_ms).unwrap_or(0));
                draft.settings.server.connection_throttle.freeze_time_ms = freeze_time_ms;
            }
            Ok(())
        },
    ),
    honoured(
        "zookeeper.connection_throttle_drop_increase",
        |draft, given| {
            draft.settings.server.connection_throttle.drop_increase = given.real()?;
            Ok(())
        },
    ),
    honoured(
        "zookeeper.connection_throttle_drop_decrease",
        |draft, given| {
            draft.settings.server.connection_throttle.drop_decrease = given.real()?;
            Ok(())
        },
    ),
    honoured(
        "zookeeper.connection_throttle_decrease_ratio",
        |draft, given| {
            draft.settings.server.connection_throttle.decrease_ratio = given.real()?;
            Ok(())
        },
    ),
    honoured(
        "zookeeper.connection_throttle_weight_enabled",
        |draft, given| {
            draft.weighed = is_true(&given.value);
            Ok(())
        },
    ),
    honoured(
        "zookeeper.connection_throttle_global_session_weight",
        |draft, given| {
            if let Some(weight) = draft.positive(given) {
                draft.weights.session = weight;
            }
            Ok(())
        },
    ),
    honoured(
        "zookeeper.connection_throttle_local_session_weight",
        |draft, given| {
            if let Some(weight) = draft.positive(given) {
                draft.weights.local_session = weight;
            }
            Ok(())
        },
    ),
    honoured(
        "zookeeper.connection_throttle_renew_session_weight",
        |draft, given| {
            if let Some(weight) = draft.positive(given) {
                draft.weights.old_session = weight;
            }
            Ok(())
        },
    ),
    honoured("zookeeper.nio.sessionlessCnxnTimeout", |draft, given| {
        if let Some(time_ms) = draft.positive(given) {
            draft.settings.server.handshake_timeout_ms = time_ms;
        }
        Ok(())
    }),
    honoured("zookeeper.extendedTypesEnabled", |draft, given| {
        draft.settings.server.extended_types_enabled = is_true(&given.value);
        Ok(())
    }),
    unsupported(
        "zookeeper.emulate353TTLNodes",
        "TTL znodes are marked as 3.5.4 and later mark them",
    ),
    honoured("zookeeper.enforceQuota", |draft, given| {
        draft.settings.server.enforce_quota = is_true(&given.value);
        Ok(())
    }),
    honoured("znode.container.checkIntervalMs", |draft, given| {
        if let Some(time_ms) = draft.positive(given) {
            draft.settings.server.container_check_interval_ms = time_ms;
        }
        Ok(())
    }),
    honoured("znode.container.maxPerMinute", |draft, given| {
        if let Some(count) = draft.positive(given) {
            draft.settings.server.container_max_per_minute = count;
        }
        Ok(())
    }),
    honoured("znode.container.maxNeverUsedIntervalMs", |draft, given| {
        if let Some(time_ms) = draft.long_number(given) {
            let time_ms = u64::try_from(time_ms).unwrap_or(0);
            draft.settings.server.container_max_never_used_ms = time_ms;
        }
        Ok(())
    }),
    honoured(SLOW_SYNC, slow_sync),
    honoured("fsync.warningthresholdms", |draft, given| {
        // As in ZooKeeper, it counts only if the property with the prefix is unset or no number.
        let other = draft.settings.admin.system_properties.get(SLOW_SYNC);
        match other.and_then(|value| decode_long(value)) {
            Some(_) => Ok(()),
            None => slow_sync(draft, given),
        }
    }),
    honoured("readonlymode.enabled", |draft, given| {
        draft.settings.server.read_only_mode = is_true(&given.value);
        Ok(())
    }),
    honoured("zookeeper.skipACL", |draft, given| {
        // As in ZooKeeper, only this word switches it on.
        draft.settings.server.auth.skip_acl = given.value == "yes";
        Ok(())
    }),
    honoured("zookeeper.datadir.autocreate", |draft, given| {
        draft.create_data_dir = is_true(&given.value);
        Ok(())
    }),
    honoured("zookeeper.admin.enableServer", |draft, given| {
        // As in ZooKeeper, only this word switches it off.
        draft.admin.enabled = given.value != "false";
        Ok(())
    }),
    honoured("zookeeper.admin.serverAddress", |draft, given| {
        draft.admin.host = Some(given.clone());
        Ok(())
    }),
    honoured("zookeeper.admin.serverPort", |draft, given| {
        draft.admin.port = Some(given.clone());
        Ok(())
    }),
    honoured("zookeeper.admin.idleTimeout", |draft, given| {
        if let Some(limit_ms) = draft.number(given) {
            // In ZooKeeper 0 and less is no limit; here it means the default limit.
            let limit_ms = u64::try_from(limit_ms).ok();
            draft.settings.admin.idle_timeout_ms = limit_ms.filter(|limit_ms| *limit_ms > 0);
        }
        Ok(())
    }),
    honoured("zookeeper.admin.commandURL", |draft, given| {
        let path = given.value.trim_matches('/');
        draft.settings.admin.command_url = format!("/{path}");
        Ok(())
    }),
    unsupported(
        "zookeeper.admin.portUnification",
        "HTTP is served without TLS; put a proxy that speaks TLS before it",
    ),
    unsupported(
        "zookeeper.admin.forceHttps",
        "HTTP is served WITHOUT TLS; set admin.serverAddress=127.0.0.1 and put a proxy that speaks TLS before it",
    ),
    unsupported(
        "zookeeper.admin.needClientAuth",
        "HTTP is served without TLS and asks for no certificate; put a proxy that does before it",
    ),
    unsupported(
        "zookeeper.admin.snapshot.enabled",
        "the commands snapshot and restore are not served; the data folder of a stopped node is its backup",
    ),
    unsupported(
        "zookeeper.admin.restore.enabled",
        "the commands snapshot and restore are not served; the data folder of a stopped node is its backup",
    ),
    unsupported(
        "zookeeper.admin.rateLimiterIntervalInMS",
        "the commands snapshot and restore, which it limits, are not served",
    ),
    unsupported(
        "zookeeper.audit.*",
        "no audit log is written; changes can be followed by a persistent recursive watch",
    ),
];

/// The property with the time, in milliseconds, above which a sync of the log counts as slow.
const SLOW_SYNC: &str = "zookeeper.fsync.warningthresholdms";

/// Takes the time. A negative one makes every sync slow, as in ZooKeeper.
fn slow_sync(draft: &mut Draft, given: &Given) -> anyhow::Result<()> {
    if let Some(time_ms) = draft.long_number(given) {
        draft.settings.server.slow_sync_ms = u64::try_from(time_ms).unwrap_or(0);
    }
    Ok(())
}
