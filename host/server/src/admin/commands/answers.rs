//! What each reading command answers.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use innkeeper_runtime::Runtime;
use serde_json::{Map, Value, json};

use super::{Answer, stats};
use crate::core::Core;
use crate::figures::render::lines;
use crate::figures::{self, Provider, Serves, json_number, rows, sizes, uptime_ms, version};
use crate::words;

type Fields = Vec<(String, Value)>;

fn field(key: &str, value: impl Into<Value>) -> (String, Value) {
    (key.to_owned(), value.into())
}

/// Runs a reading command, by its own name.
pub(super) async fn answer<R: Runtime>(core: &Core<R>, command: &str, query: &str) -> Answer {
    let without_quorum = [
        "environment",
        "get_trace_mask",
        "set_trace_mask",
        "system_properties",
        "monitor",
        "zabstate",
    ];
    if Serves::now(core) == Serves::Nobody && !without_quorum.contains(&command) {
        let error = "This ZooKeeper instance is not currently serving requests";
        return Answer::failed(command, StatusCode::OK, error);
    }
    let fields = match command {
        "configuration" => configuration(core),
        "connection_stat_reset" => {
            core.clients.reset_all();
            Vec::new()
        }
        "connections" => stats::connections(core, false),
        "dirs" => {
            let sizes = sizes(core).await;
            vec![
                field("datadir_size", sizes.data_bytes),
                field("logdir_size", sizes.log_bytes),
            ]
        }
        "dump" => dump(core),
        "environment" => {
            let all = words::environment().into_iter();
            all.map(|(key, value)| field(key, value)).collect()
        }
        "get_trace_mask" => vec![field("tracemask", core.figures.trace_mask.get())],
        "hash" => vec![field("digests", hash(core))],
        "initial_configuration" => vec![field(
            "initial_configuration",
            core.settings.initial_configuration.as_str(),
        )],
        "is_read_only" => vec![field("read_only", Serves::now(core) == Serves::Readers)],
        "last_snapshot" => last_snapshot(core),
        // One node is no ensemble, and this is what ZooKeeper says then.
        "leader" => {
            return Answer::failed(command, StatusCode::OK, "server is not initialized");
        }
        "monitor" => monitor(core),
        "observers" => vec![
            field("synced_observers", 0),
            field("observers", Value::Array(Vec::new())),
        ],
        "server_stats" => stats::server(core).await,
        "set_trace_mask" => return set_trace_mask(core, query),
        "stat_reset" => {
            figures::reset(core);
            Vec::new()
        }
        "stats" => {
            let mut fields = stats::server(core).await;
            fields.extend(stats::connections(core, true));
            fields
        }
        "system_properties" => {
            let all = core.settings.system_properties.iter();
            all.map(|(key, value)| field(key, value.as_str())).collect()
        }
        "voting_view" => vec![field("current_config", Map::new())],
        "watch_summary" => {
            let (connections, paths, total) = core.fanout.watch_numbers();
            vec![
                field("num_connections", connections),
                field("num_paths", paths),
                field("num_total_watches", total),
            ]
        }
        "watches" => vec![field("session_id_to_watched_paths", watches(core))],
        "watches_by_path" => vec![field("path_to_session_ids", watches_by_path(core))],
        "zabstate" => vec![field("voting", false), field("zabstate", "")],
        // `ruok`, and `observer_connection_stat_reset`, of which there are none.
        _ => Vec::new(),
    };
    Answer::new(command, fields)
}

fn configuration<R: Runtime>(core: &Core<R>) -> Fields {
    let settings = &core.settings;
    let (data, log) = figures::folders(core);
    let (min_timeout_ms, max_timeout_ms) = settings.timeout_range_ms();
    vec![
        field("client_port", core.bound.zookeeper.port()),
        field("data_dir", data.display().to_string()),
        field("data_log_dir", log.display().to_string()),
        field("tick_time", settings.tick_time_ms),
        field("max_client_cnxns", settings.max_client_connections),
        field("min_session_timeout", min_timeout_ms),
        field("max_session_timeout", max_timeout_ms),
        field("server_id", settings.server_id()),
        field("client_port_listen_backlog", -1),
    ]
}

fn dump<R: Runtime>(core: &Core<R>) -> Fields {
    let now_ms = uptime_ms(core);
    let mut by_time: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    for (session, from_now_ms) in core.expiry.due() {
        let at = by_time.entry(now_ms + from_now_ms).or_default();
        at.push(session.0 as i64);
    }
    let by_time = by_time.into_iter();
    let by_time: Map<_, _> = by_time
        .map(|(at, sessions)| field(&at.to_string(), sessions))
        .collect();
    let ephemerals = words::ephemerals(core).into_iter();
    let ephemerals: Map<_, _> = ephemerals
        .map(|(session, paths)| field(&(session.0 as i64).to_string(), paths))
        .collect();
    vec![
        field("expiry_time_to_session_ids", by_time),
        field("session_id_to_ephemeral_paths", ephemerals),
    ]
}

fn hash<R: Runtime>(core: &Core<R>) -> Value {
    let digests = core.reader.view().digests().into_iter();
    digests
        .map(|(zxid, digest)| {
            json!({"zxid": zxid.0, "digest": digest as i64, "digest_version": DIGEST_VERSION})
        })
        .collect()
}

/// The rolling hash's version; it has never changed.
const DIGEST_VERSION: u32 = 1;

/// A checkpoint is what comes nearest to ZooKeeper's snapshot; -1 twice, as in ZooKeeper, if
/// there was none since the node started.
fn last_snapshot<R: Runtime>(core: &Core<R>) -> Fields {
    let replica = core.replica().ok();
    let last = replica.and_then(|replica| replica.figures().last_checkpoint());
    let zxid = last.map_or(-1, |(zxid, _)| zxid.0 as i64);
    let seconds = last.map_or(-1, |(_, wall_ms)| (wall_ms / 1000) as i64);
    vec![
        field("zxid", format!("{zxid:x}")),
        field("timestamp", seconds),
    ]
}

fn monitor<R: Runtime>(core: &Core<R>) -> Fields {
    let mut fields = vec![
        field("version", version()),
        field("server_state", Serves::now(core).state()),
    ];
    let provider = Provider::configured(core);
    let all = lines(&rows(core, provider), provider).into_iter();
    fields.extend(all.map(|(name, number)| (name, json_number(number))));
    fields
}

fn set_trace_mask<R: Runtime>(core: &Core<R>, query: &str) -> Answer {
    const COMMAND: &str = "set_trace_mask";
    let given = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("traceMask="));
    let wrong = "setTraceMask requires long traceMask argument";
    let error = match given.map(str::parse::<i64>) {
        Some(Ok(mask)) => {
            core.figures.trace_mask.set(mask);
            return Answer::new(COMMAND, vec![field("tracemask", mask)]);
        }
        Some(Err(_)) => format!("{wrong}, got {}", given.unwrap_or_default()),
        None => wrong.to_owned(),
    };
    Answer::failed(COMMAND, StatusCode::OK, error)
}

fn watches<R: Runtime>(core: &Core<R>) -> Map<String, Value> {
    let by_session = words::by_session(core).into_iter();
    by_session
        .map(|(session, paths)| {
            let paths: Vec<_> = paths.iter().map(|path| Value::from(&**path)).collect();
            field(&(session.0 as i64).to_string(), paths)
        })
        .collect()
}

fn watches_by_path<R: Runtime>(core: &Core<R>) -> Map<String, Value> {
    let report = core.fanout.watch_report().into_iter();
    report
        .map(|(path, sessions)| {
            let sessions: Vec<_> = sessions.iter().map(|session| session.0 as i64).collect();
            field(&path, sessions)
        })
        .collect()
}
