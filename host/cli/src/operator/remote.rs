//! Requests to a running node: HTTP over its admin socket or over TCP.

use std::io;
use std::net::{IpAddr, SocketAddr};
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
use innkeeper_admin::http::ADMIN_SOCKET;
use innkeeper_runtime::{Real, Runtime, ThreadRole};
use innkeeper_tree::text::{self, file_name, piece};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::super::everywhere::Everywhere;
use super::super::names::{addresses, host_and_port};

/// Longest time for connecting.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Longest time for an answer: somewhat more than the longest wait at a node.
const ANSWER_LIMIT: Duration = Duration::from_secs(200);

/// Longest answer, in bytes: many times the data of one znode in base64.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum NodeError {
    /// No node was reached.
    #[error("{0}")]
    NoNode(String),
    /// The node refused the request.
    #[error("{sentence}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The node's sentence.
        sentence: String,
    },
    /// The connection broke, or the answer is not a node's.
    #[error("{0}")]
    Broken(String),
}

/// A node that takes requests.
pub(super) struct Remote {
    runtime: Real,
    way: Way,
}

/// How the node is reached.
enum Way {
    /// The admin socket, which needs no password.
    Socket(PathBuf),
    /// HTTP over TCP.
    Http {
        /// HOST:PORT.
        address: String,
        /// USER:PASSWORD.
        super_user: Option<String>,
    },
}

impl Remote {
    pub(super) fn new(runtime: Real, everywhere: &Everywhere) -> anyhow::Result<Self> {
        let way = match &everywhere.http {
            Some(_) if everywhere.names_data() => {
                bail!("--data and --http both name a node; give one of them")
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

    /// The wall clock, in milliseconds since 1970.
    pub(super) fn wall_ms(&self) -> u64 {
        self.runtime.wall_ms()
    }

    /// Completes at Ctrl-C or SIGTERM.
    pub(super) fn interrupted(&self) -> impl Future<Output = ()> {
        self.runtime.terminated()
    }

    /// Waits for that long.
    pub(super) async fn sleep(&self, time: Duration) {
        self.runtime.sleep(time).await;
    }

    /// Sends a GET.
    pub(super) async fn get(&self, path: &str) -> Result<Value, NodeError> {
        self.send(Method::GET, path, Vec::new()).await
    }

    /// Sends a request and returns the JSON of the answer. Clients and guests chose its strings:
    /// [`Output::of`](super::output::Output::of) escapes them for terminals.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Value, NodeError> {
        let stream = self.connect().await?;
        let exchange = self.exchange(stream, method, path, body);
        match self.runtime.timeout(ANSWER_LIMIT, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(NodeError::Broken(format!(
                "{} gave no answer within {} s; see `innkeeper status`, and try again",
                self.name(),
                ANSWER_LIMIT.as_secs()
            ))),
        }
    }

    async fn connect(&self) -> Result<<Real as Runtime>::Stream, NodeError> {
        let connected = match &self.way {
            Way::Socket(path) => {
                let connecting = self.runtime.connect_unix(path);
                self.runtime.timeout(CONNECT_LIMIT, connecting).await
            }
            Way::Http { address, .. } => {
                let no_address = || {
                    NodeError::NoNode(format!(
                        "`{}` is not an address; write --http HOST:PORT",
                        piece(address)
                    ))
                };
                let (host, port) = host_and_port(address).ok_or_else(no_address)?;
                let found = addresses(&self.runtime, host).await;
                let found = found.map_err(|_| no_address())?;
                let connecting = self.connect_any(&found, port);
                self.runtime.timeout(CONNECT_LIMIT, connecting).await
            }
        };
        let timed_out = |_| Err(io::Error::from(io::ErrorKind::TimedOut));
        connected
            .unwrap_or_else(timed_out)
            .map_err(|error| self.not_connected(&error))
    }

    /// Connects to the first of a host's addresses at which somebody answers.
    async fn connect_any(
        &self,
        hosts: &[IpAddr],
        port: u16,
    ) -> io::Result<<Real as Runtime>::Stream> {
        let mut last = Err(io::ErrorKind::NotFound.into());
        for host in hosts {
            last = self.runtime.connect_tcp(SocketAddr::new(*host, port)).await;
            if last.is_ok() {
                break;
            }
        }
        last
    }

    fn not_connected(&self, error: &io::Error) -> NodeError {
        use io::ErrorKind::{ConnectionRefused, NotADirectory, NotFound, PermissionDenied};
        NodeError::NoNode(match (&self.way, error.kind()) {
            (Way::Socket(path), NotFound | ConnectionRefused | NotADirectory) => format!(
                "no node runs at {}, or the node could not open its admin socket there (see its log); start a node with `innkeeper serve`, or name another with --data or --http",
                file_name(path)
            ),
            (Way::Socket(path), PermissionDenied) => format!(
                "permission denied at {}; run the command as the user who runs the node, or give --http and --super",
                file_name(path)
            ),
            (Way::Socket(path), _) => {
                format!("the node at {} cannot be reached: {error}", file_name(path))
            }
            (Way::Http { address, .. }, ConnectionRefused) => format!(
                "no node serves HTTP at {}; see the line that `innkeeper serve` printed when it was ready",
                piece(address)
            ),
            (Way::Http { address, .. }, _) => {
                format!("{} cannot be reached: {error}", piece(address))
            }
        })
    }

    async fn exchange(
        &self,
        stream: <Real as Runtime>::Stream,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Value, NodeError> {
        let broken = |error: &dyn std::error::Error| {
            let name = self.name();
            NodeError::Broken(format!(
                "{name} broke the connection ({error}); see with `innkeeper status` whether it still runs"
            ))
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        // This task ends with the sender, which gets its errors.
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
            Some(Value::Object(fields)) if fields.contains_key("error") => {
                Err(NodeError::Refused {
                    status: status.as_u16(),
                    sentence: text::escaped(fields["error"].as_str().unwrap_or_default())
                        .into_owned(),
                })
            }
            _ => Err(NodeError::Broken(format!(
                "{} is not an Innkeeper node, by its answer with HTTP status {status}; name another address",
                self.name()
            ))),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Request<Full<Bytes>>, NodeError> {
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
            .map_err(|error| NodeError::Broken(format!("the request cannot be written: {error}")))
    }

    /// The name of the node for sentences.
    pub(super) fn name(&self) -> String {
        match &self.way {
            Way::Socket(path) => format!("the node at {}", file_name(path)),
            Way::Http { address, .. } => format!("the node at {}", piece(address)),
        }
    }
}

/// The bytes that may stand in a query: the unreserved ones of RFC 3986, and the slash.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// A text with all bytes percent-encoded that may not stand in a query.
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
