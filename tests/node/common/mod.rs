//! A node in this process, and a client that encodes and decodes ZooKeeper's messages itself.
//!
//! With `ZOOKEEPER_ADDRESS` set, the tests that start a node with default settings run against the
//! server there instead (`scripts/zookeeper.sh run <test binary> --exact <test>`), which must be
//! fresh: this is how the expectations are checked against a real ZooKeeper.
#![allow(dead_code)] // Each test file uses its part.
#![allow(clippy::disallowed_methods)] // A client of tests has sockets of its own.

pub mod asked;
pub mod cpu;
pub mod exposition;
pub mod simulated;
pub mod simulated_http;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use innkeeper_node::{Node, NodeSettings};
use innkeeper_proto::codec::Reader;
use innkeeper_proto::connect::{ConnectRequest, ConnectResponse};
use innkeeper_proto::frame::{FrameDecoder, Inbound};
use innkeeper_proto::reply::{Reply, ReplyHeader};
use innkeeper_proto::request::{
    AddWatch, Auth, Create, Multi, MultiOp, PathVersion, PathWatch, RemoveWatches, Request, SetAcl,
    SetData, SetWatches,
};
use innkeeper_proto::{
    Acl, AddWatchMode, ErrorCode, EventType, OpCode, Perms, WatcherEvent, WatcherType, xid,
};
use innkeeper_runtime::{Real, RealConfig, Threads};

/// Longest wait of a test for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A node on real sockets, in a folder that is removed with it.
pub struct Running {
    pub addr: SocketAddr,
    pub node: Option<Node<Real>>,
    threads: Threads,
    folder: tempfile::TempDir,
}

impl Running {
    pub fn start() -> Self {
        Self::start_like(|_| {})
    }

    /// Starts it with settings that the real server of `scripts/zookeeper.sh` has as well.
    pub fn start_like(change: impl Fn(&mut NodeSettings)) -> Self {
        if let Ok(address) = std::env::var("ZOOKEEPER_ADDRESS") {
            let addr = address.parse().unwrap();
            eventually("the server takes sessions", || {
                Client::connect_as(addr, &connect_request(10_000)).is_some()
            });
            return Self {
                addr,
                node: None,
                threads: Threads::start(RealConfig::default()).unwrap(),
                folder: tempfile::tempdir().unwrap(),
            };
        }
        Self::start_with(change)
    }

    pub fn start_with(change: impl Fn(&mut NodeSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, change)
    }

    pub fn start_in(folder: tempfile::TempDir, change: impl Fn(&mut NodeSettings)) -> Self {
        Self::start_bounded(folder, change, None)
    }

    /// Starts it with another `command_bytes_max` than that of the settings, if one is given.
    pub fn start_bounded(
        folder: tempfile::TempDir,
        change: impl Fn(&mut NodeSettings),
        command_bytes_max: Option<usize>,
    ) -> Self {
        let threads = Threads::start(RealConfig::default()).unwrap();
        let mut settings = NodeSettings::on_free_ports(folder.path());
        settings.admin.http = None;
        settings.server.max_client_connections = 0;
        settings.guests.compile.program = Some(env!("CARGO_BIN_EXE_innkeeper").into());
        change(&mut settings);
        let mut raft = settings.server.replication();
        raft.command_bytes_max = command_bytes_max.unwrap_or(raft.command_bytes_max);
        let node = threads
            .block_on(Node::start_with(threads.runtime(), settings, raft))
            .unwrap();
        Self {
            addr: node.addr(),
            node: Some(node),
            threads,
            folder,
        }
    }

    pub fn client(&self) -> Client {
        Client::connect(self.addr, 30_000)
    }

    /// Stops the node, and returns its folder for the next start.
    pub fn stop(mut self) -> tempfile::TempDir {
        let node = self.node.take().unwrap();
        self.threads.block_on(node.stop());
        self.folder
    }

    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.threads.block_on(future)
    }
}

/// A reply of a server.
#[derive(Debug)]
pub struct Answer {
    pub xid: i32,
    pub zxid: i64,
    pub err: ErrorCode,
    pub body: Bytes,
}

impl Answer {
    fn decode(frame: &Bytes) -> Self {
        let mut reader = Reader::new(frame.clone());
        let header = ReplyHeader::decode(&mut reader).unwrap();
        Self {
            xid: header.xid,
            zxid: header.zxid,
            err: header.err,
            body: frame.slice(ReplyHeader::WIRE_LEN..),
        }
    }

    pub fn reply(&self, op: OpCode) -> Reply {
        Reply::decode(op, &mut Reader::new(self.body.clone())).unwrap()
    }

    pub fn event(&self) -> (EventType, String) {
        assert_eq!(self.xid, xid::NOTIFICATION, "{self:?} is no event");
        let event = WatcherEvent::decode(&mut Reader::new(self.body.clone())).unwrap();
        (event.event_type, event.path.to_string())
    }

    pub fn data(&self) -> Vec<u8> {
        match self.reply(OpCode::GetData) {
            Reply::Data(data, _) => data.unwrap().to_vec(),
            other => panic!("{other:?}"),
        }
    }
}

/// One connection with its session.
pub struct Client {
    pub stream: TcpStream,
    input: BytesMut,
    decoder: FrameDecoder,
    pub connected: ConnectResponse,
    next_xid: i32,
}

pub fn connect_request(timeout_ms: i32) -> ConnectRequest {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout_ms,
        session_id: 0,
        password: Bytes::from_static(&[0; 16]),
        read_only: Some(false),
    }
}

impl Client {
    pub fn connect(addr: SocketAddr, timeout_ms: i32) -> Self {
        Self::connect_as(addr, &connect_request(timeout_ms)).expect("the server answers")
    }

    /// Sends a connect request. `None` if the server closes the connection without an answer.
    pub fn connect_as(addr: SocketAddr, request: &ConnectRequest) -> Option<Self> {
        match Self::try_connect(addr, request, PATIENCE) {
            Ok(client) => Some(client),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => panic!("{addr} does not answer: {error}"),
        }
    }

    /// Opens a connection without a session.
    pub fn open(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).unwrap(), PATIENCE).unwrap()
    }

    fn over(stream: TcpStream, patience: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self {
            stream,
            input: BytesMut::new(),
            decoder: FrameDecoder::frames_only(64 << 20),
            connected: ConnectResponse::refused(None),
            next_xid: 1,
        })
    }

    /// Sends a connect request to a server that may be dead or silent: the error is all that
    /// becomes of it, here and in [`try_ask`](Self::try_ask).
    pub fn try_connect(
        addr: SocketAddr,
        request: &ConnectRequest,
        patience: Duration,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, patience)?;
        let mut client = Self::over(stream, patience)?;
        let mut out = BytesMut::new();
        request.encode(&mut out);
        client.stream.write_all(&out)?;
        let frame = client.try_frame()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        client.connected = ConnectResponse::decode(frame).unwrap();
        Ok(client)
    }

    /// Sends one request, and returns its answer, which must be the next frame.
    pub fn try_ask(&mut self, request: &Request) -> io::Result<Answer> {
        let mut out = BytesMut::new();
        let xid = self.next_xid;
        self.next_xid += 1;
        request.encode(&mut out, xid);
        self.stream.write_all(&out)?;
        let frame = self.try_frame()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let answer = Answer::decode(&frame);
        assert_eq!(answer.xid, xid, "{answer:?}");
        Ok(answer)
    }

    /// The connect request that reattaches to this client's session.
    pub fn reattach_request(&self) -> ConnectRequest {
        ConnectRequest {
            session_id: self.connected.session_id,
            password: Bytes::copy_from_slice(&self.connected.password),
            ..connect_request(self.connected.timeout_ms)
        }
    }

    /// The next frame. `None` if the server has closed the connection.
    pub fn frame(&mut self) -> Option<Bytes> {
        match self.try_frame() {
            Ok(frame) => frame,
            Err(error) => panic!("nothing came: {error}"),
        }
    }

    fn try_frame(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(Inbound::Frame(frame)) = self.decoder.decode(&mut self.input).unwrap() {
                return Ok(Some(frame));
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(n) => self.input.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    pub fn answer(&mut self) -> Answer {
        Answer::decode(&self.frame().expect("the server is there"))
    }

    /// Sends requests in one write, and returns their xids.
    pub fn send(&mut self, requests: &[Request]) -> Vec<i32> {
        let mut out = BytesMut::new();
        let xids = requests
            .iter()
            .map(|request| {
                let xid = self.next_xid;
                self.next_xid += 1;
                request.encode(&mut out, xid);
                xid
            })
            .collect();
        self.stream.write_all(&out).unwrap();
        xids
    }

    /// Sends one request with this xid.
    pub fn send_as(&mut self, xid: i32, request: &Request) {
        let mut out = BytesMut::new();
        request.encode(&mut out, xid);
        self.stream.write_all(&out).unwrap();
    }

    /// Sends a request that may be invalid: its operation number and the bytes after it.
    pub fn send_raw(&mut self, op: i32, body: &[u8]) -> i32 {
        let xid = self.next_xid;
        self.next_xid += 1;
        let mut out = BytesMut::new();
        out.put_i32(8 + body.len() as i32);
        out.put_i32(xid);
        out.put_i32(op);
        out.put_slice(body);
        self.stream.write_all(&out).unwrap();
        xid
    }

    /// Sends a request that may be invalid, and returns the answer.
    pub fn ask_raw(&mut self, op: i32, body: &[u8]) -> Answer {
        let xid = self.send_raw(op, body);
        let answer = self.answer();
        assert_eq!(answer.xid, xid, "{answer:?}");
        answer
    }

    /// Asserts that exactly these events come, in this order, before the answer to a ping.
    pub fn only_events(&mut self, expected: &[(EventType, &str)]) {
        self.send_as(xid::PING, &Request::Ping);
        for (event, path) in expected {
            assert_eq!(self.answer().event(), (*event, (*path).to_owned()));
        }
        assert_eq!(self.answer().xid, xid::PING);
    }

    /// Authenticates by the scheme `digest` with `user:password`.
    pub fn log_in(&mut self, credentials: &'static [u8]) {
        let auth = Auth {
            auth_type: 0,
            scheme: "digest".into(),
            auth: Bytes::from_static(credentials),
        };
        self.send_as(xid::AUTH, &Request::Auth(auth));
        assert_eq!(self.answer().err, ErrorCode::Ok);
    }

    /// Sends one request, and returns its answer, which must be the next frame.
    pub fn ask(&mut self, request: Request) -> Answer {
        self.try_ask(&request).expect("the server is there")
    }

    /// Sends one request that must succeed, and returns its answer.
    pub fn must(&mut self, request: Request) -> Answer {
        let shown = format!("{request:?}");
        let answer = self.ask(request);
        assert_eq!(answer.err, ErrorCode::Ok, "{shown}");
        answer
    }

    /// Whether the server closes the connection without another frame.
    pub fn is_closed(&mut self) -> bool {
        self.frame().is_none()
    }

    pub fn close(mut self) {
        self.must(Request::CloseSession);
        assert!(self.is_closed());
    }
}

pub fn open_acl() -> Vec<Acl> {
    vec![Acl::world(Perms::ALL)]
}

pub fn create(path: &str, data: &[u8]) -> Request {
    create_as(path, data, 0)
}

pub fn create_as(path: &str, data: &[u8], flags: i32) -> Request {
    Request::Create(creation(path, data, flags))
}

pub fn creation(path: &str, data: &[u8], flags: i32) -> Create {
    Create {
        path: path.into(),
        data: Some(Bytes::copy_from_slice(data)),
        acl: open_acl(),
        flags,
    }
}

pub fn set(path: &str, data: &[u8]) -> Request {
    Request::SetData(SetData {
        path: path.into(),
        data: Some(Bytes::copy_from_slice(data)),
        version: -1,
    })
}

pub fn delete(path: &str) -> Request {
    Request::Delete(PathVersion {
        path: path.into(),
        version: -1,
    })
}

pub fn get(path: &str, watch: bool) -> Request {
    Request::GetData(path_watch(path, watch))
}

pub fn exists(path: &str, watch: bool) -> Request {
    Request::Exists(path_watch(path, watch))
}

pub fn children(path: &str, watch: bool) -> Request {
    Request::GetChildren(path_watch(path, watch))
}

pub fn path_watch(path: &str, watch: bool) -> PathWatch {
    PathWatch {
        path: path.into(),
        watch,
    }
}

pub fn multi(ops: Vec<MultiOp>) -> Request {
    Request::Multi(Multi { ops })
}

pub fn set_watches(relative_zxid: i64, data: &[&str], exist: &[&str], child: &[&str]) -> Request {
    let all = |paths: &[&str]| paths.iter().map(|path| (*path).into()).collect();
    Request::SetWatches(SetWatches {
        relative_zxid,
        data: all(data),
        exist: all(exist),
        child: all(child),
        ..SetWatches::default()
    })
}

pub fn add_watch(path: &str, mode: AddWatchMode) -> Request {
    Request::AddWatch(AddWatch {
        path: path.into(),
        mode: mode.as_i32(),
    })
}

pub fn watches(path: &str, kind: WatcherType) -> RemoveWatches {
    RemoveWatches {
        path: path.into(),
        kind: kind.as_i32(),
    }
}

pub fn set_acl(path: &str, acl: Vec<Acl>) -> Request {
    Request::SetAcl(SetAcl {
        path: path.into(),
        acl,
        version: -1,
    })
}

/// Asserts that the server accepts two clients, refuses a third, and accepts another one after the
/// first has left.
pub fn takes_two_clients_and_no_more(server: &Running) {
    let first = server.client();
    let _second = server.client();
    assert!(Client::connect_as(server.addr, &connect_request(10_000)).is_none());
    first.close();
    eventually("room for one more", || {
        Client::connect_as(server.addr, &connect_request(10_000)).is_some()
    });
}

/// Waits until a condition holds; checks it every 10 ms and panics after [`PATIENCE`].
pub fn eventually(what: &str, holds: impl FnMut() -> bool) {
    eventually_within(PATIENCE, what, holds);
}

/// The same, with a patience of its own.
pub fn eventually_within(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + patience;
    while !holds() {
        assert!(std::time::Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
