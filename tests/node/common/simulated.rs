//! A client in a simulated world, and what it takes to start a node there.

use std::io;
use std::net::SocketAddr;

use bytes::BytesMut;
use innkeeper_node::NodeSettings;
use innkeeper_proto::codec::Reader;
use innkeeper_proto::connect::{ConnectRequest, ConnectResponse};
use innkeeper_proto::frame::{FrameDecoder, Inbound};
use innkeeper_proto::reply::ReplyHeader;
use innkeeper_proto::request::Request;
use innkeeper_proto::{ErrorCode, xid};
use innkeeper_runtime::{Runtime, Simulated};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Answer, connect_request};

/// The node's data folder.
pub const FOLDER: &str = "/data";

/// Settings for a node that serves only ZooKeeper's clients.
pub fn without_http() -> NodeSettings {
    let mut settings = NodeSettings::on_free_ports(FOLDER);
    settings.admin.http = None;
    settings
}

/// A client in a simulated world; it notes what it sees and when. The functions whose names begin
/// with `try` return the network's errors, and the others panic.
pub struct SimClient {
    runtime: Simulated,
    stream: <Simulated as Runtime>::Stream,
    input: BytesMut,
    decoder: FrameDecoder,
    next_xid: i32,
    /// The answer to the connect request.
    pub connected: ConnectResponse,
    timeout_ms: i32,
    pub notes: Vec<String>,
}

impl SimClient {
    pub async fn connect(runtime: &Simulated, addr: SocketAddr, timeout_ms: i32) -> Self {
        let connected = Self::try_connect(runtime, addr, timeout_ms).await;
        connected.expect("an answer to the connect")
    }

    pub async fn try_connect(
        runtime: &Simulated,
        addr: SocketAddr,
        timeout_ms: i32,
    ) -> io::Result<Self> {
        Self::try_connect_as(runtime, addr, &connect_request(timeout_ms)).await
    }

    pub async fn try_connect_as(
        runtime: &Simulated,
        addr: SocketAddr,
        request: &ConnectRequest,
    ) -> io::Result<Self> {
        let mut stream = runtime.connect_tcp(addr).await?;
        let mut out = BytesMut::new();
        request.encode(&mut out);
        stream.write_all(&out).await?;
        let (mut input, mut decoder) = (BytesMut::new(), FrameDecoder::frames_only(1 << 20));
        let frame = next_frame(&mut stream, &mut input, &mut decoder).await?;
        let connected = ConnectResponse::decode(frame).unwrap();
        let mut client = Self {
            runtime: runtime.clone(),
            stream,
            input,
            decoder,
            next_xid: 1,
            connected,
            timeout_ms: request.timeout_ms,
            notes: Vec::new(),
        };
        client.note(format!("session {:#x}", client.connected.session_id));
        Ok(client)
    }

    /// The request by which this client takes its session up again.
    pub fn reattach_request(&self) -> ConnectRequest {
        ConnectRequest {
            session_id: self.connected.session_id,
            password: bytes::Bytes::copy_from_slice(&self.connected.password),
            ..connect_request(self.timeout_ms)
        }
    }

    fn note(&mut self, what: String) {
        let now = self.runtime.now().as_nanos();
        self.notes.push(format!("{now} {what}"));
    }

    async fn frame(&mut self) -> io::Result<bytes::Bytes> {
        next_frame(&mut self.stream, &mut self.input, &mut self.decoder).await
    }

    pub async fn send(&mut self, requests: &[Request]) {
        self.try_send(requests).await.expect("the node is there");
    }

    pub async fn try_send(&mut self, requests: &[Request]) -> io::Result<()> {
        let mut out = BytesMut::new();
        for request in requests {
            request.encode(&mut out, self.next_xid);
            self.next_xid += 1;
        }
        self.stream.write_all(&out).await
    }

    /// The next message, an answer or an event.
    pub async fn try_message(&mut self) -> io::Result<Answer> {
        let frame = self.frame().await?;
        let header = ReplyHeader::decode(&mut Reader::new(frame.clone())).unwrap();
        self.note(format!("{header:?} {} bytes", frame.len()));
        Ok(Answer {
            xid: header.xid,
            zxid: header.zxid,
            err: header.err,
            body: frame.slice(ReplyHeader::WIRE_LEN..),
        })
    }

    /// The next answer that is no event.
    pub async fn try_answer(&mut self) -> io::Result<Answer> {
        loop {
            let message = self.try_message().await?;
            if message.xid != xid::NOTIFICATION {
                return Ok(message);
            }
        }
    }

    /// Reads this many answers that are no events, and returns their errors.
    pub async fn answers(&mut self, count: usize) -> Vec<ErrorCode> {
        let mut errors = Vec::new();
        for _ in 0..count {
            errors.push(self.try_answer().await.expect("the node is there").err);
        }
        errors
    }
}

/// The next frame. The end of the connection is an error.
async fn next_frame(
    stream: &mut <Simulated as Runtime>::Stream,
    input: &mut BytesMut,
    decoder: &mut FrameDecoder,
) -> io::Result<bytes::Bytes> {
    loop {
        if let Some(Inbound::Frame(frame)) = decoder.decode(input).unwrap() {
            return Ok(frame);
        }
        if stream.read_buf(input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
