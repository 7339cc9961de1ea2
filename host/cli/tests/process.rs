//! The binary: its ready line, its errors, and that stopping and continuing it ends no session; the
//! addresses where it listens ([`addresses`]), its data folder ([`folder`]), groups of three
//! ([`group`]) and what their clients see ([`histories`]), signals ([`signals`]), and closed output streams ([`streams`]).
#![allow(clippy::disallowed_methods)] // Processes and sockets of tests.

#[path = "process/addresses.rs"]
mod addresses;
#[path = "../../../tests/node/common/mod.rs"]
mod common;
#[path = "process/folder.rs"]
mod folder;
#[path = "process/group.rs"]
mod group;
#[path = "../../../tests/guests.rs"]
mod guests;
#[path = "process/histories.rs"]
mod histories;
#[path = "process/inputs.rs"]
mod inputs;
#[path = "process/signals.rs"]
mod signals;
#[path = "process/streams.rs"]
mod streams;
#[path = "../../../tests/world.rs"]
mod world;

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Duration;

use common::*;
use group::{connected, free_port};
use guests::guest_path;
use innkeeper_proto::reply::Reply;
use innkeeper_proto::request::Request;
use innkeeper_proto::{ErrorCode, OpCode, xid};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A running binary; killed when dropped.
struct Process {
    child: Child,
    addr: SocketAddr,
    /// Where it serves HTTP, if it does.
    http: Option<SocketAddr>,
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
        let address = |name: &str| {
            let mut words = ready.split_whitespace();
            words.find_map(|word| word.strip_prefix(name)?.parse().ok())
        };
        let addr = address("zookeeper=").unwrap_or_else(|| panic!("no ready line: {ready:?}"));
        let http = address("http=");
        Self {
            child,
            addr,
            http,
            ready,
        }
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

/// The codes that scripts around ZooKeeper know: 2 for settings, 3 for the data folder, 4 for the
/// port of administration, 1 for everything else.
#[test]
fn exit_codes_are_zookeepers() {
    let folder = tempfile::tempdir().unwrap();
    let code = |name: &str, text: &str| {
        let config = folder.path().join(name);
        std::fs::write(&config, text).unwrap();
        let output = serve(&[config.to_str().unwrap()]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let last = stderr.lines().last().unwrap_or_default().to_owned();
        assert!(last.starts_with("innkeeper: "), "{stderr}");
        (output.status.code().unwrap(), last)
    };
    let data = folder.path().join("data");
    let base = format!(
        "dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\nadmin.serverAddress=127.0.0.1\n",
        data.display()
    );
    let (bad, says) = code(
        "bad.cfg",
        &format!("{base}admin.serverPort=0\ntickTime=soon\n"),
    );
    assert_eq!(bad, 2);
    assert!(
        says.contains("bad.cfg is not usable: line 6: tickTime=soon"),
        "{says}"
    );
    let text = format!("{base}admin.enableServer=false\ndatadir.autocreate=false\n");
    let (missing, says) = code("missing.cfg", &text);
    assert_eq!(missing, 3);
    assert!(
        says.contains("data folder") && says.contains("is missing"),
        "{says}"
    );
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let text = format!(
        "dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
        file.display()
    );
    assert_eq!(code("nodata.cfg", &text).0, 3);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (admin, says) = code("admin.cfg", &format!("{base}admin.serverPort={port}\n"));
    assert_eq!(admin, 4);
    assert!(says.contains("cannot listen for HTTP"), "{says}");
    let text = base.replace("clientPort=0", &format!("clientPort={port}"));
    let (clients, says) = code("clients.cfg", &format!("{text}admin.enableServer=false\n"));
    assert_eq!(clients, 1);
    assert!(says.contains("ZooKeeper's clients"), "{says}");
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
        let note = format!("innkeeper: note: {key} means nothing here: ");
        assert!(warnings.contains(&note), "{warnings}");
    }
    assert!(!warnings.contains("warning"), "{warnings}");
}

/// The log of a process, as JSON.
struct Logged {
    stderr: BufReader<ChildStderr>,
    lines: Vec<Value>,
}

impl Logged {
    /// A node that logs in this way, with these further flags.
    fn start(data: &Path, filter: &str, more: &[&str]) -> (Process, Self) {
        let mut command = serve(&["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.arg("--data").arg(data).args(more);
        command.args(["--log-format", "json"]);
        command.env("INNKEEPER_LOG", filter).stderr(Stdio::piped());
        let mut process = Process::ready(command);
        let stderr = process.child.stderr.take().unwrap();
        let lines = Vec::new();
        let stderr = BufReader::new(stderr);
        (process, Self { stderr, lines })
    }

    /// The next line; `None` at the end.
    fn next(&mut self) -> Option<&Value> {
        let mut line = String::new();
        if self.stderr.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        let time = line["time"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.contains('T'), "{time}");
        self.lines.push(line);
        self.lines.last()
    }

    /// Reads until this event was logged.
    fn until(&mut self, event: &str) -> &Value {
        loop {
            match self.next() {
                Some(line) if line["event"] == event => break,
                Some(_) => {}
                None => panic!("no {event} in {:#?}", self.lines),
            }
        }
        self.lines.last().unwrap()
    }

    /// Ends the node, and reads the rest of its log.
    fn end(&mut self, mut process: Process) {
        process.signal(Signal::TERM);
        while self.next().is_some() {}
        assert!(process.child.wait().unwrap().success());
    }

    fn of<'a>(&'a self, event: &'a str) -> impl Iterator<Item = &'a Value> {
        self.lines.iter().filter(move |line| line["event"] == event)
    }
}

#[test]
fn the_log_tells_an_operator_what_happened() {
    let folder = tempfile::tempdir().unwrap();
    let (process, mut log) = Logged::start(
        folder.path(),
        "info",
        &[
            "--tick-time-ms",
            "100",
            "--disk-low-mib",
            "1000000000",
            "--super-digest",
            "super:g9oN2HttPfn8MMWJZ2r45Np/LIA=",
            "-Dzookeeper.fsync.warningthresholdms=-1",
        ],
    );
    let started = log.until("started");
    assert_eq!(
        started["fields"]["data"],
        folder.path().display().to_string()
    );
    assert!(started["fields"]["version"].is_string(), "{started}");
    let serving = log.until("serving")["message"].clone();
    assert_eq!(serving, process.ready.trim_end());

    let mut client = Client::connect(process.addr, 60_000);
    // An unknown user is not logged as a wrong password.
    for credentials in [&b"super:wrong\n"[..], b"super:superpw", b"somebody:wrong"] {
        client.log_in(credentials);
    }
    let wrong = log.until("wrong-password");
    assert_eq!(
        (&wrong["fields"]["peer"], &wrong["level"]),
        (&"127.0.0.1".into(), &"warn".into())
    );
    let expired = log.until("session-expired")["fields"]["session"].clone();
    assert_eq!(expired, format!("{:#x}", client.connected.session_id));

    let document = folder.path().join("document.json");
    let text = r#"{"world": "recipe", "watch": ["/in"], "write": ["/out"], "config": {}}"#;
    std::fs::write(&document, text).unwrap();
    let set = Command::new(env!("CARGO_BIN_EXE_innkeeper"))
        .args(["binding", "set", "told", "--no-wait"])
        .arg(document)
        .arg("--module")
        .arg(guest_path("test-tally"))
        .arg("--data")
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(set.status.success(), "{set:?}");
    log.until("module-pushed");
    assert_eq!(log.until("binding-set")["fields"]["binding"], "told");
    assert_eq!(log.until("binding-active")["fields"]["binding"], "told");
    // The configuration lacks something that the guest needs.
    assert_eq!(log.until("binding-failed")["fields"]["binding"], "told");
    log.end(process);
    for (event, times) in [
        ("started", 1),
        ("serving", 1),
        ("disk-low", 1),
        ("wrong-password", 1),
    ] {
        assert_eq!(log.of(event).count(), times, "{event}: {:#?}", log.lines);
    }
    assert!(log.of("slow-sync").count() > 0, "{:#?}", log.lines);
    let stopped = log.lines.last().unwrap();
    assert_eq!(stopped["event"], "stopped", "{stopped}");
    assert!(stopped["fields"]["reason"].is_string(), "{stopped}");
    for line in &log.lines {
        let target = line["target"].as_str().unwrap();
        assert!(!target.starts_with("openraft"), "{line}");
    }
}

#[test]
fn a_program_reads_where_the_node_listens_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_innkeeper"));
    command.args(["--json", "--http", "127.0.0.1:0", "serve"]);
    command.args(["--listen", "127.0.0.1:0"]);
    command.env("INNKEEPER_DATA", folder.path());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut ready).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap_or_else(|_| panic!("{ready}"));
    let ready = &ready["ready"];
    let addr: SocketAddr = ready["zookeeper"].as_str().unwrap().parse().unwrap();
    assert!(ready["http"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(ready["secure"].is_null());
    let socket = folder.path().join("admin.sock");
    assert_eq!(ready["admin"], socket.display().to_string());
    let process = Process {
        http: None,
        child,
        addr,
        ready: ready.to_string(),
    };
    Client::connect(addr, 10_000).must(create("/there", b""));
    assert!(folder.path().join("log").is_dir());
    drop(process);
    // `--super` is a flag of the commands that ask a node, not of `serve`.
    let mut mistaken = serve(&["--super", "admin:secret"]);
    mistaken.env("INNKEEPER_DATA", folder.path());
    assert!(fails(mistaken).contains("--super-digest"));
}

#[test]
fn a_filter_that_is_none_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for (filter, named) in [
        ("trase", "`trase` is no level"),
        ("@/none/of/these", "/none/of/these cannot be read"),
    ] {
        let mut command = serve(&["--data"]);
        command.arg(folder.path()).env("INNKEEPER_LOG", filter);
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(
            stderr.contains("INNKEEPER_LOG: ") && stderr.contains(named),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    // With `--log-format json` the error is a line of the log as well.
    let mut command = serve(&["--log-format", "json", "--data"]);
    command.arg(folder.path()).env("INNKEEPER_LOG", "trase");
    let output = command.output().unwrap();
    let line: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(
        (&line["event"], &line["level"]),
        (&"failed".into(), &"error".into())
    );
    assert!(
        line["message"].as_str().unwrap().contains("`trase`"),
        "{line}"
    );
}

/// When a network fails, thousands of sessions expire, and the log stays readable.
#[test]
fn many_sessions_that_expire_at_once_are_few_lines() {
    let folder = tempfile::tempdir().unwrap();
    let more = ["--tick-time-ms", "100", "--max-client-cnxns", "0"];
    let (process, mut log) = Logged::start(folder.path(), "info,openraft=error", &more);
    let clients: Vec<_> = (0..300)
        .map(|_| Client::connect(process.addr, 1_000))
        .collect();
    let counted = |log: &Logged| {
        let left_out = log.of("left-out");
        let lines = left_out.map(|line| line["fields"]["lines"].as_u64().unwrap());
        lines.sum::<u64>()
    };
    while log.of("session-expired").count() as u64 + counted(&log) < 300 {
        log.next().unwrap();
    }
    drop(clients);
    log.end(process);
    assert_eq!(
        log.of("session-expired").count() as u64 + counted(&log),
        300
    );
    assert!(log.of("session-expired").count() <= 200, "{:#?}", log.lines);
}

/// A process that was stopped and continued loses no session whose client went on pinging.
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
        // For three timeouts the clients ping a stopped process.
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
    // A client that stays silent does lose its session.
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

/// A server's number may be any number of Java's type long.
#[test]
fn a_server_has_any_number() {
    for (number, prefix) in [(-7, 0xf9), (0, 0), (1001, 0xe9), (i64::MAX, 0xff)] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let config = folder.path().join("zoo.cfg");
        std::fs::write(data.join("myid"), format!("{number}\r")).unwrap();
        let peer = free_port();
        let text = format!(
            "tickTime=1000\ndataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\n\
             admin.enableServer=false\nstandaloneEnabled=false\n\
             server.{number}=127.0.0.1:{}:1\n",
            data.display(),
            peer.port()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = serve(&[config.to_str().unwrap()]);
        command.stderr(Stdio::null());
        let process = Process::ready(command);
        let mut client = connected(process.addr, &connect_request(10_000));
        let begins = (client.connected.session_id >> 56) as u8;
        assert_eq!(begins, prefix, "{number}");
        let path = format!("/of{number}");
        client.must(create_as(&path, b"", 1));
        let id = client.connected.session_id;
        match client.must(get(&path, false)).reply(OpCode::GetData) {
            Reply::Data(_, stat) => assert_eq!(stat.ephemeral_owner, id),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_password_is_no_super_users_digest() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let flags = ["--data", data, "--super-digest", "admin:secret"];
    let sentence = fails(serve(&flags));
    assert!(
        sentence.contains("--super-digest is no digest, but a password"),
        "{sentence}"
    );
    assert!(!sentence.contains("secret"), "{sentence}");
}

/// A placeholder that is not set would itself become the password.
#[test]
fn a_placeholder_of_the_jaas_file_is_filled_or_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let jaas = folder.path().join("jaas.conf");
    let config = folder.path().join("zoo.cfg");
    let text = "Server {\n org.apache.zookeeper.server.auth.DigestLoginModule required\n \
                user_alice=\"${ALICES_PASSWORD}\"; };\n";
    std::fs::write(&jaas, text).unwrap();
    let text = format!(
        "dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
        folder.path().join("data").display()
    );
    std::fs::write(&config, text).unwrap();
    let jaas = format!("-Djava.security.auth.login.config={}", jaas.display());
    let flags = [config.to_str().unwrap(), &jaas];
    let sentence = fails(serve(&flags));
    assert!(
        sentence.contains(
            "line 3: nothing says what ${ALICES_PASSWORD} is: set it with -DALICES_PASSWORD="
        ),
        "{sentence}"
    );
    let mut by_environment = serve(&flags);
    by_environment.env("ALICES_PASSWORD", "hush");
    drop(Process::ready(by_environment));
    let property = "-DALICES_PASSWORD=hush";
    let mut by_property = serve(&[&flags[..], &[property]].concat());
    by_property.stderr(Stdio::piped());
    let mut process = Process::ready(by_property);
    process.signal(Signal::TERM);
    assert!(process.child.wait().unwrap().success());
    let mut said = String::new();
    let mut stderr = process.child.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(said, "", "a name that fills a placeholder is known");
}
