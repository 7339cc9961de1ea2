//! A running node, as a command asks it.

use std::borrow::Cow;
use std::io;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use innkeeper_runtime::{Real, Role, Runtime};
use innkeeper_tree::text;
use serde_json::Value;

use crate::core::ADMIN_SOCKET;

/// Names the super user where `--super` does not, so that no password need stand in a command
/// line, which every user of the machine can read.
const SUPER_VARIABLE: &str = "INNKEEPER_SUPER";

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long an answer may take: a little longer than a node allows itself.
const ANSWER_LIMIT: Duration = Duration::from_secs(200);

/// The longest answer, in bytes: a znode's data in base64 fits many times.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// Which node is meant.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// The node's data folder, which holds its admin socket [default: innkeeper in the user's
    /// data folder]
    // Not called `data`, which is a znode's in other arguments of the same command.
    #[arg(long = "data", value_name = "DIR", global = true)]
    folder: Option<PathBuf>,
    /// Ask over HTTP instead of the admin socket
    #[arg(
        long,
        value_name = "HOST:PORT",
        global = true,
        conflicts_with = "folder"
    )]
    http: Option<String>,
    /// The super user, for changes over HTTP [env: INNKEEPER_SUPER]
    #[arg(long = "super", value_name = "USER:PASSWORD", global = true)]
    super_user: Option<String>,
}

/// Why a node gave no answer to make text of.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// Nobody is there.
    #[error("{0}")]
    NoNode(String),
    /// The node said what is wrong.
    #[error("{sentence}")]
    Refused {
        /// HTTP's status.
        status: u16,
        /// The node's sentence.
        sentence: String,
    },
    /// The conversation broke off, or is none.
    #[error("{0}")]
    Broken(String),
}

/// The way to a node.
pub(super) struct Remote {
    runtime: Real,
    way: Way,
}

enum Way {
    Socket(PathBuf),
    Http {
        address: String,
        super_user: Option<String>,
    },
}

impl Remote {
    pub(super) fn new(runtime: Real, target: Target) -> anyhow::Result<Self> {
        let way = match target.http {
            Some(address) => {
                let address = address.strip_prefix("http://").unwrap_or(&address);
                Way::Http {
                    address: address.trim_end_matches('/').to_owned(),
                    super_user: target
                        .super_user
                        .or_else(|| std::env::var(SUPER_VARIABLE).ok()),
                }
            }
            None => {
                let data = match target.folder {
                    Some(folder) => folder,
                    None => dirs::data_dir()
                        .map(|folder| folder.join("innkeeper"))
                        .context("this user has no data folder: name the node's with --data")?,
                };
                Way::Socket(data.join(ADMIN_SOCKET))
            }
        };
        Ok(Self { runtime, way })
    }

    /// Now, in milliseconds since 1970.
    pub(super) fn wall_ms(&self) -> u64 {
        self.runtime.wall_ms()
    }

    /// Waits until the user has had enough (Ctrl-C, or SIGTERM).
    pub(super) fn interrupted(&self) -> impl Future<Output = ()> {
        self.runtime.terminated()
    }

    /// Waits.
    pub(super) async fn sleep(&self, time: Duration) {
        self.runtime.sleep(time).await;
    }

    /// Asks for something to be read.
    pub(super) async fn get(&self, path: &str) -> Result<Value, AskError> {
        self.ask(Method::GET, path, Vec::new()).await
    }

    /// Asks for anything. The answer is for people: in its strings, which clients and guests
    /// chose, nothing can harm a terminal.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Value, AskError> {
        self.ask_raw(method, path, body).await.map(escaped)
    }

    /// Asks for something to be read, and leaves the strings of the answer as they are.
    pub(super) async fn get_raw(&self, path: &str) -> Result<Value, AskError> {
        self.ask_raw(Method::GET, path, Vec::new()).await
    }

    async fn ask_raw(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Value, AskError> {
        let stream = self.connect().await?;
        let exchange = self.exchange(stream, method, path, body);
        match self.runtime.timeout(ANSWER_LIMIT, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(AskError::Broken(format!(
                "{} gave no answer within {} s; see its log",
                self.name(),
                ANSWER_LIMIT.as_secs()
            ))),
        }
    }

    async fn connect(&self) -> Result<<Real as Runtime>::Stream, AskError> {
        let connected = match &self.way {
            Way::Socket(path) => {
                crate::admin::check_socket_path(path).map_err(|error| {
                    AskError::NoNode(format!("no node can be at {}: {error}", path.display()))
                })?;
                let connecting = self.runtime.connect_unix(path);
                self.runtime.timeout(CONNECT_LIMIT, connecting).await
            }
            Way::Http { address, .. } => {
                let found = address
                    .to_socket_addrs()
                    .ok()
                    .and_then(|mut found| found.next());
                let Some(found) = found else {
                    return Err(AskError::NoNode(format!(
                        "`{address}` is not an address; write --http HOST:PORT"
                    )));
                };
                let connecting = self.runtime.connect_tcp(found);
                self.runtime.timeout(CONNECT_LIMIT, connecting).await
            }
        };
        let timed_out = |_| Err(io::Error::from(io::ErrorKind::TimedOut));
        connected
            .unwrap_or_else(timed_out)
            .map_err(|error| self.not_connected(&error))
    }

    fn not_connected(&self, error: &io::Error) -> AskError {
        use io::ErrorKind::{ConnectionRefused, NotADirectory, NotFound, PermissionDenied};
        AskError::NoNode(match (&self.way, error.kind()) {
            (Way::Socket(path), NotFound | ConnectionRefused | NotADirectory) => format!(
                "no node runs at {}; start one with `innkeeper serve`, or name another with --data or --http",
                path.display()
            ),
            (Way::Socket(path), PermissionDenied) => format!(
                "permission denied at {}; be the user who runs the node, or ask over --http with --super",
                path.display()
            ),
            (Way::Socket(path), _) => {
                format!("the node at {} cannot be reached: {error}", path.display())
            }
            (Way::Http { address, .. }, ConnectionRefused) => format!(
                "no node serves HTTP at {address}; see the line that `innkeeper serve` printed when it was ready"
            ),
            (Way::Http { address, .. }, _) => format!("{address} cannot be reached: {error}"),
        })
    }

    async fn exchange(
        &self,
        stream: <Real as Runtime>::Stream,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Value, AskError> {
        let broken = |error: &dyn std::error::Error| {
            let name = self.name();
            AskError::Broken(format!(
                "{name} broke off the conversation ({error}); see its log"
            ))
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        // It ends with the sender; what goes wrong in it the sender hears as well.
        let connection = self.runtime.spawn(Role::Client, async move {
            let _ = connection.await;
        });
        let request = self.request(method, path, body)?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| broken(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
            .collect()
            .await;
        let body = body.map_err(|error| broken(&*error))?.to_bytes();
        connection.detach();
        let value: Option<Value> = serde_json::from_slice(&body).ok();
        match value {
            Some(value) if status.is_success() => Ok(value),
            Some(Value::Object(fields)) if fields.contains_key("error") => Err(AskError::Refused {
                status: status.as_u16(),
                sentence: text::escaped(fields["error"].as_str().unwrap_or_default()).into_owned(),
            }),
            _ => Err(AskError::Broken(format!(
                "what answers at {} is no Innkeeper node (HTTP status {status}); name another address",
                self.name()
            ))),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Request<Full<Bytes>>, AskError> {
        let mut request = Request::builder().method(method).uri(path);
        request = match &self.way {
            Way::Socket(_) => request.header(header::HOST, "admin"),
            Way::Http {
                address,
                super_user,
            } => {
                let request = request.header(header::HOST, address);
                match super_user {
                    Some(credentials) => {
                        let basic = format!("Basic {}", STANDARD.encode(credentials));
                        request.header(header::AUTHORIZATION, basic)
                    }
                    None => request,
                }
            }
        };
        request
            .body(Full::new(body.into()))
            .map_err(|error| AskError::Broken(format!("the request cannot be written: {error}")))
    }

    /// The node, in a sentence.
    pub(super) fn name(&self) -> String {
        match &self.way {
            Way::Socket(path) => format!("the node at {}", path.display()),
            Way::Http { address, .. } => format!("the node at {address}"),
        }
    }
}

/// The same with every string escaped, keys included.
fn escaped(value: Value) -> Value {
    match value {
        Value::String(text) => match text::escaped(&text) {
            Cow::Borrowed(_) => Value::String(text),
            Cow::Owned(escaped) => Value::String(escaped),
        },
        Value::Array(items) => items.into_iter().map(escaped).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, field)| (text::escaped(&name).into_owned(), escaped(field)))
            .collect(),
        other => other,
    }
}

/// A text as part of a query.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                quoted.push(char::from(byte));
            }
            _ => quoted.push_str(&format!("%{byte:02X}")),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_in_an_answer_harms_a_terminal() {
        let answer = json!({"a\n": ["x\u{1b}[2J", {"b": "\u{202e}c", "d": 1}], "e": null});
        assert_eq!(
            escaped(answer),
            json!({"a\\n": ["x\\u{1b}[2J", {"b": "\\u{202e}c", "d": 1}], "e": null})
        );
    }

    #[test]
    fn queries_carry_any_text() {
        assert_eq!(quote("/a b/ä&c=%+#?"), "/a%20b/%C3%A4%26c%3D%25%2B%23%3F");
    }
}
