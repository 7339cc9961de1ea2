//! A ZooKeeper connection that does as little as possible: the generator shares the machine with
//! the server, and the time that it uses is not there for the server.
//!
//! It encodes ZooKeeper's format by itself, without the server's codec.

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Create, persistent.
pub const CREATE: i32 = 1;
/// Reads a znode's data.
pub const GET_DATA: i32 = 4;
/// Writes a znode's data.
pub const SET_DATA: i32 = 5;
/// Lists children.
pub const GET_CHILDREN: i32 = 8;
/// Ends the session.
pub const CLOSE: i32 = -11;

/// The xid of an event.
pub const NOTIFICATION_XID: i32 = -1;

const REMOVE_WATCHES: i32 = 18;
const AUTH: i32 = 100;
const AUTH_XID: i32 = -4;
const EPHEMERAL: i32 = 1;
const WATCHES_OF_ANY_KIND: i32 = 3;
const NO_WATCHER: i32 = -121;
const READ_CHUNK_BYTES: usize = 64 * 1024;

/// A reply; its body is in the connection's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// The request's number, or [`NOTIFICATION_XID`].
    pub xid: i32,
    /// ZooKeeper's error code.
    pub error: i32,
    /// The range of the body in [`Connection::body`]'s buffer.
    start: usize,
    end: usize,
}

/// One session over one socket.
pub struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// The position in `input` of the first byte that belongs to no reply yet.
    read: usize,
    output: Vec<u8>,
    xid: i32,
}

impl Connection {
    /// Opens a session.
    pub async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("no server at {address}"))?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream,
            input: Vec::new(),
            read: 0,
            output: Vec::new(),
            xid: 0,
        };
        let mut hello = Vec::new();
        hello.extend_from_slice(&0_i32.to_be_bytes());
        hello.extend_from_slice(&0_i64.to_be_bytes());
        hello.extend_from_slice(&30_000_i32.to_be_bytes());
        hello.extend_from_slice(&0_i64.to_be_bytes());
        put_buffer(&mut hello, &[0; 16]);
        hello.push(0);
        put_buffer(&mut connection.output, &hello);
        connection.flush().await?;
        let (start, end) = connection.frame().await?;
        ensure!(
            end - start >= 16,
            "the answer to the handshake is too short"
        );
        let session = &connection.input[start + 8..start + 16];
        ensure!(
            session.iter().any(|&byte| byte != 0),
            "the server gave no session"
        );
        Ok(connection)
    }

    /// Queues a request; [`flush`](Self::flush) sends it.
    pub fn queue(&mut self, opcode: i32, body: impl FnOnce(&mut Vec<u8>)) -> i32 {
        self.xid += 1;
        let at = self.output.len();
        self.output.extend_from_slice(&[0; 4]);
        self.output.extend_from_slice(&self.xid.to_be_bytes());
        self.output.extend_from_slice(&opcode.to_be_bytes());
        body(&mut self.output);
        let length = i32::try_from(self.output.len() - at - 4)
            .expect("a request is short")
            .to_be_bytes();
        self.output[at..at + 4].copy_from_slice(&length);
        self.xid
    }

    /// Sends the queued requests, in one write if the socket takes them.
    pub async fn flush(&mut self) -> anyhow::Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output).await?;
            self.output.clear();
        }
        Ok(())
    }

    /// The next reply or event.
    pub async fn receive(&mut self) -> anyhow::Result<Reply> {
        let (start, end) = self.frame().await?;
        ensure!(end - start >= 16, "a reply is too short");
        let number =
            |at: usize| i32::from_be_bytes(self.input[at..at + 4].try_into().expect("four bytes"));
        Ok(Reply {
            xid: number(start),
            error: number(start + 12),
            start: start + 16,
            end,
        })
    }

    /// The body of the last reply.
    pub fn body(&self, reply: Reply) -> &[u8] {
        &self.input[reply.start..reply.end]
    }

    /// Whether another whole reply has arrived.
    pub fn has_buffered(&self) -> bool {
        self.buffered_frame().is_some()
    }

    /// Sends one request and waits for its reply; an error code is an error.
    pub async fn call(
        &mut self,
        opcode: i32,
        body: impl FnOnce(&mut Vec<u8>),
    ) -> anyhow::Result<Reply> {
        let xid = self.queue(opcode, body);
        self.flush().await?;
        let reply = self.receive().await?;
        ensure!(
            reply.xid == xid,
            "the reply to request {xid} has the number {}",
            reply.xid
        );
        ensure!(
            reply.error == 0,
            "request {xid} (operation {opcode}) failed with {}",
            reply.error
        );
        Ok(reply)
    }

    /// Removes the watches on `path`, and reads an event that was on its way.
    pub async fn remove_watches(&mut self, path: &str) -> anyhow::Result<()> {
        let xid = self.queue(REMOVE_WATCHES, |out| {
            put_buffer(out, path.as_bytes());
            out.extend_from_slice(&WATCHES_OF_ANY_KIND.to_be_bytes());
        });
        self.flush().await?;
        loop {
            let reply = self.receive().await?;
            if reply.xid == xid {
                ensure!(
                    matches!(reply.error, 0 | NO_WATCHER),
                    "removeWatches failed with {}",
                    reply.error
                );
                return Ok(());
            }
            ensure!(
                reply.xid == NOTIFICATION_XID,
                "the reply to request {xid} has the number {}",
                reply.xid
            );
        }
    }

    /// Adds an identity to the session.
    pub async fn authenticate(&mut self, scheme: &str, credential: &[u8]) -> anyhow::Result<()> {
        self.xid = AUTH_XID - 1;
        let sent = self.call(AUTH, |out| {
            out.extend_from_slice(&0_i32.to_be_bytes());
            put_buffer(out, scheme.as_bytes());
            put_buffer(out, credential);
        });
        sent.await?;
        self.xid = 0;
        Ok(())
    }

    fn buffered_frame(&self) -> Option<(usize, usize)> {
        let rest = &self.input[self.read..];
        let length = rest
            .first_chunk::<4>()
            .map(|bytes| i32::from_be_bytes(*bytes))?;
        let length = usize::try_from(length).ok()?;
        (rest.len() >= 4 + length).then_some((self.read + 4, self.read + 4 + length))
    }

    async fn frame(&mut self) -> anyhow::Result<(usize, usize)> {
        loop {
            if let Some((start, end)) = self.buffered_frame() {
                self.read = end;
                return Ok((start, end));
            }
            self.input.drain(..self.read);
            self.read = 0;
            self.input.reserve(READ_CHUNK_BYTES);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                bail!("the server closed the connection");
            }
        }
    }
}

fn put_buffer(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(
        &i32::try_from(data.len())
            .expect("data is short")
            .to_be_bytes(),
    );
    out.extend_from_slice(data);
}

fn put_create(out: &mut Vec<u8>, path: &str, data: &[u8], flags: i32) {
    put_buffer(out, path.as_bytes());
    put_buffer(out, data);
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.extend_from_slice(&31_i32.to_be_bytes());
    put_buffer(out, b"world");
    put_buffer(out, b"anyone");
    out.extend_from_slice(&flags.to_be_bytes());
}

/// The body of a persistent, open create.
pub fn create(path: &str, data: &[u8]) -> impl FnOnce(&mut Vec<u8>) {
    move |out| put_create(out, path, data, 0)
}

/// The body of an ephemeral, open create.
pub fn create_ephemeral(path: &str, data: &[u8]) -> impl FnOnce(&mut Vec<u8>) {
    move |out| put_create(out, path, data, EPHEMERAL)
}

/// The body of a setData without a version.
pub fn set_data(path: &str, data: &[u8]) -> impl FnOnce(&mut Vec<u8>) {
    move |out| {
        put_buffer(out, path.as_bytes());
        put_buffer(out, data);
        out.extend_from_slice(&(-1_i32).to_be_bytes());
    }
}

/// The body of a read.
pub fn read(path: &str, watch: bool) -> impl FnOnce(&mut Vec<u8>) {
    move |out| {
        put_buffer(out, path.as_bytes());
        out.push(u8::from(watch));
    }
}
