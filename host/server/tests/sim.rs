//! One whole node, single-threaded, in virtual time: the same seed gives the same run, poll by
//! poll, another seed another one.

mod common;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use common::*;
use innkeeper_proto::connect::ConnectResponse;
use innkeeper_proto::frame::{FrameDecoder, Inbound};
use innkeeper_proto::reply::ReplyHeader;
use innkeeper_proto::request::Request;
use innkeeper_proto::wire::Reader;
use innkeeper_proto::{ErrorCode, xid};
use innkeeper_runtime::{Role, Runtime, Sim, SimDisk, Simulated};
use innkeeper_server::{Node, NodeSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const FOLDER: &str = "/data";

/// A client in the simulated world; it notes what it sees and when.
struct SimClient {
    runtime: Simulated,
    stream: <Simulated as Runtime>::Stream,
    input: BytesMut,
    decoder: FrameDecoder,
    next_xid: i32,
    notes: Vec<String>,
}

impl SimClient {
    async fn connect(runtime: &Simulated, addr: SocketAddr, timeout_ms: i32) -> Self {
        let stream = runtime.connect_tcp(addr).await.unwrap();
        let mut client = Self {
            runtime: runtime.clone(),
            stream,
            input: BytesMut::new(),
            decoder: FrameDecoder::frames_only(1 << 20),
            next_xid: 1,
            notes: Vec::new(),
        };
        let mut out = BytesMut::new();
        connect_request(timeout_ms).encode(&mut out);
        client.stream.write_all(&out).await.unwrap();
        let frame = client.frame().await.expect("an answer to the connect");
        let connected = ConnectResponse::decode(frame).unwrap();
        client.note(format!("session {:#x}", connected.session_id));
        client
    }

    fn note(&mut self, what: String) {
        let now = self.runtime.now().as_nanos();
        self.notes.push(format!("{now} {what}"));
    }

    async fn frame(&mut self) -> Option<bytes::Bytes> {
        loop {
            if let Some(Inbound::Frame(frame)) = self.decoder.decode(&mut self.input).unwrap() {
                return Some(frame);
            }
            if self.stream.read_buf(&mut self.input).await.unwrap() == 0 {
                return None;
            }
        }
    }

    async fn send(&mut self, requests: &[Request]) {
        let mut out = BytesMut::new();
        for request in requests {
            request.encode(&mut out, self.next_xid);
            self.next_xid += 1;
        }
        self.stream.write_all(&out).await.unwrap();
    }

    /// Reads this many frames that are no events; their errors.
    async fn answers(&mut self, count: usize) -> Vec<ErrorCode> {
        let mut errors = Vec::new();
        while errors.len() < count {
            let frame = self.frame().await.expect("the node is there");
            let header = ReplyHeader::decode(&mut Reader::new(frame.clone())).unwrap();
            self.note(format!("{header:?} {} bytes", frame.len()));
            if header.xid != xid::NOTIFICATION {
                errors.push(header.err);
            }
        }
        errors
    }
}

/// Three clients on one node: writers with pipelines, a watcher, one that falls silent.
async fn story(runtime: Simulated) -> Vec<String> {
    let settings = |seed_free: &str| NodeSettings {
        http: None,
        tick_time_ms: 100,
        ..NodeSettings::on_free_ports(seed_free)
    };
    let node = Node::start(runtime.clone(), settings(FOLDER))
        .await
        .unwrap();
    let addr = node.addr();
    let mut silent = SimClient::connect(&runtime, addr, 1000).await;
    silent.send(&[create_as("/silent", b"", 1)]).await;
    assert_eq!(silent.answers(1).await, [ErrorCode::Ok]);
    let mut tasks = Vec::new();
    for number in 0..3 {
        let world = runtime.clone();
        tasks.push(runtime.spawn(Role::Client, async move {
            let mut client = SimClient::connect(&world, addr, 60_000).await;
            for round in 0..20 {
                let path = format!("/c{number}-{round}");
                client
                    .send(&[
                        create(&path, b"x"),
                        get(&path, true),
                        set(&path, b"y"),
                        get(&path, false),
                        exists("/silent", true),
                        Request::Sync(path.as_str().into()),
                    ])
                    .await;
                client.answers(6).await;
                let pause = world.random_u64() % 50_000;
                world.sleep(Duration::from_micros(pause)).await;
            }
            client
        }));
    }
    let mut notes = silent.notes;
    let mut clients = Vec::new();
    for task in tasks {
        clients.push(task.await.unwrap());
    }
    // Silence, while the others stay: the ephemeral goes with its session.
    let mut gone = false;
    for _ in 0..100 {
        for client in &mut clients {
            client.send(&[exists("/silent", false)]).await;
            gone = client.answers(1).await == [ErrorCode::NoNode];
        }
        if gone {
            break;
        }
        runtime.sleep(Duration::from_millis(100)).await;
    }
    assert!(gone, "a silent session expires in virtual time, too");
    node.stop().await;
    // The same folder again: what was acknowledged is there.
    let node = Node::start(runtime.clone(), settings(FOLDER))
        .await
        .unwrap();
    let mut reader = SimClient::connect(&runtime, node.addr(), 60_000).await;
    for number in 0..3 {
        for round in 0..20 {
            reader
                .send(&[get(&format!("/c{number}-{round}"), false)])
                .await;
            assert_eq!(reader.answers(1).await, [ErrorCode::Ok]);
        }
    }
    node.stop().await;
    for client in clients {
        notes.extend(client.notes);
    }
    notes.extend(reader.notes);
    notes
}

/// The notes of the clients and the executor's whole trace.
fn run(seed: u64) -> (Vec<String>, Vec<String>) {
    Sim::run_traced(seed, story)
}

#[test]
fn one_seed_is_one_run_and_another_seed_another() {
    let (notes, trace) = run(7);
    let (same_notes, same_trace) = run(7);
    for (at, (first, second)) in notes.iter().zip(&same_notes).enumerate() {
        assert_eq!(first, second, "note {at} differs");
    }
    assert_eq!(notes.len(), same_notes.len());
    for (at, (first, second)) in trace.iter().zip(&same_trace).enumerate() {
        assert_eq!(first, second, "line {at} of the trace differs");
    }
    assert_eq!(trace.len(), same_trace.len());
    assert!(
        trace.len() > 1000,
        "a trace of {} lines is no node",
        trace.len()
    );
    let (other_notes, other_trace) = run(8);
    assert_ne!(notes, other_notes);
    assert_ne!(trace, other_trace);
}

/// A write that was answered survives a power cut that forgets whatever was not synced.
#[test]
fn what_was_answered_survives_a_power_cut() {
    for seed in 0..4 {
        let disk = SimDisk::new(seed);
        let mut sim = Sim::new(seed);
        sim.mount(Path::new(FOLDER), disk.clone());
        let answered = sim.block_on(|runtime| async move {
            let settings = NodeSettings {
                http: None,
                ..NodeSettings::on_free_ports(FOLDER)
            };
            let node = Node::start(runtime.clone(), settings).await.unwrap();
            let mut client = SimClient::connect(&runtime, node.addr(), 60_000).await;
            let count = 20 + seed as usize * 7;
            let creates: Vec<_> = (0..count)
                .map(|n| create(&format!("/n{n}"), b"x"))
                .collect();
            client.send(&creates).await;
            assert_eq!(client.answers(count).await, vec![ErrorCode::Ok; count]);
            count
        });
        disk.power_cut();
        drop(sim);
        let mut sim = Sim::new(seed + 100);
        sim.mount(Path::new(FOLDER), disk.reopen());
        sim.block_on(|runtime| async move {
            let settings = NodeSettings {
                http: None,
                ..NodeSettings::on_free_ports(FOLDER)
            };
            let node = Node::start(runtime.clone(), settings).await.unwrap();
            let mut client = SimClient::connect(&runtime, node.addr(), 60_000).await;
            for n in 0..answered {
                client.send(&[get(&format!("/n{n}"), false)]).await;
                assert_eq!(
                    client.answers(1).await,
                    [ErrorCode::Ok],
                    "/n{n}, seed {seed}"
                );
            }
            node.stop().await;
        });
    }
}
