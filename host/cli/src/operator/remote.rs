//! A running node, as a command asks it.

use std::io;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use innkeeper_runtime::{Real, Runtime, ThreadRole};
use innkeeper_server::service::ADMIN_SOCKET;
use innkeeper_tree::text;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::super::everywhere::Everywhere;

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long an answer may take: a little longer than a node allows itself.
const ANSWER_LIMIT: Duration = Duration::from_secs(200);

/// The longest answer, in bytes: a znode's data in base64 fits many times.
const MAX_ANSWER_BYTES: usize = 256 << 20;

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
    pub(super) fn new(runtime: Real, everywhere: &Everywhere) -> anyhow::Result<Self> {
        let way = match &everywhere.http {
            Some(_) if everywhere.names_data() => {
                bail!("--data and --http name two ways to a node; give one of them")
            }
            Some(address) => {
                let address = address.strip_prefix("http://").unwrap_or(address);
                Way::Http {
                    address: address.trim_end_matches('/').to_owned(),
                    super_user: everywhere.super_user(),
                }
            }
            None => Way::Socket(everywhere.data_or_default()?.join(ADMIN_SOCKET)),
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

    /// Asks for anything. The strings of the answer are as clients and guests chose them:
    /// [`Output::of`](super::output::Output::of) makes text of them that harms no terminal.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Value, AskError> {
        let stream = self.connect().await?;
        let exchange = self.exchange(stream, method, path, body);
        match self.runtime.timeout(ANSWER_LIMIT, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(AskError::Broken(format!(
                "{} gave no answer within {} s; see `innkeeper status`, and ask again",
                self.name(),
                ANSWER_LIMIT.as_secs()
            ))),
        }
    }

    async fn connect(&self) -> Result<<Real as Runtime>::Stream, AskError> {
        let connected = match &self.way {
            Way::Socket(path) => {
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
                "no node runs at {}, or it has no admin socket there, as its log says then; start one with `innkeeper serve`, or name another with --data or --http",
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
                "{name} broke off the conversation ({error}); see `innkeeper status` whether it still runs"
            ))
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        // It ends with the sender; what goes wrong in it the sender hears as well.
        let connection = self.runtime.spawn(ThreadRole::Client, async move {
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

/// What stays as it is in a query: what RFC 3986 leaves unreserved, and the slash.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// A text as part of a query.
pub(super) fn quote(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_carry_any_text() {
        assert_eq!(quote("/a b/ä&c=%+#?"), "/a%20b/%C3%A4%26c%3D%25%2B%23%3F");
    }
}
