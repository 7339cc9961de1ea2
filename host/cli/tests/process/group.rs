//! Three processes that form a group.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use innkeeper_proto::ErrorCode;
use innkeeper_proto::connect::ConnectRequest;
use innkeeper_proto::request::Request;
use rustix::process::Signal;

use super::Process;
use super::common::asked::{self, word};
use super::common::{
    Client, PATIENCE, connect_request, create, create_as, eventually, eventually_within, exists,
    get,
};
use super::world::World;

/// A port that was free a moment ago: the nodes of a group must know it before they bind it.
pub fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Connects until the node serves.
pub fn connected(addr: SocketAddr, request: &ConnectRequest) -> Client {
    let mut client = None;
    eventually("the node serves", || {
        client = Client::connect_as(addr, request);
        client.is_some()
    });
    client.unwrap()
}

/// Starts a node of a group from ZooKeeper's own file, which is the same on all but for the
/// addresses where they live.
pub fn start(folder: &Path, world: &World, node: usize) -> Process {
    let number = node + 1;
    let data = folder.join(number.to_string());
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("myid"), format!("{number}\n")).unwrap();
    let home = &world.homes[node];
    let mut text = format!(
        "tickTime=1000\ninitLimit=10\nsyncLimit=5\ndataDir={}\nclientPort={}\n\
         clientPortAddress={host}\nadmin.serverPort={}\nadmin.serverAddress={host}\n",
        data.display(),
        home.client,
        home.http,
        host = home.host
    );
    for (at, home) in world.homes.iter().enumerate() {
        text += &format!("server.{}={}:{}:1\n", at + 1, home.host, home.peers);
    }
    let config = folder.join(format!("{number}.cfg"));
    std::fs::write(&config, text).unwrap();
    let mut command = world.inside(node, env!("CARGO_BIN_EXE_innkeeper"));
    command.arg("serve").arg(&config);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    Process::ready(command)
}

fn mode(node: &Process) -> String {
    let answer = word(node.addr, "srvr");
    let mode = answer.lines().find_map(|line| line.strip_prefix("Mode: "));
    mode.unwrap_or_default().to_owned()
}

/// Waits until a node leads, and returns its number, from 0 on.
pub fn leader(nodes: &[Option<Process>]) -> usize {
    let mut found = None;
    eventually("a node leads", || {
        found = nodes
            .iter()
            .position(|node| node.as_ref().is_some_and(|node| mode(node) == "leader"));
        found.is_some()
    });
    found.unwrap()
}

/// Waits until a node leads, all others follow and all vote. One that came late is taken in a
/// moment later; until then the others need each other.
pub fn whole(nodes: &[Option<Process>], patience: Duration) -> usize {
    let nodes: Vec<_> = nodes.iter().flatten().collect();
    let voters: Vec<_> = (1..=nodes.len()).collect();
    let mut found = 0;
    eventually_within(patience, "all follow one leader and vote", || {
        let modes: Vec<_> = nodes.iter().map(|node| mode(node)).collect();
        found = modes.iter().position(|mode| mode == "leader").unwrap_or(0);
        let count = |wanted| modes.iter().filter(|mode| *mode == wanted).count();
        count("leader") == 1
            && count("follower") == nodes.len() - 1
            && nodes.iter().all(|node| {
                let status = asked::get(node.http.unwrap(), "/v1/status");
                status.good()["group"]["voters"] == serde_json::json!(voters)
            })
    });
    found
}

/// Clients of three nodes: a killed and a stopped leader lose nothing that was acknowledged, and
/// close no connection of a follower's client.
#[test]
fn three_processes_serve_on_when_the_leader_is_killed_or_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(0, 3).unwrap();
    let mut nodes: Vec<_> = (0..3)
        .map(|node| Some(start(folder.path(), &world, node)))
        .collect();
    let request = connect_request(10_000);
    let first = whole(&nodes, PATIENCE);
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
        nodes[first] = Some(start(folder.path(), &world, first));
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
