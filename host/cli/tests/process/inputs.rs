//! What a person reads of a wrong input is short, harmless and whole, however long the input is and
//! whatever stands in it: a part of the input, what is wrong with it, and what to do.

use std::io::Write;
use std::os::unix::net::UnixStream;

use innkeeper_tree::text::is_unsafe;

use super::*;

/// Bytes of an argument; Linux takes 128 KiB.
const ARGUMENT_BYTES: usize = 100_000;
/// Bytes of a value in a file.
const VALUE_BYTES: usize = 1 << 20;
/// Bytes of a part of a request, before they are encoded.
const PART_BYTES: usize = 4000;
/// Bytes of a line that a person reads: two paths of files, some names and the rest.
const LINE_BYTES_MAX: usize = 3000;

/// What the inputs are made of.
const KINDS: [&str; 7] = ["x", "\u{1b}[2J", "\n", "\r\u{9b}", "\u{202e}", "ä 統", " "];

fn inputs(bytes: usize) -> impl Iterator<Item = String> {
    KINDS
        .into_iter()
        .map(move |kind| kind.repeat(bytes / kind.len()))
}

/// Each line is short and harms no terminal.
fn is_readable(what: &str, text: &str) {
    for line in text.lines() {
        let start: String = line.chars().take(300).collect();
        let length = line.len();
        assert!(length <= LINE_BYTES_MAX, "{what}: {length} bytes: {start}");
        assert!(!line.contains(is_unsafe), "{what}: {start:?}");
    }
}

/// Runs a command that must fail; what it writes to stderr.
fn refused(what: &str, command: &mut Command) -> String {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    let Output { status, stderr, .. } = command.output().unwrap();
    let text = String::from_utf8(stderr).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(!status.success() && !text.contains("panicked"), "{what}");
    is_readable(what, &text);
    text
}

/// It fails with one sentence, which says one of these.
fn says(what: &str, command: &mut Command, advice: &str) {
    let text = refused(what, command);
    let sentence = text.lines().last().unwrap_or_default();
    assert!(sentence.starts_with("innkeeper: "), "{what}: {text}");
    let is_said = advice.split('|').any(|advice| sentence.contains(advice));
    assert!(is_said, "{what}: {sentence}");
}

fn innkeeper<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_innkeeper"));
    command.args(arguments);
    command.env_remove("INNKEEPER_DATA");
    command
}

#[test]
fn what_stands_in_an_argument_is_repeated_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    for (what, advice) in [
        (
            &["serve", "--id", "1", "--peers", "{}"][..],
            "is not of the form N=HOST:PORT",
        ),
        (
            &["serve", "--id", "1", "--peers", "1=127.0.0.1:1,2={}:1"],
            "the name of a host has at most 253: correct it|is not of the form",
        ),
        (&["serve", "--listen", "{}"], "write HOST:PORT, as in"),
        (&["serve", "--listen", "{}:1"], "or write an IP address"),
        (&["serve", "--http", "{}:1"], "or write an IP address"),
        (
            &["serve", "--4lw-whitelist", "x{}"],
            "four-letter words; write ruok",
        ),
        (
            &["serve", "--data", "{}"],
            "so it may hold ZooKeeper's data",
        ),
        (&["serve", "{}"], "that this user may read"),
        (
            &["serve", "-Dzookeeper.connection_throttle_drop_increase={}x"],
            "write one between 0 and 1",
        ),
        // An unknown key is a warning, and the start fails for another reason.
        (
            &["serve", "-Dx{}=1", "--tick-time-ms", "0"],
            "give 1 or more",
        ),
        (
            &["serve", "-DclientPort{}=1", "--tick-time-ms", "0"],
            "give 1 or more",
        ),
        (&["status", "--http", "{}"], "write --http HOST:PORT"),
        (&["status", "--http", "{}:1"], "write --http HOST:PORT"),
        (&["status", "--data", "{}"], "cannot be reached"),
        (&["znode", "get", "x{}"], "is not a path; begin it with"),
        (
            &["znode", "set-acl", "/a", "x{}"],
            "is no ACL entry; write SCHEME:ID:PERMS",
        ),
        (&["module", "push", "{}"], "cannot be read"),
        (&["binding", "check", "{}"], "cannot be read"),
        (&["guest", "example", "x{}"], ""),
        (&["man", "x{}"], "there is no command"),
    ] {
        for input in inputs(ARGUMENT_BYTES) {
            let arguments = what.iter().map(|argument| argument.replace("{}", &input));
            let arguments: Vec<_> = arguments.collect();
            let mut command = innkeeper(&arguments);
            if !arguments.contains(&"--data".to_owned()) {
                command.env("INNKEEPER_DATA", data);
            }
            let kind: String = input.chars().take(3).collect();
            says(&format!("{what:?} {kind:?}"), &mut command, advice);
        }
    }
}

#[test]
fn what_the_command_line_cannot_be_read_for_is_repeated_in_part() {
    for input in inputs(ARGUMENT_BYTES) {
        let word = format!("x{input}");
        let flag = format!("--x{input}");
        for arguments in [
            &["serve", "--election-ms", &word][..],
            &["serve", &flag],
            &["serve", "--data", "a", "b", &word],
            &["serve", "--log-format", &word],
            &[&word],
            &["znode", &word],
            &["completion", &word],
            &["--json", "serve", "--election-ms", &word],
            &["demo", "--nodes", &word],
        ] {
            let kind: String = input.chars().take(3).collect();
            let what = format!("{} arguments, {kind:?}", arguments.len());
            let text = refused(&what, &mut innkeeper(arguments));
            assert!(text.contains(" bytes)"), "{what}: {text}");
        }
    }
}

#[test]
fn what_stands_in_a_variable_is_repeated_in_part() {
    for input in inputs(ARGUMENT_BYTES) {
        for (variable, value, advice) in [
            ("INNKEEPER_LOG", format!("x{input}"), "TARGET=LEVEL"),
            ("INNKEEPER_LOG", format!("={input}x"), "TARGET=LEVEL"),
            ("INNKEEPER_LOG", format!("@{input}x"), "cannot be read"),
            ("INNKEEPER_DATA", input.clone(), "ZooKeeper's data"),
        ] {
            let mut command = innkeeper(&["serve", "--listen", "127.0.0.1:0"]);
            command.env(variable, value);
            says(variable, &mut command, advice);
        }
        let mut command = innkeeper(&["serve"]);
        command.env("INNKEEPER_LOG_FORMAT", format!("x{input}"));
        refused("INNKEEPER_LOG_FORMAT", &mut command);
    }
}

/// A value as Java's properties spell any character.
fn escaped(text: &str) -> String {
    let units = text.encode_utf16();
    units.map(|unit| format!("\\u{unit:04x}")).collect()
}

#[test]
fn what_stands_in_a_file_is_repeated_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("zoo.cfg");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let data = format!("dataDir={}", data.display());
    // A tick of 0 ms stops the start after the keys were taken one by one.
    for (lines, advice) in [
        ("tickTime={}", "write one up to 2147483647"),
        ("clientPort={}", "write one up to 2147483647"),
        ("quorumListenOnAllIPs={}\ntickTime=0", "write 2000"),
        ("standaloneEnabled={}", "write true or false"),
        ("electionAlg={}", "write one up to 2147483647"),
        ("peerType=x{}", "write participant or observer"),
        ("server.1={}", "is not of the form host:port:port"),
        ("server.1=a:1:2;{}x", "is not of the form host:port:port"),
        ("server.1=a:1:2:{}x", "write participant or observer"),
        ("server.x{}=a:1:2", "write server.1, server.2"),
        (
            "server.1=x{}:1:2\nserver.2=b:1:2",
            "has at most 253: correct it",
        ),
        (
            "server.1=a:1:2;x{}:3\nserver.2=b:1:2",
            "has at most 253: correct it",
        ),
        ("clientPort=1\nclientPortAddress={}x", "write an IP address"),
        ("dynamicConfigFile={}", "that this user may read"),
        ("dataDir=x{}x", "so it may hold ZooKeeper's data"),
        ("x{}=1\ntickTime=0", "write 2000"),
        ("4lw.commands.whitelist={}\ntickTime=0", "write 2000"),
        ("snapCount={}\ntickTime=0", "write 2000"),
        ("jute.maxbuffer={}\ntickTime=0", "write 2000"),
        ("authProvider.{}={}\ntickTime=0", "write 2000"),
        ("connection_throttle_drop_increase={}x", "write one between"),
        ("ssl.enabledProtocols=x{}x\ntickTime=0", "write 2000"),
        ("ssl.keyStore.type=x{}x\ntickTime=0", "write 2000"),
        (
            "secureClientPort=0\nssl.keyStore.location=x{}x",
            "ssl.keyStore.location",
        ),
        (
            "secureClientPort=0\nssl.keyStore.location=x\nssl.keyStore.type=x{}x",
            "write ssl.keyStore.type=JKS, PEM or PKCS12",
        ),
    ] {
        for input in inputs(VALUE_BYTES) {
            let input = escaped(&input);
            let mut text = format!("{data}\nclientPort=0\nadmin.enableServer=false\n");
            text.push_str(&lines.replace("{}", &input));
            std::fs::write(&config, &text).unwrap();
            let kind: String = input.chars().take(12).collect();
            let what = format!("{lines:?} {kind}");
            says(
                &what,
                &mut innkeeper(&["serve", config.to_str().unwrap()]),
                advice,
            );
        }
    }
}

/// The status and the text of an answer at the admin socket.
fn asked_at(socket: &str, method: &str, target: &str, body: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, text) = answer.split_once("\r\n\r\n").unwrap();
    (status, text.to_owned())
}

#[test]
fn what_stands_in_a_request_is_repeated_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]);
    let socket = folder.path().join("admin.sock");
    let socket = socket.to_str().unwrap();
    for input in inputs(PART_BYTES) {
        let part: String = input.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let text = serde_json::to_string(&input).unwrap();
        let acl = format!("[{{{text}:1}}]");
        let perms = format!("[{{\"scheme\":\"world\",\"id\":\"anyone\",\"perms\":{text}}}]");
        let field = format!("{{{text}:1}}");
        let module = format!("{{\"world\":\"recipe\",\"module\":{text}}}");
        for (method, target, body, advice) in [
            ("GET", "/{}", "", "GET / lists the routes"),
            ("PUT", "/v1/modules?{}", "", "GET / lists the routes"),
            ("GET", "/v1/znodes?path={}", "", "no `.` or `..`"),
            ("GET", "/v1/znodes?path=/x{}", "", ""),
            ("DELETE", "/v1/znodes?path=/x{}", "", ""),
            ("POST", "/v1/znodes?path=/x{}/y", "", ""),
            ("GET", "/v1/znodes?x{}=1", "", "GET / lists the routes"),
            ("GET", "/v1/znodes?path=/&version={}", "", "GET / lists"),
            ("PUT", "/v1/znodes/acl?path=/", &acl, "write [{"),
            ("PUT", "/v1/znodes/acl?path=/", &perms, "c(reate)"),
            ("GET", "/v1/pushes/x{}", "", "see `innkeeper module list`"),
            (
                "DELETE",
                "/v1/pushes/x{}",
                "",
                "see `innkeeper module list`",
            ),
            ("DELETE", "/v1/bindings/x{}", "", ""),
            ("PUT", "/v1/bindings/x{}", "{}", ""),
            ("PUT", "/v1/bindings/x", &field, ""),
            ("PUT", "/v1/bindings/x", &module, ""),
            ("GET", "/commands/x{}", "", "Unknown command: "),
        ] {
            let (status, text) = asked_at(socket, method, &target.replace("{}", &part), body);
            let kind: String = input.chars().take(3).collect();
            let what = format!("{method} {target} {kind:?}: {status}");
            assert!(
                (400..500).contains(&status) || target.starts_with("/commands"),
                "{what}"
            );
            let answer: Value = serde_json::from_str(&text).unwrap();
            let sentence = answer["error"].as_str().unwrap();
            assert!(sentence.len() < 1000, "{what}: {sentence}");
            is_readable(&what, sentence);
            assert!(sentence.contains(advice), "{what}: {sentence}");
        }
    }
    drop(process);
}
