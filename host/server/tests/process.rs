//! The binary: its ready line, its errors, and what stopping and continuing it does to sessions.
#![allow(clippy::disallowed_methods)] // Processes and sockets of tests.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use common::*;
use innkeeper_proto::request::Request;
use innkeeper_proto::{ErrorCode, xid};
use rustix::process::{Pid, Signal, kill_process};

/// A running binary; killed when dropped.
struct Process {
    child: Child,
    addr: SocketAddr,
    ready: String,
}

fn serve(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_innkeeper"));
    command.arg("serve").args(arguments);
    command.stdin(Stdio::null());
    command
}

impl Process {
    fn start(data: &Path, more: &[&str]) -> Self {
        let mut command = serve(&["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.arg("--data").arg(data).args(more);
        Self::ready(command)
    }

    fn ready(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut ready)
            .unwrap();
        let addr = ready
            .split_whitespace()
            .find_map(|word| word.strip_prefix("zookeeper="))
            .unwrap_or_else(|| panic!("no ready line: {ready:?}"))
            .parse()
            .unwrap();
        Self { child, addr, ready }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn fails(mut command: Command) -> String {
    let Output { status, stderr, .. } = command.stdout(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(!status.success(), "{stderr}");
    assert!(
        !stderr.contains("panicked") && !stderr.contains("backtrace"),
        "{stderr}"
    );
    let sentence = stderr.lines().last().unwrap_or_default().to_owned();
    assert!(sentence.starts_with("innkeeper: "), "{stderr}");
    sentence
}

#[test]
fn the_ready_line_names_the_addresses_and_a_signal_ends_the_node_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &[]);
    let expected = format!(
        "innkeeper ready: zookeeper={} http=127.0.0.1:",
        process.addr
    );
    assert!(process.ready.starts_with(&expected), "{}", process.ready);
    assert!(process.ready.contains(" admin="), "{}", process.ready);
    let mut client = Client::connect(process.addr, 10_000);
    client.must(create("/kept", b"x"));
    process.signal(Signal::TERM);
    assert!(process.child.wait().unwrap().success());
    assert!(client.is_closed());
    let process = Process::start(folder.path(), &[]);
    let mut client = Client::connect(process.addr, 10_000);
    assert_eq!(client.must(get("/kept", false)).data(), b"x");
}

#[test]
fn what_is_wrong_at_the_start_is_said_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let data = folder.path().to_str().unwrap();
    let in_use = fails(serve(&["--data", data, "--listen", &addr]));
    assert!(
        in_use.matches(&addr).count() == 1 && in_use.contains("stop it, or listen on another"),
        "{in_use}"
    );

    let holder = Process::start(folder.path(), &[]);
    let free = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"];
    let locked = fails(serve(&[&free[..], &[data]].concat()));
    assert!(locked.contains("process"), "{locked}");
    drop(holder);

    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let no_folder = fails(serve(&[&free[..], &[file.to_str().unwrap()]].concat()));
    assert!(no_folder.contains("--data"), "{no_folder}");

    let no_config = fails(serve(&["/no/such/zoo.cfg"]));
    assert!(
        no_config.contains("/no/such/zoo.cfg cannot be read"),
        "{no_config}"
    );
}

#[test]
fn a_node_starts_from_zookeepers_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("zoo.cfg");
    let data = folder.path().join("data");
    let text = format!(
        "tickTime=100\ninitLimit=10\ndataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\n\
         admin.enableServer=false\n4lw.commands.whitelist=ruok\n",
        data.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = serve(&[
        config.to_str().unwrap(),
        "-Dzookeeper.jmx.log4j.disable=true",
    ]);
    command.stderr(Stdio::piped());
    let mut process = Process::ready(command);
    assert!(process.ready.contains(" http=none "), "{}", process.ready);
    let client = Client::connect(process.addr, 60_000);
    assert_eq!(client.connected.timeout_ms, 2000);
    process.signal(Signal::INT);
    assert!(process.child.wait().unwrap().success());
    let mut warnings = String::new();
    let mut stderr = process.child.stderr.take().unwrap();
    stderr.read_to_string(&mut warnings).unwrap();
    for key in ["initLimit", "zookeeper.jmx.log4j.disable"] {
        assert!(warnings.contains(&format!("warning: {key} ")), "{warnings}");
    }
    assert!(!warnings.contains("dataDir"), "{warnings}");
}

/// A stopped and continued process loses no session whose client went on pinging.
#[test]
fn stopping_and_continuing_the_process_keeps_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &["--tick-time-ms", "100"]);
    let mut clients: Vec<_> = (0..20)
        .map(|_| Client::connect(process.addr, 1000))
        .collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.must(create_as(&format!("/e{number}"), b"", 1));
    }
    for _ in 0..2 {
        process.signal(Signal::STOP);
        // Three timeouts long the clients ping into a stopped process.
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(300));
            for client in &mut clients {
                client.send_as(xid::PING, &Request::Ping);
            }
        }
        process.signal(Signal::CONT);
        for client in &mut clients {
            for _ in 0..10 {
                assert_eq!(client.answer().xid, xid::PING);
            }
        }
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let path = format!("/e{number}");
        assert_eq!(client.ask(exists(&path, false)).err, ErrorCode::Ok);
    }
    // And one that stays silent does expire.
    let silent = clients.remove(0);
    let mut gone = false;
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(100));
        for client in &mut clients {
            gone = client.ask(exists("/e0", false)).err == ErrorCode::NoNode;
        }
        if gone {
            break;
        }
    }
    assert!(gone);
    drop(silent);
}
