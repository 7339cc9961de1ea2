//! Three processes that form a group.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use innkeeper_proto::ErrorCode;
use innkeeper_proto::connect::ConnectRequest;
use innkeeper_proto::request::Request;
use rustix::process::Signal;

use super::common::asked::{said, word};
use super::common::{
    Client, PATIENCE, connect_request, create, create_as, eventually, exists, get,
};
use super::{Process, serve};

/// A port that was free a moment ago: the nodes of a group must know it before they bind it.
pub fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Connects until the node serves.
pub fn connected(addr: SocketAddr, request: &ConnectRequest) -> Client {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(client) = Client::connect_as(addr, request) {
            return client;
        }
        assert!(Instant::now() < end, "{addr} serves nobody");
        std::thread::yield_now();
    }
}

/// Starts a node of three from ZooKeeper's own file, which is the same on all but for the ports of
/// the one machine.
fn start(folder: &Path, number: usize, peers: &[SocketAddr]) -> Process {
    let data = folder.join(number.to_string());
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("myid"), format!("{number}\n")).unwrap();
    let mut text = format!(
        "tickTime=1000\ninitLimit=10\nsyncLimit=5\ndataDir={}\nclientPort=0\n\
         clientPortAddress=127.0.0.1\nadmin.serverPort=0\nadmin.serverAddress=127.0.0.1\n",
        data.display()
    );
    for (at, peer) in peers.iter().enumerate() {
        text += &format!("server.{}=127.0.0.1:{}:1\n", at + 1, peer.port());
    }
    let config = folder.join(format!("{number}.cfg"));
    std::fs::write(&config, text).unwrap();
    let mut command = serve(&[config.to_str().unwrap()]);
    command.stderr(Stdio::null());
    Process::ready(command)
}

fn mode(node: &Process) -> String {
    let answer = word(node.addr, "srvr");
    let mode = answer.lines().find_map(|line| line.strip_prefix("Mode: "));
    mode.unwrap_or_default().to_owned()
}

/// The number of the node that leads, from 0 on.
fn leader(nodes: &[Option<Process>]) -> usize {
    let mut found = None;
    eventually("a node leads", || {
        found = nodes
            .iter()
            .position(|node| node.as_ref().is_some_and(|node| mode(node) == "leader"));
        found.is_some()
    });
    found.unwrap()
}

/// Clients of three nodes: a killed and a stopped leader lose nothing that was acknowledged, and
/// close no connection of a follower's client.
#[test]
fn three_processes_serve_on_when_the_leader_is_killed_or_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let peers: Vec<_> = (0..3).map(|_| free_port()).collect();
    let mut nodes: Vec<_> = (1..=3)
        .map(|number| Some(start(folder.path(), number, &peers)))
        .collect();
    let request = connect_request(10_000);
    // One that came late is taken in a moment later; until then the others need each other.
    eventually("all three vote", || {
        nodes.iter().flatten().all(|node| {
            let answer = said(
                node.http.unwrap(),
                b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            );
            answer.contains("\"voters\":[1,2,3]")
        })
    });
    let first = leader(&nodes);
    let follower = (first + 1) % 3;
    let at = |nodes: &[Option<Process>], node: usize| nodes[node].as_ref().unwrap().addr;
    let addr = at(&nodes, follower);
    assert_eq!(mode(nodes[follower].as_ref().unwrap()), "follower");
    let mut owner = connected(addr, &request);
    owner.must(create_as("/owned", b"", 1));
    owner.must(create("/all", b""));

    let (ends, mut written) = (AtomicBool::new(false), 0);
    std::thread::scope(|scope| {
        // On one connection, to the end: nothing is asked twice, and none is missing.
        let writer = scope.spawn(|| {
            let mut client = connected(addr, &request);
            let mut count = 0;
            while !ends.load(Ordering::Relaxed) {
                client.must(create(&format!("/all/{count}"), b"x"));
                count += 1;
            }
            count
        });
        nodes[first] = None;
        owner.must(create("/after-the-kill", b""));
        nodes[first] = Some(start(folder.path(), first + 1, &peers));
        let mut back = connected(at(&nodes, first), &request);
        back.must(Request::Sync("/".into()));
        back.must(get("/after-the-kill", false));

        let second = leader(&nodes);
        if second != follower {
            let stopped = nodes[second].as_ref().unwrap();
            stopped.signal(Signal::STOP);
            owner.must(create("/after-the-stop", b""));
            stopped.signal(Signal::CONT);
        }
        ends.store(true, Ordering::Relaxed);
        written = writer.join().unwrap();
    });
    for node in 0..3 {
        let mut client = connected(at(&nodes, node), &request);
        client.must(Request::Sync("/".into()));
        for count in 0..written {
            client.must(get(&format!("/all/{count}"), false));
        }
        client.must(exists("/owned", false));
    }
    // A client that goes takes its ephemeral along, at every node.
    owner.close();
    for node in 0..3 {
        let mut client = connected(at(&nodes, node), &request);
        client.must(Request::Sync("/".into()));
        assert_eq!(client.ask(exists("/owned", false)).err, ErrorCode::NoNode);
    }
}
