//! The binary never panics when the reader of its stdout or stderr has gone, from its start on.

use std::fs::{File, OpenOptions};
use std::io::pipe;

use super::*;

/// A stream whose reader has closed it.
fn unread() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A stream that is full.
fn full() -> Stdio {
    let full = OpenOptions::new().write(true).open("/dev/full");
    full.unwrap().into()
}

fn innkeeper(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_innkeeper"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The exit code, and the output on stderr.
fn ended(command: &mut Command) -> (i32, String) {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains("panicked"), "{command:?}: {stderr}");
    (output.status.code().unwrap(), stderr)
}

#[test]
fn a_command_whose_reader_has_gone_ends_as_other_tools_do() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]);
    let data = folder.path().to_str().unwrap();
    let document = folder.path().join("document.json");
    let module = format!("sha256:{}", "0".repeat(64));
    let text = serde_json::json!({"world": "recipe", "watch": ["/in"], "module": module});
    std::fs::write(&document, text.to_string()).unwrap();
    let document = document.to_str().unwrap();
    let mut client = Client::connect(process.addr, 10_000);
    client.must(create("/made", b"x"));
    let commands: [&[&str]; 21] = [
        &["--help"],
        &["--version"],
        &["help", "serve"],
        &["serve", "--help"],
        &["binding", "set", "--help"],
        &["completion", "bash"],
        &["man"],
        &["man", "serve"],
        &["digest", "a:b"],
        &["digest", "a:b", "--json"],
        &["guest", "list"],
        &["guest", "list", "--json"],
        &["status"],
        &["status", "--json"],
        &["module", "list"],
        &["binding", "list"],
        &["binding", "status", "--json"],
        &["binding", "check", document, "--data", "/none"],
        &["znode", "ls", "/"],
        &["znode", "get", "/made"],
        &["znode", "stat", "/", "--json"],
    ];
    for arguments in commands {
        let command = || {
            let mut command = innkeeper(arguments);
            command.env("INNKEEPER_DATA", data);
            command
        };
        let readable = command().output().unwrap();
        assert!(readable.status.success(), "{arguments:?}: {readable:?}");
        assert!(!readable.stdout.is_empty(), "{arguments:?} prints nothing");
        let (code, stderr) = ended(command().stdout(unread()));
        assert_eq!((code, &*stderr), (141, ""), "{arguments:?}");
        let (code, stderr) = ended(command().stdout(full()));
        assert_eq!(code, 1, "{arguments:?}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        assert!(
            stderr.contains("stdout cannot be written: No space left on device"),
            "{arguments:?}: {stderr}"
        );
        // The output is lost, and nothing else happens.
        let mut deaf = command();
        let code = deaf.stdout(full()).stderr(unread()).status().unwrap();
        assert_eq!(code.code(), Some(1), "{arguments:?}");
    }
    // Invalid arguments, and a node that is not there.
    for (arguments, code) in [
        (&["no-such-command"][..], 2),
        (&["no-such-command", "--json"], 2),
        (&["status", "--data", "/none"], 1),
        (&["serve", "/no/such/zoo.cfg"], 2),
        (&["serve", "--log-format", "json", "/no/such/zoo.cfg"], 2),
        (
            &[
                "compile-module",
                "--memory-mib",
                "64",
                "--cpu-s",
                "1",
                "--parent",
                "1",
            ],
            1,
        ),
    ] {
        let mut command = innkeeper(arguments);
        let ended = command.stdout(unread()).stderr(unread()).status().unwrap();
        assert_eq!(ended.code(), Some(code), "{arguments:?}");
    }
    let (code, stderr) = ended(innkeeper(&["demo", "--members", "1"]).stdout(unread()));
    let has_no_guests = stderr.contains("was built without the guest");
    assert!(
        code == 141 || (has_no_guests && code == 1),
        "{code}: {stderr}"
    );
    drop(process);
}

/// A port that was free a moment ago, and settings that make a node write something at its start:
/// notes, a warning, and lines of its log.
fn talkative(folder: &Path) -> (SocketAddr, Command) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = free.local_addr().unwrap();
    let config = folder.join("zoo.cfg");
    let text = format!(
        "dataDir={}\ndataLogDir={}\ninitLimit=10\nclientPort={}\nclientPortAddress=127.0.0.1\n\
         admin.enableServer=false\n",
        folder.join("data").display(),
        folder.display(),
        addr.port()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = serve(&[config.to_str().unwrap()]);
    command.env("INNKEEPER_LOG", "debug");
    (addr, command)
}

fn serves(addr: SocketAddr) {
    eventually("the node serves", || {
        std::net::TcpStream::connect(addr).is_ok()
    });
    let mut client = Client::connect(addr, 10_000);
    client.must(create("/made", b"x"));
    assert_eq!(client.must(get("/made", false)).data(), b"x");
}

#[test]
fn a_node_whose_readers_have_gone_serves_and_ends_in_order() {
    for format in ["text", "json"] {
        for (stdout, stderr) in [(true, false), (false, true), (true, true)] {
            let folder = tempfile::tempdir().unwrap();
            let (addr, mut command) = talkative(folder.path());
            let log = folder.path().join("stderr");
            command.args(["--log-format", format]);
            command.stdout(if stdout { unread() } else { Stdio::null() });
            command.stderr(match stderr {
                true => unread(),
                false => File::create(&log).unwrap().into(),
            });
            let child = command.spawn().unwrap();
            let ready = String::new();
            let mut process = Process {
                child,
                addr,
                http: None,
                ready,
            };
            serves(addr);
            process.signal(Signal::HUP);
            process.signal(Signal::TERM);
            assert!(process.child.wait().unwrap().success());
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(!log.contains("panicked"), "{log}");
            assert!(
                stderr || log.contains("the reader of stdout has ended"),
                "{log}"
            );
        }
    }
}

#[test]
fn a_node_that_cannot_say_where_it_listens_says_so_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut command) = talkative(folder.path());
    let (code, stderr) = ended(command.env("INNKEEPER_LOG", "warn").stdout(full()));
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.ends_with(
            "innkeeper: stdout cannot be written, so the node cannot say where it listens: No \
             space left on device (os error 28)\n"
        ),
        "{stderr}"
    );
}

/// Text from a configuration file is shown in lines of bounded length, without control characters.
#[test]
fn a_configuration_file_cannot_flood_or_steer_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("zoo.cfg");
    let long = format!("\u{1b}[2J{}", "x".repeat(1 << 20));
    let data = folder.path().join("data");
    let cases = [
        // A warning, and after it an error that ends the start.
        (format!("{long}=1\nclientPort=0\n"), true),
        (format!("clientPort={long}\n"), false),
    ];
    for (lines, is_warning) in cases {
        std::fs::write(&config, format!("dataDir={}\n{lines}", data.display())).unwrap();
        for format in ["text", "json"] {
            let file = config.to_str().unwrap();
            let arguments = ["serve", file, "--log-format", format, "--super", "a:b"];
            let (code, told) = ended(&mut innkeeper(&arguments));
            assert_ne!(code, 0, "{told:.300}");
            assert!(told.contains("[2Jxxx"), "{told:.300}");
            assert_eq!(told.lines().count(), 1 + usize::from(is_warning));
            for line in told.lines() {
                assert!(line.len() < 10_000, "{} bytes", line.len());
                assert!(!line.contains('\u{1b}'), "{line:.300}");
            }
        }
    }
}
