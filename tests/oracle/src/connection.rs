//! One client connection: it sends and receives frames, and does not know what they mean.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::wire::{Input, frame, put_bool, put_bytes, put_i32, put_i64};

/// How long an answer may take. A server that runs needs milliseconds.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a server may take to close a connection after it has said so.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

const PASSWORD_LEN: usize = 16;

/// What a read returned.
#[derive(Debug)]
pub enum Received {
    /// A frame's body.
    Frame(Vec<u8>),
    /// The server closed the connection.
    Closed,
    /// Nothing came within the time.
    Nothing,
}

/// A client's connect request.
pub struct Hello {
    /// The newest zxid that the client says it has seen.
    pub last_zxid: i64,
    /// The timeout that the client asks for.
    pub timeout_ms: i32,
    /// The session, or 0 for a new one.
    pub session: i64,
    /// Its password.
    pub password: Option<Vec<u8>>,
    /// The read-only byte, if it is sent.
    pub read_only: Option<bool>,
}

impl Hello {
    /// The request for a new session.
    pub fn new(timeout_ms: i32, read_only: Option<bool>) -> Self {
        Self {
            last_zxid: 0,
            timeout_ms,
            session: 0,
            password: Some(vec![0; PASSWORD_LEN]),
            read_only,
        }
    }
}

/// A server's answer to a connect request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Welcome {
    /// The session, or 0 if it was refused.
    pub session: i64,
    /// Its password.
    pub password: Vec<u8>,
    /// The text for the comparison: everything except the session and its password.
    pub line: String,
}

/// A socket, and the bytes that were read from it.
pub struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    broken: bool,
}

impl Connection {
    /// Opens the connection, without a connect request.
    pub fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self {
            stream,
            input: Vec::new(),
            broken: false,
        })
    }

    /// Sends the first frame and reads its answer; `None` if the server closed the connection
    /// instead.
    pub fn handshake(&mut self, hello: &Hello) -> Option<Welcome> {
        let mut body = Vec::new();
        put_i32(&mut body, 0);
        put_i64(&mut body, hello.last_zxid);
        put_i32(&mut body, hello.timeout_ms);
        put_i64(&mut body, hello.session);
        put_bytes(&mut body, hello.password.as_deref());
        if let Some(read_only) = hello.read_only {
            put_bool(&mut body, read_only);
        }
        self.send(&frame(&body));
        let Received::Frame(answer) = self.receive(ANSWER_TIMEOUT) else {
            return None;
        };
        let mut input = Input::new(&answer);
        let (version, timeout_ms, session) = (input.i32()?, input.i32()?, input.i64()?);
        let password = input.bytes()?.unwrap_or_default();
        let zeroes = password.iter().all(|&byte| byte == 0);
        let line = format!(
            "version={version} timeout={timeout_ms} session={} password of {} bytes{} then {}",
            if session == 0 { "none" } else { "some" },
            password.len(),
            if zeroes { ", all zero" } else { "" },
            input.rest().escape_ascii()
        );
        Some(Welcome {
            session,
            password,
            line,
        })
    }

    /// Sends bytes. A closed connection is noticed at the next read.
    pub fn send(&mut self, bytes: &[u8]) {
        self.broken |= self.stream.write_all(bytes).is_err();
    }

    /// The next frame.
    pub fn receive(&mut self, timeout: Duration) -> Received {
        let end = Instant::now() + timeout;
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some(length) = self.input.first_chunk::<4>() {
                let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
                if self.input.len() >= 4 + length {
                    let frame = self.input[4..4 + length].to_vec();
                    self.input.drain(..4 + length);
                    return Received::Frame(frame);
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Received::Nothing;
            }
            // It is not zero, which would mean "without a limit".
            if self.stream.set_read_timeout(Some(left)).is_err() {
                return Received::Closed;
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Received::Closed,
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Received::Nothing;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Received::Closed,
            }
        }
    }
}
