//! `/commands`: ZooKeeper's AdminServer.
//!
//! 1. The router's fallback asks [`find`] whether a path is below the command URL
//!    (`admin.commandURL`); the URL is the operator's choice and may be anything.
//! 2. Without a name, the answer is the page of links. With one, the command runs, and its answer
//!    is JSON with ZooKeeper's field names: its own fields, then `command` and `error`.
//! 3. An unknown command is answered with status 200 and its `error`, as in ZooKeeper; a command
//!    that ZooKeeper wants credentials for is not run without them ([`credentials`]).
//!
//! Reading commands need no credentials, in ZooKeeper as here; among them are those that reset
//! statistics and set the trace mask. `snapshot` and `restore` are not supported yet and say so.

mod answers;
mod credentials;
mod pretty;
mod stats;

use std::iter::once;
use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use innkeeper_runtime::Runtime;
use innkeeper_server::four_letter_words::Pieces;
use innkeeper_server::service::Service;
use innkeeper_tree::text::piece;
use serde_json::Value;

use self::pretty::{Pretty, Token};
use crate::pieces;
use crate::surface::Surface;

/// All commands: the name, and its other names.
const NAMES: &[(&str, &[&str])] = &[
    ("configuration", &["conf", "config"]),
    ("connection_stat_reset", &["crst"]),
    ("connections", &["cons"]),
    ("dirs", &[]),
    ("dump", &[]),
    ("environment", &["env", "envi"]),
    ("get_trace_mask", &["gtmk"]),
    ("hash", &[]),
    ("initial_configuration", &["icfg"]),
    ("is_read_only", &["isro"]),
    ("last_snapshot", &["lsnp"]),
    ("leader", &["lead"]),
    ("monitor", &["mntr"]),
    ("observer_connection_stat_reset", &["orst"]),
    ("observers", &["obsr"]),
    ("restore", &["rest"]),
    ("ruok", &[]),
    ("server_stats", &["srvr"]),
    ("set_trace_mask", &["stmk"]),
    ("snapshot", &["snap"]),
    ("stat_reset", &["srst"]),
    ("stats", &["stat"]),
    ("system_properties", &["sysp"]),
    ("voting_view", &[]),
    ("watch_summary", &["wchs"]),
    ("watches", &["wchc"]),
    ("watches_by_path", &["wchp"]),
    ("zabstate", &[]),
];

/// The command's own name.
fn primary(name: &str) -> Option<&'static str> {
    NAMES
        .iter()
        .find(|(primary, others)| *primary == name || others.contains(&name))
        .map(|(primary, _)| *primary)
}

/// What a command answers.
///
/// Invariant: `command` and `error` are always there, the error null where there is none.
struct Answer {
    status: StatusCode,
    command: String,
    error: Option<String>,
    fields: Vec<(String, Value)>,
    /// More fields, which may be long: they are made while they are sent.
    streamed: Tokens,
}

/// Fields as tokens.
type Tokens = Box<dyn Iterator<Item = Token> + Send>;

impl Answer {
    fn new(command: impl Into<String>, fields: Vec<(String, Value)>) -> Self {
        Self::streaming(command, fields, std::iter::empty())
    }

    fn streaming(
        command: impl Into<String>,
        fields: Vec<(String, Value)>,
        streamed: impl Iterator<Item = Token> + Send + 'static,
    ) -> Self {
        Self {
            status: StatusCode::OK,
            command: command.into(),
            error: None,
            fields,
            streamed: Box::new(streamed),
        }
    }

    fn failed(command: impl Into<String>, status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            error: Some(error.into()),
            ..Self::new(command, Vec::new())
        }
    }

    /// The answer as JSON.
    fn pieces(self) -> Pieces {
        let field = |(key, value)| Token::Value(Some(key), value);
        let last = [
            ("command".to_owned(), self.command.into()),
            ("error".to_owned(), self.error.into()),
        ];
        let fields = self.fields.into_iter().map(field);
        let fields = fields.chain(self.streamed).chain(last.map(field));
        let tokens = once(Token::Map(None)).chain(fields).chain(once(Token::End));
        pieces::gathered(Pretty::new(tokens))
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let headers = [(header::CONTENT_TYPE, "application/json")];
        (self.status, headers, pieces::body(self.pieces())).into_response()
    }
}

/// One request for a command.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) peer: Option<SocketAddr>,
}

impl Asked {
    /// The user whose password comes with a command that compares it; `None` for all other commands,
    /// and without a password.
    pub(super) fn guarded_user(&self, name: &str) -> Option<String> {
        if !matches!(primary(name), Some("snapshot" | "restore")) {
            return None;
        }
        credentials::user(&self.headers)
    }
}

/// The command's name in a path below the command URL: empty for the page of links, `None` for
/// paths of something else.
pub(super) fn find<'a>(command_url: &str, path: &'a str) -> Option<&'a str> {
    let below = path.strip_prefix(command_url.trim_end_matches('/'))?;
    match below.strip_prefix('/') {
        Some(name) => Some(name),
        None => below.is_empty().then_some(""),
    }
}

/// Answers a request for the command of that name.
pub(super) async fn serve<R: Runtime>(surface: &Surface<R>, name: &str, asked: &Asked) -> Response {
    let service = &*surface.service;
    let is_get = asked.method == Method::GET || asked.method == Method::HEAD;
    if !is_get && asked.method != Method::POST {
        return not_allowed(StatusCode::METHOD_NOT_ALLOWED, "GET,HEAD,POST");
    }
    if name.is_empty() {
        return links(&surface.settings.command_url).into_response();
    }
    let Some(primary) = primary(name) else {
        let name = piece(name);
        let error = format!("Unknown command: {name}");
        return Answer::failed(name, StatusCode::OK, error).into_response();
    };
    if matches!(primary, "snapshot" | "restore") {
        let allowed = if primary == "restore" {
            "POST"
        } else {
            "GET,HEAD"
        };
        let answer = guarded(service, name, primary, is_get, asked);
        return match answer.status {
            StatusCode::METHOD_NOT_ALLOWED => not_allowed(answer, allowed),
            _ => answer.into_response(),
        };
    }
    if !is_get {
        let error = "this command is asked with GET";
        return not_allowed(
            Answer::failed(primary, StatusCode::METHOD_NOT_ALLOWED, error),
            "GET,HEAD",
        );
    }
    let answer = answers::answer(surface, primary, asked.uri.query().unwrap_or_default()).await;
    answer.into_response()
}

/// A refusal of the method, with the methods that the path takes.
fn not_allowed(refusal: impl IntoResponse, allowed: &'static str) -> Response {
    ([(header::ALLOW, allowed)], refusal).into_response()
}

/// The commands that need all permissions on `/`.
fn guarded<R: Runtime>(
    service: &Service<R>,
    name: &str,
    primary: &str,
    is_get: bool,
    asked: &Asked,
) -> Answer {
    if let Err(refusal) = credentials::check(service, &asked.headers, asked.peer) {
        return Answer::failed(name, refusal.status(), refusal.to_string());
    }
    let (fits, method) = match primary {
        "snapshot" => (is_get, "GET"),
        _ => (!is_get, "POST"),
    };
    if !fits {
        let error = format!("this command is asked with {method}");
        return Answer::failed(primary, StatusCode::METHOD_NOT_ALLOWED, error);
    }
    Answer::failed(
        primary,
        StatusCode::NOT_IMPLEMENTED,
        "snapshots cannot be taken out of a node, nor put into one, in this release; back the data folder up while the node is stopped",
    )
}

/// The page of links, as ZooKeeper prints it.
fn links(command_url: &str) -> impl IntoResponse {
    let page = NAMES.iter().fold(String::new(), |page, (name, _)| {
        page + &format!("<a href=\"{command_url}/{name}\">{name}</a>\n<br/>\n")
    });
    (
        [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
        Body::from(page),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_below_any_url() {
        assert_eq!(find("/commands", "/commands"), Some(""));
        assert_eq!(find("/commands", "/commands/"), Some(""));
        assert_eq!(find("/commands", "/commands/ruok"), Some("ruok"));
        assert_eq!(find("/commands", "/commands/ruok/x"), Some("ruok/x"));
        assert_eq!(find("/commands", "/commandsx"), None);
        assert_eq!(find("/a/b/", "/a/b/ruok"), Some("ruok"));
        assert_eq!(find("/", "/ruok"), Some("ruok"));
        assert_eq!(find("", "/ruok"), Some("ruok"));
    }

    #[test]
    fn names_and_aliases_are_each_one_command() {
        assert!(NAMES.is_sorted());
        let mut all: Vec<_> = NAMES
            .iter()
            .flat_map(|(name, others)| others.iter().chain(Some(name)))
            .collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert_eq!(primary("mntr"), Some("monitor"));
        assert_eq!(primary("nosuch"), None);
    }

    #[test]
    fn an_answer_ends_with_its_command_and_error() {
        let answer = Answer::new("ruok", vec![("b".into(), 1.into()), ("a".into(), 2.into())]);
        let text: String = answer.pieces().collect();
        let expected =
            "{\n  \"b\": 1,\n  \"a\": 2,\n  \"command\": \"ruok\",\n  \"error\": null\n}";
        assert_eq!(text, expected);
        let failed = Answer::failed("x", StatusCode::OK, "no");
        let text: String = failed.pieces().collect();
        assert_eq!(text, "{\n  \"command\": \"x\",\n  \"error\": \"no\"\n}");
    }
}
