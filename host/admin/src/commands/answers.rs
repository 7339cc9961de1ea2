//! What each reading command answers.

use std::iter::once;

use axum::http::StatusCode;
use innkeeper_runtime::Runtime;
use innkeeper_server::delivery::fanout::WatchItem;
use innkeeper_server::inspect::Serves;
use innkeeper_server::service::Service;
use innkeeper_tree::text::piece;
use serde_json::{Value, json};

use super::pretty::Token;
use super::{Answer, stats};
use crate::ensemble;
use crate::four_letter_words::{self, ByTime};
use crate::metrics::render::lines;
use crate::metrics::{self, Provider, json_number, rows, sizes, uptime_ms, version};
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
        "connections" => {
            let all = stats::connections(service, false);
            return Answer::streaming(command, Vec::new(), all);
        }
        "dirs" => {
            let sizes = sizes(&surface.service, &surface.disk_usage).await;
            vec![
                field("datadir_size", sizes.data_bytes),
                field("logdir_size", sizes.log_bytes),
            ]
        }
        "dump" => return Answer::streaming(command, Vec::new(), dump(service)),
        "environment" => {
            let all = four_letter_words::environment(&surface.settings).into_iter();
            all.map(|(key, value)| field(key, value)).collect()
        }
        "get_trace_mask" => vec![field("tracemask", service.trace_mask())],
        "hash" => vec![field("digests", hash(service))],
        "initial_configuration" => vec![field(
            "initial_configuration",
            surface.settings.initial_configuration.as_str(),
        )],
        "is_read_only" => vec![field("read_only", service.serves() == Serves::Readers)],
        "last_snapshot" => last_snapshot(service),
        "leader" => match ensemble::leader(service) {
            Some(fields) => fields,
            // This is what ZooKeeper says of a server alone.
            None => return Answer::failed(command, StatusCode::OK, "server is not initialized"),
        },
        "monitor" => monitor(surface),
        "observers" => ensemble::observers(service),
        "server_stats" => stats::server(surface).await,
        "set_trace_mask" => return set_trace_mask(service, query),
        "stat_reset" => {
            service.reset_stats();
            Vec::new()
        }
        "stats" => {
            let fields = stats::server(surface).await;
            return Answer::streaming(command, fields, stats::connections(service, true));
        }
        "system_properties" => {
            let all = surface.settings.system_properties.iter();
            all.map(|(key, value)| field(key, value.as_str())).collect()
        }
        "voting_view" => vec![field("current_config", ensemble::voting_view(service))],
        "watch_summary" => {
            let (connections, paths, total) = service.fanout.watch_numbers();
            vec![
                field("num_connections", connections),
                field("num_paths", paths),
                field("num_total_watches", total),
            ]
        }
        "watches" => {
            let report = service.fanout.watches_by_session();
            let is_head = |item: &WatchItem| matches!(item, WatchItem::Session(_));
            let tokens = watches("session_id_to_watched_paths", report, is_head);
            return Answer::streaming(command, Vec::new(), tokens);
        }
        "watches_by_path" => {
            let report = service.fanout.watches_by_path();
            let is_head = |item: &WatchItem| matches!(item, WatchItem::Path(_));
            let tokens = watches("path_to_session_ids", report, is_head);
            return Answer::streaming(command, Vec::new(), tokens);
        }
        "zabstate" => ensemble::zabstate(service),
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

fn dump<R: Runtime>(service: &Service<R>) -> impl Iterator<Item = Token> + Send + use<R> {
    let now_ms = uptime_ms(service);
    let groups = ByTime::new(four_letter_words::tracked(service)).groups();
    let mut groups: Vec<_> = groups
        .map(|(from_now_ms, _, sessions)| ((now_ms + from_now_ms).to_string(), sessions))
        .collect();
    groups.sort_by(|one, other| one.0.cmp(&other.0));
    let by_time = groups.into_iter().flat_map(|(at, sessions)| {
        let sessions = sessions.map(|session| Value::from(session.0 as i64));
        list(at, sessions)
    });
    let ephemerals = four_letter_words::ephemerals(service);
    let ephemerals = ephemerals.flat_map(|(session, paths)| {
        let paths = paths.into_iter().map(Value::from);
        list((session.0 as i64).to_string(), paths)
    });
    map("expiry_time_to_session_ids", by_time)
        .chain(map("session_id_to_ephemeral_paths", ephemerals))
}

/// A list within a map.
fn list(key: String, values: impl Iterator<Item = Value>) -> impl Iterator<Item = Token> {
    let values = values.map(|value| Token::Value(None, value));
    once(Token::List(Some(key)))
        .chain(values)
        .chain(once(Token::End))
}

/// A field that is a map.
fn map(key: &str, inside: impl Iterator<Item = Token>) -> impl Iterator<Item = Token> {
    once(Token::Map(Some(key.to_owned())))
        .chain(inside)
        .chain(once(Token::End))
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
        field("version", version(&surface.settings)),
        field("server_state", service.mode().name()),
    ];
    fields.extend(ensemble::peer_state(service).map(|state| field("peer_state", state)));
    fields.extend(ensemble::observer_master(service).map(|id| field("observer_master_id", id)));
    let provider = Provider::configured(&surface.settings);
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
        Some(Err(_)) => format!("{wrong}, got {}", piece(given.unwrap_or_default())),
        None => wrong.to_owned(),
    };
    Answer::failed(COMMAND, StatusCode::OK, error)
}

/// A report on watches: a list for each path, or for each session; `is_head` tells which.
fn watches(
    key: &str,
    report: impl Iterator<Item = WatchItem>,
    is_head: fn(&WatchItem) -> bool,
) -> impl Iterator<Item = Token> {
    let mut is_in_list = false;
    let inside = report.map(Some).chain(once(None)).flat_map(move |item| {
        let begins = item.as_ref().is_none_or(is_head);
        let end = (begins && is_in_list).then_some(Token::End);
        is_in_list |= begins;
        let token = item.map(|item| match (item, begins) {
            (WatchItem::Path(path), true) => Token::List(Some(path.to_string())),
            (WatchItem::Path(path), false) => Token::Value(None, (&*path).into()),
            (WatchItem::Session(session), true) => {
                Token::List(Some((session.0 as i64).to_string()))
            }
            (WatchItem::Session(session), false) => Token::Value(None, (session.0 as i64).into()),
            (WatchItem::Pause, _) => Token::Pause,
        });
        end.into_iter().chain(token)
    });
    map(key, inside)
}
