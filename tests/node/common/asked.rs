//! Asking a server as its operators do: a word on the client port, a request over HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The whole answer to what is sent on a fresh connection.
pub fn said(addr: SocketAddr, sent: &[u8]) -> String {
    let mut stream = connect(addr);
    stream.write_all(sent).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// The answer to a four-letter word.
pub fn word(addr: SocketAddr, word: &str) -> String {
    said(addr, word.as_bytes())
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    /// The methods of `Allow`, as they stand there; empty if it is missing.
    pub allow: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A request without a body. HTTP/1.0, so that nobody answers in chunks.
pub fn http(addr: SocketAddr, method: &str, path: &str, header: &str) -> Answer {
    let request =
        format!("{method} {path} HTTP/1.0\r\nHost: test\r\nContent-Length: 0\r\n{header}\r\n");
    let all = said(addr, request.as_bytes());
    let (head, body) = all
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {all}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(": ")).collect();
    let header = |wanted: &str| {
        let found = headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map_or("", |(_, value)| value)
    };
    Answer {
        status: status.parse().unwrap(),
        content_type: header("content-type").to_ascii_lowercase(),
        allow: header("allow").to_owned(),
        body: body.to_owned(),
    }
}

pub fn get(addr: SocketAddr, path: &str) -> Answer {
    http(addr, "GET", path, "")
}
