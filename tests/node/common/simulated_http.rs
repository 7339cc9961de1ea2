//! Requests over HTTP in a simulated world.

use std::net::SocketAddr;
use std::time::Duration;

use innkeeper_runtime::{Runtime, Simulated};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The header by which the super user is known whose digest is
/// [`SUPER_DIGEST`](super::asked::SUPER_DIGEST).
pub const SUPER: &str = "Authorization: Basic c3VwZXI6c3VwZXJwdw==\r\n";

/// The head of a request.
pub fn head(method: &str, path: &str, length: usize, more: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n{more}\r\n")
        .into_bytes()
}

/// The answer's status and its whole text; `None` if the connection ended without an answer.
pub async fn answer(mut stream: impl AsyncReadExt + Unpin) -> Option<(u16, String)> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.ok()?;
    let text = String::from_utf8_lossy(&all).into_owned();
    let status = text.split(' ').nth(1)?.parse().ok()?;
    Some((status, text))
}

/// Sends a request without a body. Returns the answer, and how long it took.
pub async fn ask(
    runtime: &Simulated,
    addr: SocketAddr,
    method: &str,
    path: &str,
    more: &str,
) -> (u16, String, Duration) {
    ask_with(runtime, addr, (method, path, more), b"").await
}

/// As [`ask`], with a body.
pub async fn ask_with(
    runtime: &Simulated,
    addr: SocketAddr,
    (method, path, more): (&str, &str, &str),
    body: &[u8],
) -> (u16, String, Duration) {
    let began = runtime.now();
    let mut stream = runtime.connect_tcp(addr).await.unwrap();
    let request = [head(method, path, body.len(), more), body.to_vec()].concat();
    stream.write_all(&request).await.unwrap();
    let (status, text) = answer(stream).await.expect("an answer");
    (status, text, runtime.now() - began)
}
