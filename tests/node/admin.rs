//! Administration over HTTP and over the admin socket, in raw bytes: who may do what, how malformed
//! requests are answered, and that a hostile client does not disturb others.
#![allow(clippy::disallowed_methods)] // Sockets and clocks of tests.

mod common;
#[path = "../guests.rs"]
mod guests;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use common::asked::{Answer, SUPER_DIGEST, answer, any_port, exchange};
use common::{PATIENCE, Running, create, get};
use guests::guest;
use innkeeper_auth::Secret;
use innkeeper_node::NodeSettings;

const SUPER: &str = "super:superpw";

/// A node with HTTP, a super user and an admin socket.
struct Administered {
    running: Running,
    http: SocketAddr,
    socket: PathBuf,
}

impl Administered {
    fn start() -> Self {
        Self::start_with(|_| {})
    }

    fn start_with(change: impl Fn(&mut NodeSettings)) -> Self {
        Self::start_bounded(change, None)
    }

    fn start_bounded(change: impl Fn(&mut NodeSettings), command_bytes_max: Option<usize>) -> Self {
        let change = |settings: &mut NodeSettings| {
            change(settings);
            settings.admin.http = Some(any_port());
            settings.server.auth.super_digest = Some(Secret::new(SUPER_DIGEST));
        };
        let folder = tempfile::tempdir().unwrap();
        let running = Running::start_bounded(folder, change, command_bytes_max);
        let node = running.node.as_ref().unwrap();
        Self {
            http: node.http().unwrap(),
            socket: node.admin_socket().unwrap().to_owned(),
            running,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A request over HTTP without a password.
    fn http(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        exchange(self.connect(), &head(method, path, body.len(), ""), body)
    }

    /// A request over HTTP as the super user.
    fn as_super(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let head = head(method, path, body.len(), &basic(SUPER));
        exchange(self.connect(), &head, body)
    }

    fn socket(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        exchange(stream, &head(method, path, body.len(), ""), body)
    }
}

fn basic(credentials: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(credentials))
}

fn head(method: &str, path: &str, length: usize, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n{more}\r\n")
}

const UNKNOWN: &str = "sha256:00070e151c232a31383f464d545b626970777e858c939aa1a8afb6bdc4cbd2d9";

#[test]
fn anyone_reads_the_status_and_the_index() {
    let node = Administered::start();
    node.running.client().must(create("/a", b"x"));
    let status = node.http("GET", "/v1/status", b"").good();
    assert_eq!(status["role"], "leader");
    assert_eq!(status["node_id"], 1);
    assert_eq!(
        status["addresses"]["zookeeper"],
        node.running.addr.to_string()
    );
    assert_eq!(status["addresses"]["http"], node.http.to_string());
    assert!(status["zxid"].as_u64().unwrap() >= 2 && status["log"]["syncs"].as_u64().unwrap() > 0);
    let view = node.running.node.as_ref().unwrap().service().reader.view();
    assert_eq!(status["znodes"], view.znode_count());
    assert_eq!(status["sessions"], 1);
    assert_eq!(
        node.http("GET", "/v1/modules", b"").good(),
        json!({"modules": []})
    );
    assert_eq!(
        node.http("GET", "/v1/bindings", b"").good(),
        json!({"bindings": []})
    );
    let index = node.http("GET", "/", b"");
    assert_eq!(index.status, 200);
    assert!(index.head.to_lowercase().contains("text/plain"));
    assert!(index.body.contains("POST   /v1/modules"));
}

#[test]
fn a_stranger_changes_nothing_and_sees_no_znode() {
    let node = Administered::start();
    let before = node.http("GET", "/v1/status", b"").good()["log"]["applied"].clone();
    let mut guesses = 0;
    for (method, path) in [
        ("POST", "/v1/modules"),
        ("PUT", "/v1/bindings/x"),
        ("DELETE", "/v1/bindings/x"),
        ("GET", "/v1/znodes?path=/"),
        ("HEAD", "/v1/znodes?path=/"),
        ("GET", "/v1/znodes/children?path=/"),
        ("POST", "/v1/znodes?path=/a"),
        ("PUT", "/v1/znodes?path=/"),
        ("PUT", "/v1/znodes/acl?path=/"),
        ("DELETE", "/v1/znodes?path=/a"),
    ] {
        for more in ["".to_owned(), basic("super:wrong"), basic(SUPER_DIGEST)] {
            let refused = exchange(node.connect(), &head(method, path, 1, &more), b"x");
            guesses += u32::from(!more.is_empty());
            // After ten wrong passwords from one address, no further one is checked for a while.
            if guesses > 10 && !more.is_empty() && refused.status == 429 {
                continue;
            }
            assert_eq!(refused.status, 401, "{method} {path} {more}");
            assert!(
                refused
                    .head
                    .to_lowercase()
                    .contains("www-authenticate: basic")
            );
            if method != "HEAD" {
                assert!(refused.error(401).contains("super user"));
            }
        }
    }
    let after = node.http("GET", "/v1/status", b"").good()["log"]["applied"].clone();
    // Only the leader's ticks of time could have come in between, and there are none.
    assert_eq!(before, after);
}

#[test]
fn without_a_super_user_only_the_socket_changes_things() {
    let running = Running::start_with(|settings| {
        settings.admin.http = Some(any_port());
    });
    let started = running.node.as_ref().unwrap();
    let node = Administered {
        http: started.http().unwrap(),
        socket: started.admin_socket().unwrap().to_owned(),
        running,
    };
    let refused = node.as_super("POST", "/v1/znodes?path=/a", b"x").error(401);
    assert!(
        refused.contains("--super-digest") && refused.contains("admin socket"),
        "{refused}"
    );
    assert_eq!(node.socket("POST", "/v1/znodes?path=/a", b"x").status, 201);
}

#[test]
fn the_super_user_and_the_socket_read_and_write_znodes() {
    let node = Administered::start();
    let created = node
        .as_super("POST", "/v1/znodes?path=/a%20b", b"one")
        .good();
    assert_eq!(created["path"], "/a b");
    let shown = node.socket("GET", "/v1/znodes?path=/a%20b", b"").good();
    assert_eq!(shown["text"], "one");
    assert_eq!(shown["data"], STANDARD.encode("one"));
    assert_eq!(shown["stat"]["czxid"], created["zxid"]);
    assert_eq!(
        shown["acl"],
        json!([{"scheme": "world", "id": "anyone", "perms": "cdrwa"}])
    );
    let set = node
        .socket("PUT", "/v1/znodes?path=/a%20b&version=0", b"\xff\0")
        .good();
    assert_eq!(set["stat"]["version"], 1);
    let shown = node.as_super("GET", "/v1/znodes?path=/a%20b", b"").good();
    assert_eq!(
        (&shown["text"], &shown["data"]),
        (&Value::Null, &json!(STANDARD.encode(b"\xff\0")))
    );
    // A ZooKeeper client sees the same.
    let mut client = node.running.client();
    assert_eq!(client.must(get("/a b", false)).data(), b"\xff\0");
    let numbered = node
        .socket(
            "POST",
            "/v1/znodes?path=/a%20b/n-&mode=persistent-sequential",
            b"",
        )
        .good();
    assert_eq!(numbered["path"], "/a b/n-0000000000");
    let children = node
        .socket("GET", "/v1/znodes/children?path=/a%20b", b"")
        .good();
    assert_eq!(children["children"], json!(["n-0000000000"]));

    assert!(
        node.socket("PUT", "/v1/znodes?path=/a%20b&version=7", b"")
            .error(409)
            .contains("version")
    );
    assert!(
        node.socket("DELETE", "/v1/znodes?path=/a%20b", b"")
            .error(409)
            .contains("children")
    );
    assert!(
        node.socket("POST", "/v1/znodes?path=/a%20b", b"")
            .error(409)
            .contains("exists")
    );
    assert!(
        node.socket("GET", "/v1/znodes?path=/none", b"")
            .error(404)
            .contains("`/none`")
    );
    assert!(
        node.socket("POST", "/v1/znodes?path=/none/x", b"")
            .error(404)
            .contains("`/none/x`")
    );
    assert!(
        node.socket("GET", "/v1/znodes?path=a/b", b"")
            .error(400)
            .contains("is not a path")
    );
    assert!(
        node.socket("GET", "/v1/znodes", b"")
            .error(400)
            .contains("path")
    );
    assert!(
        node.socket("GET", "/v1/znodes?path=/&pat=/", b"")
            .error(400)
            .contains("pat")
    );
    assert!(
        node.socket("POST", "/v1/znodes?path=/e&mode=ephemeral", b"")
            .error(400)
            .contains("ephemeral")
    );
    node.socket("DELETE", "/v1/znodes?path=/a%20b/n-0000000000", b"")
        .good();
    node.as_super("DELETE", "/v1/znodes?path=/a%20b&version=1", b"")
        .good();
    assert_eq!(
        node.socket("GET", "/v1/znodes?path=/a%20b", b"").status,
        404
    );
}

#[test]
fn an_acl_that_locks_everybody_out_is_undone_over_the_socket() {
    let node = Administered::start();
    let mut client = node.running.client();
    client.must(create("/a", b"x"));
    let nobody = br#"[{"scheme":"ip","id":"192.0.2.1","perms":"r"}]"#;
    node.socket("PUT", "/v1/znodes/acl?path=/a", nobody).good();
    assert_eq!(
        client.ask(get("/a", false)).err,
        innkeeper_proto::ErrorCode::NoAuth
    );
    assert_eq!(
        node.socket("GET", "/v1/znodes?path=/a", b"").good()["text"],
        "x"
    );
    let everybody = br#"[{"scheme":"world","id":"anyone","perms":"cdrwa"}]"#;
    node.socket("PUT", "/v1/znodes/acl?path=/a", everybody)
        .good();
    assert_eq!(client.must(get("/a", false)).data(), b"x");
    for (bad, word) in [
        (
            &br#"[{"scheme":"world","id":"anyone","perms":"x"}]"#[..],
            "permission",
        ),
        (
            br#"[{"scheme":"zorro","id":"anyone","perms":"r"}]"#,
            "scheme",
        ),
        (b"[]", "empty"),
        (b"{", "cannot be read"),
    ] {
        let error = node.socket("PUT", "/v1/znodes/acl?path=/a", bad).error(400);
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn each_wrong_document_gets_its_sentence() {
    let node = Administered::start();
    for (document, words) in [
        (String::new(), "empty"),
        ("{".to_owned(), "cannot be read"),
        (json!({"world": "recipe"}).to_string(), "module"),
        (
            json!({"world": "assignor", "module": UNKNOWN}).to_string(),
            "nobody has pushed",
        ),
        (
            json!({"world": "recipe", "module": UNKNOWN, "watch": ["a"]}).to_string(),
            "watch",
        ),
        (
            json!({"world": "recipe", "module": UNKNOWN, "watch": ["/a"], "wach": []}).to_string(),
            "wach",
        ),
    ] {
        // Anyone may check a document, and the check answers what writing it would answer.
        let checked = node
            .http("POST", "/v1/bindings/check?name=a", document.as_bytes())
            .error(400);
        assert!(checked.contains(words), "{checked}");
        let put = node
            .socket("PUT", "/v1/bindings/a", document.as_bytes())
            .error(400);
        assert_eq!(put, checked);
    }
    let named = node
        .http("POST", "/v1/bindings/check?name=A", b"{}")
        .error(400);
    assert!(named.contains("cannot name a binding"), "{named}");
    assert!(
        node.http("GET", "/v1/bindings/none", b"")
            .error(404)
            .contains("`none`")
    );
    assert!(
        node.socket("DELETE", "/v1/bindings/none", b"")
            .error(404)
            .contains("`none`")
    );
    assert!(
        node.http("GET", "/v1/bindings/%ff", b"")
            .error(400)
            .contains("UTF-8")
    );
    assert!(
        node.http("POST", "/v1/bindings/none", b"")
            .error(405)
            .contains("PUT")
    );
}

#[test]
fn what_is_no_module_is_refused_with_a_sentence() {
    let node = Administered::start();
    let not_wasm = node
        .as_super("POST", "/v1/modules?wait_ms=60000", b"hello")
        .error(400);
    assert!(not_wasm.contains("not WebAssembly"), "{not_wasm}");
    let no_world = node
        .socket("POST", "/v1/modules?wait_ms=60000", b"\0asm\x01\0\0\0")
        .error(400);
    assert!(no_world.contains("world"), "{no_world}");
    let broken = node
        .socket(
            "POST",
            "/v1/modules?wait_ms=60000",
            b"\0asm\x01\0\0\0\xff\xff\xff",
        )
        .error(400);
    assert!(broken.contains("component"), "{broken}");
    assert_eq!(
        node.http("GET", "/v1/modules", b"").good(),
        json!({"modules": []})
    );
}

#[test]
fn a_reaction_may_not_hold_its_view_for_ever() {
    let hostile = guest("test-hostile");
    let node = Administered::start_with(|settings| settings.guests.view_max_age_ms = 200);
    let pushed = node
        .as_super("POST", "/v1/modules?wait_ms=60000", &hostile)
        .good();
    // Its fuel would last for minutes.
    let document = json!({
        "world": "recipe", "module": pushed["module"], "watch": ["/in"], "write": ["/out"],
        "limits": {"fuel": 100_000_000_000_u64}, "config": {"mode": "loop", "out": "/out"},
    });
    let url = "/v1/bindings/endless?wait=activated";
    node.as_super("PUT", url, document.to_string().as_bytes())
        .good();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let shown = node.http("GET", "/v1/bindings/endless", b"").good();
        if let Some(error) = shown["last_error"].as_str() {
            assert!(error.contains("as long as a view may be held"), "{error}");
            // The status has what it used and logged until it was cut off.
            assert!(shown["last_fuel"].as_u64() > Some(100_000), "{shown}");
            assert!(
                shown["last_memory_bytes"].as_u64() > Some(65_536),
                "{shown}"
            );
            return;
        }
        assert!(Instant::now() < deadline, "{shown}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_module_is_pushed_bound_swapped_and_unbound() {
    let (range, sticky) = (guest("range"), guest("sticky"));
    let node = Administered::start();
    let pushed = node
        .as_super("POST", "/v1/modules?wait_ms=60000", &range)
        .good();
    assert_eq!(
        (&pushed["world"], &pushed["made_component"]),
        (&json!("assignor"), &json!(true))
    );
    let again = node
        .socket("POST", "/v1/modules?wait_ms=60000", &range)
        .good();
    assert_eq!(pushed, again);
    let other = node
        .socket("POST", "/v1/modules?wait_ms=60000", &sticky)
        .good();
    assert_ne!(pushed["module"], other["module"]);

    let document = json!({"world": "assignor", "module": pushed["module"], "config": {"a": 1}});
    let bytes = document.to_string().into_bytes();
    let checked = node
        .http("POST", "/v1/bindings/check?name=check", &bytes)
        .good();
    assert_eq!(
        checked,
        json!({"world": "assignor", "module": pushed["module"]})
    );
    assert_eq!(
        node.http("GET", "/v1/bindings", b"").good(),
        json!({"bindings": []})
    );
    let wrong = json!({"world": "recipe", "module": pushed["module"], "watch": ["/a"]}).to_string();
    let wrong = node
        .http("POST", "/v1/bindings/check", wrong.as_bytes())
        .error(400);
    assert!(wrong.contains("world"), "{wrong}");

    // A binding of this name is not hidden by the route of the check.
    let url = "/v1/bindings/check?wait=activated";
    let set = node.as_super("PUT", url, &bytes);
    assert_eq!(set.status, 201);
    let set = set.good();
    assert_eq!(
        (&set["created"], &set["module"]),
        (&json!(true), &pushed["module"])
    );
    assert!(set["activation"].as_u64() > set["wish"].as_u64(), "{set}");
    let shown = node.http("GET", "/v1/bindings/check", b"").good();
    assert_eq!(shown["document"], document);
    assert_eq!(shown["active"], pushed["module"]);
    assert_eq!(shown["activation"], set["activation"]);
    assert_eq!(shown["pending"], false);

    let swapped = json!({"world": "assignor", "module": other["module"]}).to_string();
    let swapped = node.socket("PUT", url, swapped.as_bytes());
    assert_eq!(swapped.status, 200);
    assert_eq!(swapped.good()["created"], false);
    let shown = node.http("GET", "/v1/bindings/check", b"").good();
    assert_eq!(
        (&shown["wished"], &shown["active"]),
        (&other["module"], &other["module"])
    );
    let modules = node.http("GET", "/v1/modules", b"").good();
    let bound: Vec<_> = modules["modules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|module| &module["bindings"])
        .collect();
    assert!(
        bound.contains(&&json!(["check"])) && bound.contains(&&json!([])),
        "{modules}"
    );

    node.socket("DELETE", "/v1/bindings/check", b"").good();
    assert_eq!(node.http("GET", "/v1/bindings/check", b"").status, 404);
    assert_eq!(node.socket("DELETE", "/v1/bindings/check", b"").status, 404);
}

#[test]
fn waiting_for_an_activation_that_fails_tells_why() {
    use innkeeper_tree::{Digest, Operation, World};
    let node = Administered::start();
    let service = node.running.node.as_ref().unwrap().service().clone();
    // A module that is registered and has no bytes, as after the loss of modules.redb.
    let digest = Digest([7; 32]);
    let registered = node
        .running
        .block_on(service.propose(|ticket| Operation::RegisterModule {
            ticket,
            digest,
            size: 1,
            world: World::Assignor,
        }));
    registered.unwrap();
    for folder in ["/innkeeper", "/innkeeper/bindings"] {
        let url = format!("/v1/znodes?path={folder}");
        node.socket("POST", &url, b"").good();
    }
    let document = json!({"world": "assignor", "module": digest.to_string()}).to_string();
    let url = "/v1/bindings/lost?wait=activated";
    let lost = node.socket("PUT", url, document.as_bytes()).error(422);
    assert!(
        lost.contains("was not activated") && lost.contains("push it again"),
        "{lost}"
    );
    let shown = node.http("GET", "/v1/bindings/lost", b"").good();
    assert_eq!(
        (&shown["pending"], &shown["active"]),
        (&json!(true), &Value::Null)
    );
    let why = shown["activation_error"].as_str().unwrap();
    assert!(lost.ends_with(why), "{lost}\n{why}");
}

#[test]
fn the_socket_is_the_owners_alone_and_goes_with_the_node() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    // Files that a killed process left behind are replaced.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let running = Running::start_in(folder, |_| {});
    let socket = std::fs::symlink_metadata(&path).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let stream = UnixStream::connect(&path).unwrap();
    assert_eq!(
        exchange(stream, &head("GET", "/v1/status", 0, ""), b"").status,
        200
    );
    let _folder = running.stop();
    assert!(!path.exists());
}

#[test]
fn nonsense_is_answered_or_cut_off_and_nothing_else_happens() {
    let node = Administered::start();
    assert!(
        node.http("GET", "/v2/status", b"")
            .error(404)
            .contains("/v2/status")
    );
    assert!(
        node.http("DELETE", "/v1/status", b"")
            .error(405)
            .contains("DELETE")
    );
    let mut many = String::from("GET /v1/status HTTP/1.1\r\nHost: test\r\n");
    for number in 0..200 {
        many.push_str(&format!("X-{number}: y\r\n"));
    }
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: test\r\n\r\n",
        "a".repeat(100_000)
    );
    for bytes in [
        &b"\x16\x03\x01\x02\0\x01\0\x01\xfc"[..],
        b"\0\0\0\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x75\x30",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"POST /v1/modules HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/modules HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        many.as_bytes(),
        long.as_bytes(),
    ] {
        let mut stream = node.connect();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        // A connection that was cut off is right as well.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{bytes:?}: {answer}"
        );
    }
    node.http("GET", "/v1/status", b"").good();
}

#[test]
fn a_body_that_is_too_long_is_refused_by_its_head() {
    let node = Administered::start();
    // Nothing of the body is sent: the answer comes before.
    let announced = head("POST", "/v1/modules", 100 << 20, &basic(SUPER));
    let refused = exchange(node.connect(), &announced, b"").error(413);
    assert!(refused.contains("33554432"), "{refused}");
    // A client that does not announce the length is stopped at the limit, and still gets the
    // reason.
    let mut stream = node.connect();
    let unannounced = format!(
        "PUT /v1/bindings/a HTTP/1.1\r\nHost: test\r\n{}Transfer-Encoding: chunked\r\n\r\n",
        basic(SUPER)
    );
    stream.write_all(unannounced.as_bytes()).unwrap();
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    for _ in 0..16 {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    assert!(answer(stream).error(413).contains("262144"));
    // Without a password the body is not even waited for.
    let stranger = exchange(
        node.connect(),
        &head("POST", "/v1/modules", 1 << 20, ""),
        b"",
    );
    assert_eq!(stranger.status, 401);
}

#[test]
fn slow_clients_are_cut_off_and_shut_out_neither_clients_nor_the_socket() {
    let node = Administered::start();
    let began = Instant::now();
    // There are more connections than places for answering: connections that have asked nothing
    // take no place.
    let mut slow: Vec<TcpStream> = (0..80).map(|_| node.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /v1/sta").unwrap();
    }
    assert_eq!(node.socket("GET", "/v1/status", b"").status, 200);
    node.running.client().must(create("/a", b""));
    assert_eq!(node.http("GET", "/v1/status", b"").status, 200);
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    // And they are closed after a while.
    let mut rest = Vec::new();
    match slow[0].read_to_end(&mut rest) {
        Ok(_) => assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4")),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
}

/// Only operators may see documents and guests' logs, if the setting says so.
#[test]
fn what_is_closed_is_shown_to_the_super_user_and_over_the_socket_alone() {
    for closed in [false, true] {
        let node = Administered::start_with(|settings| settings.admin.http_closed = closed);
        for (method, path, done) in [
            ("GET", "/v1/bindings", 200),
            ("GET", "/v1/bindings/a", 404),
            ("POST", "/v1/bindings/check", 400),
            ("GET", "/v1/modules", 200),
        ] {
            let stranger = if closed { 401 } else { done };
            assert_eq!(node.http(method, path, b"").status, stranger, "{path}");
            assert_eq!(node.as_super(method, path, b"").status, done, "{path}");
            assert_eq!(node.socket(method, path, b"").status, done, "{path}");
        }
        for path in ["/", "/v1/status", "/metrics", "/commands/ruok"] {
            assert_eq!(node.http("GET", path, b"").status, 200, "{path}");
        }
        // A web page in somebody's browser sees nothing of it either.
        let origin = format!("{}Origin: http://evil.example\r\n", basic(SUPER));
        let page = exchange(
            node.connect(),
            &head("GET", "/v1/bindings", 0, &origin),
            b"",
        );
        assert_eq!(page.status, if closed { 403 } else { 200 });
    }
}

#[test]
fn a_stopping_node_waits_for_no_admin() {
    let node = Administered::start();
    let _silent = node.connect();
    let mut half = node.connect();
    half.write_all(&head("POST", "/v1/modules", 1000, &basic(SUPER)).into_bytes())
        .unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    let _folder = node.running.stop();
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_write_too_long_for_a_command_is_refused_with_its_size_and_the_limit() {
    let node = Administered::start_bounded(|_| {}, Some(2000));
    node.socket("POST", "/v1/znodes?path=/a", b"short").good();
    let refused = node.socket("PUT", "/v1/znodes?path=/a", &[b'x'; 3000]);
    let sentence = refused.error(413);
    assert!(sentence.contains("takes 2000 bytes at most"), "{sentence}");
    assert!(sentence.contains("it takes 30"), "{sentence}");
    assert!(!sentence.contains("try again"), "{sentence}");
    node.socket("PUT", "/v1/znodes?path=/a", b"short again")
        .good();
}

/// Such a transaction would be refused again and again, so it counts as a failure of the binding,
/// which then waits like any other that failed.
#[test]
fn a_reaction_too_long_for_a_command_fails_by_name() {
    let script = guest("test-script");
    let node = Administered::start_bounded(|_| {}, Some(3000));
    let pushed = node
        .as_super("POST", "/v1/modules?wait_ms=60000", &script)
        .good();
    let document = json!({
        "world": "recipe", "module": pushed["module"], "watch": ["/in"], "write": ["/out"],
        "config": {"out": "/out", "steps": [{"create": {"path": "/out", "bytes": 4000}}]},
    });
    let document = document.to_string();
    node.as_super("PUT", "/v1/bindings/large", document.as_bytes())
        .good();
    let mut status = Value::Null;
    common::eventually("a failure of the binding", || {
        status = node.http("GET", "/v1/bindings/large", b"").good();
        status["last_error"].is_string()
    });
    let error = status["last_error"].as_str().unwrap();
    assert!(
        error.contains("passed its output limit: its transaction was refused: it takes 4"),
        "{error}"
    );
    assert!(error.contains("takes 3000 bytes at most"), "{error}");
    assert!(status["conflicts"] == 0, "{status}");
    assert!(status["breaker"] != "closed", "{status}");
    node.as_super("POST", "/v1/znodes?path=/other", b"taken")
        .good();
}
