//! What each reading command answers.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use innkeeper_runtime::Runtime;
use innkeeper_server::inspect::Serves;
use innkeeper_server::service::Service;
use serde_json::{Map, Value, json};

use super::{Answer, stats};
use crate::four_letter_words;
use crate::metrics::render::lines;
use crate::metrics::{self, Provider, json_number, rows, sizes, state, uptime_ms, version};
use crate::surface::Surface;

type Fields = Vec<(String, Value)>;

fn field(key: &str, value: impl Into<Value>) -> (String, Value) {
    (key.to_owned(), value.into())
}

/// Runs a reading command, by its own name.
pub(super) async fn answer<R: Runtime>(surface: &Surface<R>, command: &str, query: &str) -> Answer {
    let service = &*surface.service;
    let without_quorum = [
        "environment",
        "get_trace_mask",
        "set_trace_mask",
        "system_properties",
        "monitor",
        "zabstate",
    ];
    if service.serves() == Serves::Nobody && !without_quorum.contains(&command) {
        let error = "This ZooKeeper instance is not currently serving requests";
        return Answer::failed(command, StatusCode::OK, error);
    }
    let fields = match command {
        "configuration" => configuration(service),
        "connection_stat_reset" => {
            service.reset_connections();
            Vec::new()
        }
        "connections" => stats::connections(service, false),
        "dirs" => {
            let sizes = sizes(&surface.service, &surface.disk_usage).await;
            vec![
                field("datadir_size", sizes.data_bytes),
                field("logdir_size", sizes.log_bytes),
            ]
        }
        "dump" => dump(service),
        "environment" => {
            let all = four_letter_words::environment(service).into_iter();
            all.map(|(key, value)| field(key, value)).collect()
        }
        "get_trace_mask" => vec![field("tracemask", service.trace_mask())],
        "hash" => vec![field("digests", hash(service))],
        "initial_configuration" => vec![field(
            "initial_configuration",
            service.settings.initial_configuration.as_str(),
        )],
        "is_read_only" => vec![field("read_only", service.serves() == Serves::Readers)],
        "last_snapshot" => last_snapshot(service),
        // One node is no ensemble, and this is what ZooKeeper says then.
        "leader" => {
            return Answer::failed(command, StatusCode::OK, "server is not initialized");
        }
        "monitor" => monitor(surface),
        "observers" => vec![
            field("synced_observers", 0),
            field("observers", Value::Array(Vec::new())),
        ],
        "server_stats" => stats::server(surface).await,
        "set_trace_mask" => return set_trace_mask(service, query),
        "stat_reset" => {
            service.reset_stats();
            Vec::new()
        }
        "stats" => {
            let mut fields = stats::server(surface).await;
            fields.extend(stats::connections(service, true));
            fields
        }
        "system_properties" => {
            let all = service.settings.system_properties.iter();
            all.map(|(key, value)| field(key, value.as_str())).collect()
        }
        "voting_view" => vec![field("current_config", Map::new())],
        "watch_summary" => {
            let (connections, paths, total) = service.fanout.watch_numbers();
            vec![
                field("num_connections", connections),
                field("num_paths", paths),
                field("num_total_watches", total),
            ]
        }
        "watches" => vec![field("session_id_to_watched_paths", watches(service))],
        "watches_by_path" => vec![field("path_to_session_ids", watches_by_path(service))],
        "zabstate" => vec![field("voting", false), field("zabstate", "")],
        // `ruok`, and `observer_connection_stat_reset`, of which there are none.
        _ => Vec::new(),
    };
    Answer::new(command, fields)
}

fn configuration<R: Runtime>(service: &Service<R>) -> Fields {
    let settings = &service.settings;
    let (data, log) = metrics::folders(service);
    let (min_timeout_ms, max_timeout_ms) = settings.timeout_range_ms();
    vec![
        field("client_port", service.bound.zookeeper.port()),
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

fn dump<R: Runtime>(service: &Service<R>) -> Fields {
    let now_ms = uptime_ms(service);
    let mut by_time: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    for (session, from_now_ms) in service.sessions_due() {
        let at = by_time.entry(now_ms + from_now_ms).or_default();
        at.push(session.0 as i64);
    }
    let by_time = by_time.into_iter();
    let by_time: Map<_, _> = by_time
        .map(|(at, sessions)| field(&at.to_string(), sessions))
        .collect();
    let ephemerals = four_letter_words::ephemerals(service).into_iter();
    let ephemerals: Map<_, _> = ephemerals
        .map(|(session, paths)| field(&(session.0 as i64).to_string(), paths))
        .collect();
    vec![
        field("expiry_time_to_session_ids", by_time),
        field("session_id_to_ephemeral_paths", ephemerals),
    ]
}

fn hash<R: Runtime>(service: &Service<R>) -> Value {
    let digests = service.reader.view().digests().into_iter();
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
fn last_snapshot<R: Runtime>(service: &Service<R>) -> Fields {
    let replica = service.replica().ok();
    let last = replica.and_then(|replica| replica.stats().last_checkpoint());
    let zxid = last.map_or(-1, |(zxid, _)| zxid.0 as i64);
    let seconds = last.map_or(-1, |(_, wall_ms)| (wall_ms / 1000) as i64);
    vec![
        field("zxid", format!("{zxid:x}")),
        field("timestamp", seconds),
    ]
}

fn monitor<R: Runtime>(surface: &Surface<R>) -> Fields {
    let service = &*surface.service;
    let mut fields = vec![
        field("version", version(service)),
        field("server_state", state(service.serves())),
    ];
    let provider = Provider::configured(service);
    let all = lines(&rows(surface, provider), provider).into_iter();
    fields.extend(all.map(|(name, number)| (name, json_number(number))));
    fields
}

fn set_trace_mask<R: Runtime>(service: &Service<R>, query: &str) -> Answer {
    const COMMAND: &str = "set_trace_mask";
    let given = form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "traceMask")
        .map(|(_, mask)| mask);
    let wrong = "setTraceMask requires long traceMask argument";
    let error = match given.as_ref().map(|mask| mask.parse::<i64>()) {
        Some(Ok(mask)) => {
            service.set_trace_mask(mask);
            return Answer::new(COMMAND, vec![field("tracemask", mask)]);
        }
        Some(Err(_)) => format!("{wrong}, got {}", given.unwrap_or_default()),
        None => wrong.to_owned(),
    };
    Answer::failed(COMMAND, StatusCode::OK, error)
}

fn watches<R: Runtime>(service: &Service<R>) -> Map<String, Value> {
    let by_session = four_letter_words::by_session(service).into_iter();
    by_session
        .map(|(session, paths)| {
            let paths: Vec<_> = paths.iter().map(|path| Value::from(&**path)).collect();
            field(&(session.0 as i64).to_string(), paths)
        })
        .collect()
}

fn watches_by_path<R: Runtime>(service: &Service<R>) -> Map<String, Value> {
    let report = service.fanout.watch_report().into_iter();
    report
        .map(|(path, sessions)| {
            let sessions: Vec<_> = sessions.iter().map(|session| session.0 as i64).collect();
            field(&path, sessions)
        })
        .collect()
}
