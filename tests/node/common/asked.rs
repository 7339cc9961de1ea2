//! Asks a server as its operators do: with a four-letter word on the client port, or a request over
//! HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends something on a fresh connection, and returns everything that is answered.
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

/// The super user's credentials as the settings hold them; the password is `superpw`.
pub const SUPER_DIGEST: &str = "super:g9oN2HttPfn8MMWJZ2r45Np/LIA=";

/// Any free port of this machine.
pub fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    pub content_type: String,
    /// The methods in the header `Allow`, as they are written; empty if it is missing.
    pub allow: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The sentence of a failed request.
    pub fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let sentence = self.json()["error"].as_str().unwrap().to_owned();
        assert!(sentence.len() > 20, "{sentence}");
        sentence
    }

    /// The content of an answer that is no error.
    pub fn good(&self) -> serde_json::Value {
        assert!((200..300).contains(&self.status), "{}", self.body);
        self.json()
    }
}

/// Sends a request's head and body, and returns the answer.
pub fn exchange(mut stream: impl Read + Write, head: &str, body: &[u8]) -> Answer {
    stream.write_all(head.as_bytes()).unwrap();
    // A node that refuses a body by its head may stop listening to it.
    let _ = stream.write_all(body);
    answer(stream)
}

/// Reads an answer until the stream ends.
pub fn answer(mut stream: impl Read) -> Answer {
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
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
        head: head.to_owned(),
        content_type: header("content-type").to_ascii_lowercase(),
        allow: header("allow").to_owned(),
        body: body.to_owned(),
    }
}

/// A request without a body. It is HTTP/1.0, so that the answer does not come in chunks.
pub fn http(addr: SocketAddr, method: &str, path: &str, header: &str) -> Answer {
    let head =
        format!("{method} {path} HTTP/1.0\r\nHost: test\r\nContent-Length: 0\r\n{header}\r\n");
    exchange(connect(addr), &head, b"")
}

pub fn get(addr: SocketAddr, path: &str) -> Answer {
    http(addr, "GET", path, "")
}
