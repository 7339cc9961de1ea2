//! Requests to the nodes' admin sockets, which need no password.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use innkeeper_runtime::SocketPath;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::guest::Guest;

/// Longest time for an answer. Compiling a guest on a busy machine takes longest.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest time until a pushed module is ready.
const PUSH_PATIENCE: Duration = Duration::from_secs(50);

/// The admin sockets of the nodes. Any node answers for the group.
#[derive(Clone, Debug)]
pub(super) struct Admin {
    sockets: Vec<PathBuf>,
}

/// What a node says of its group.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NodeStatus {
    /// leader, follower, candidate or learner.
    pub(super) role: String,
    /// The newest term that the node knows.
    pub(super) term: u64,
}

/// The answer to a binding that was set and acts.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Bound {
    /// The module that acts now.
    pub(super) module: String,
    /// recipe, assignor or authorizer.
    pub(super) world: String,
    /// The zxid since which it acts.
    pub(super) activation: u64,
}

/// The status of a binding.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct BindingStatus {
    /// The module that acts.
    pub(super) active: Option<String>,
    /// The number of queued events.
    pub(super) queued: usize,
    /// Invocations that ended well.
    pub(super) invocations: u64,
    /// Invocations that failed.
    pub(super) failures: u64,
    /// closed, backing-off or open.
    pub(super) breaker: String,
    /// The error of the last failed invocation.
    pub(super) last_error: Option<String>,
    /// The time of that error, in milliseconds since 1970.
    pub(super) last_error_ms: Option<u64>,
}

impl Admin {
    /// Requests go to the first of the sockets that takes a connection.
    pub(super) fn new(sockets: Vec<PathBuf>) -> Self {
        Self { sockets }
    }

    /// What the node says of its group.
    pub(super) async fn node(&self) -> anyhow::Result<NodeStatus> {
        self.ask(Method::GET, "/v1/status", Bytes::new())
            .await
            .context("the status of a node cannot be read")
    }

    /// Pushes a guest, and returns the name of its module.
    pub(super) async fn push(&self, guest: &Guest) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct Pushed {
            module: String,
        }
        let pushed: Pushed = self
            .ask(
                Method::POST,
                &format!("/v1/modules?wait_ms={}", PUSH_PATIENCE.as_millis()),
                Bytes::from_static(guest.bytes),
            )
            .await
            .with_context(|| format!("the guest `{}` cannot be pushed", guest.name))?;
        Ok(pushed.module)
    }

    /// Sets a binding and waits until it acts.
    pub(super) async fn bind(&self, name: &str, document: &Value) -> anyhow::Result<Bound> {
        let target = format!("/v1/bindings/{name}?wait=activated");
        self.ask(Method::PUT, &target, document.to_string().into())
            .await
            .with_context(|| format!("the binding `{name}` cannot be written"))
    }

    /// The status of a binding.
    pub(super) async fn status(&self, name: &str) -> anyhow::Result<BindingStatus> {
        self.ask(Method::GET, &format!("/v1/bindings/{name}"), Bytes::new())
            .await
            .with_context(|| format!("the status of the binding `{name}` cannot be read"))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> anyhow::Result<T> {
        tokio::time::timeout(PATIENCE, self.exchange(method, target, body))
            .await
            .with_context(|| format!("the node gave no answer within {} s", PATIENCE.as_secs()))?
    }

    async fn connect(&self) -> anyhow::Result<UnixStream> {
        let mut failed = None;
        for socket in &self.sockets {
            let connected = async {
                let way = SocketPath::to(socket)?;
                UnixStream::connect(way.path()).await
            };
            match connected.await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = Some((socket, error)),
            }
        }
        let (socket, error) = failed.context("no node runs")?;
        let socket = socket.display();
        Err(error).with_context(|| format!("the node's admin socket {socket} cannot be reached"))
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> anyhow::Result<T> {
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // This task ends with the sender, which gets its errors.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, "admin")
            .body(Full::new(body))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            let value: Value = serde_json::from_slice(&body).unwrap_or_default();
            bail!("{}", value["error"].as_str().unwrap_or(status.as_str()));
        }
        serde_json::from_slice(&body).context("the node's answer cannot be read")
    }
}
