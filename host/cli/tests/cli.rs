//! The binary's commands for operators and authors, against a node in this process.
#![allow(clippy::disallowed_methods)] // Processes and files of tests.

#[path = "../../../tests/node/common/mod.rs"]
mod common;
#[path = "../../../tests/guests.rs"]
mod guests;
#[path = "cli/programs.rs"]
mod programs;

use innkeeper_auth::Secret;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{Running, create, get};
use guests::guest_path;
use serde_json::{Value, json};

const SUPER: &str = "super:superpw";
const SUPER_DIGEST: &str = "super:g9oN2HttPfn8MMWJZ2r45Np/LIA=";
const UNKNOWN: &str = "sha256:00070e151c232a31383f464d545b626970777e858c939aa1a8afb6bdc4cbd2d9";

/// A node, its data folder, and a folder for files of the test.
struct Bench {
    running: Running,
    data: PathBuf,
    files: tempfile::TempDir,
}

impl Bench {
    fn start() -> Self {
        let running = Running::start_with(|settings| {
            settings.admin.http = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
            settings.server.auth.super_digest = Some(Secret::new(SUPER_DIGEST));
        });
        let data = running
            .node
            .as_ref()
            .unwrap()
            .service()
            .settings
            .data
            .clone();
        Self {
            running,
            data,
            files: tempfile::tempdir().unwrap(),
        }
    }

    /// Runs a command against this node, over its socket.
    fn ask(&self, arguments: &[&str]) -> Done {
        let data = self.data.to_str().unwrap();
        innkeeper(&[arguments, &["--data", data]].concat(), b"")
    }

    /// Runs a command against this node, over HTTP.
    fn ask_http(&self, arguments: &[&str]) -> Done {
        let http = self
            .running
            .node
            .as_ref()
            .unwrap()
            .http()
            .unwrap()
            .to_string();
        innkeeper(&[arguments, &["--http", &http]].concat(), b"")
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.files.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

struct Done {
    code: i32,
    stdout: Vec<u8>,
    stderr: String,
}

impl Done {
    /// The output of a command that succeeded.
    fn text(&self) -> String {
        assert_eq!((self.code, &*self.stderr), (0, ""));
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// The sentence of a command that failed.
    fn sentence(&self) -> &str {
        assert_eq!(self.code, 1, "{}", String::from_utf8_lossy(&self.stdout));
        assert!(self.stdout.is_empty());
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        self.stderr.strip_prefix("innkeeper: ").unwrap().trim_end()
    }
}

fn innkeeper(arguments: &[&str], stdin: &[u8]) -> Done {
    let mut child = Command::new(env!("CARGO_BIN_EXE_innkeeper"))
        .args(arguments)
        .env_remove("INNKEEPER_SUPER")
        .env_remove("INNKEEPER_DATA")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    let output = child.wait_with_output().unwrap();
    Done {
        code: output.status.code().unwrap(),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn the_digest_is_what_serve_takes() {
    assert_eq!(
        innkeeper(&["digest", SUPER], b"").text().trim_end(),
        SUPER_DIGEST
    );
    assert_eq!(
        innkeeper(&["digest", "-"], b"super:superpw\n")
            .text()
            .trim_end(),
        SUPER_DIGEST
    );
    assert!(
        innkeeper(&["digest", "super"], b"")
            .sentence()
            .contains("colon")
    );
}

#[test]
fn status_shows_the_node() {
    let bench = Bench::start();
    let text = bench.ask(&["status"]).text();
    assert!(
        text.starts_with("node 1, version 3.9.5-innkeeper-"),
        "{text}"
    );
    let clients = format!("clients at   {}\n", bench.running.addr);
    assert!(
        text.contains(&clients) && text.contains("node 1 in term "),
        "{text}"
    );
    let json: Value = serde_json::from_str(&bench.ask_http(&["status", "--json"]).text()).unwrap();
    assert_eq!(
        json["addresses"]["zookeeper"],
        bench.running.addr.to_string()
    );
}

#[test]
fn znodes_are_read_and_written_past_everything() {
    let bench = Bench::start();
    assert_eq!(
        bench.ask(&["znode", "create", "/a b", "one"]).text(),
        "/a b\n"
    );
    assert_eq!(bench.ask(&["znode", "get", "/a b"]).text(), "one");
    assert_eq!(
        bench
            .ask(&["znode", "set", "/a b", "two", "--version", "0"])
            .text(),
        "/a b: set, version 1\n"
    );
    let data = bench.data.to_str().unwrap();
    let set = innkeeper(&["znode", "set", "/a b", "-", "--data", data], b"\xff\0\n");
    assert_eq!(set.text(), "/a b: set, version 2\n");
    assert_eq!(bench.ask(&["znode", "get", "/a b"]).stdout, b"\xff\0\n");
    assert_eq!(
        bench.running.client().must(get("/a b", false)).data(),
        b"\xff\0\n"
    );
    assert_eq!(
        bench
            .ask(&["znode", "create", "/a b/n", "--sequential"])
            .text(),
        "/a b/n0000000000\n"
    );
    assert_eq!(bench.ask(&["znode", "ls", "/a b"]).text(), "n0000000000\n");

    bench.running.client().must(create("/mine", b"x"));
    bench
        .ask(&[
            "znode",
            "set-acl",
            "/mine",
            "ip:192.0.2.1:r",
            "digest:ann:aGFzaA==:cdrwa",
        ])
        .text();
    assert_eq!(
        bench.running.client().ask(get("/mine", false)).err,
        innkeeper_proto::ErrorCode::NoAuth
    );
    assert_eq!(bench.ask(&["znode", "get", "/mine"]).text(), "x");
    let stat = bench.ask(&["znode", "stat", "/mine"]).text();
    assert!(
        stat.contains("digest:ann:aGFzaA==:cdrwa\n") && stat.contains("1 bytes, version 0"),
        "{stat}"
    );

    let over_http = ["znode", "get", "/mine", "--super", SUPER];
    assert_eq!(bench.ask_http(&over_http).text(), "x");
    assert!(
        bench
            .ask_http(&over_http[..3])
            .sentence()
            .contains("name and password")
    );
    assert!(
        bench
            .ask(&["znode", "get", "mine"])
            .sentence()
            .starts_with("`mine` is not a path")
    );
    assert!(
        bench
            .ask(&["znode", "get", "/none"])
            .sentence()
            .contains("there is no znode `/none`")
    );
    assert!(
        bench
            .ask(&["znode", "delete", "/a b"])
            .sentence()
            .contains("has children")
    );
    bench.ask(&["znode", "delete", "/a b/n0000000000"]).text();
    assert_eq!(
        bench.ask(&["znode", "delete", "/a b"]).text(),
        "/a b: deleted\n"
    );
}

#[test]
fn where_no_node_is_one_sentence_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let none = innkeeper(&["status", "--data", data], b"");
    assert!(
        none.sentence().starts_with("no node runs at ")
            && none.sentence().contains("innkeeper serve")
    );
    // A socket file that a dead node left behind.
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("admin.sock")).unwrap());
    let dead = innkeeper(&["module", "list", "--data", data], b"");
    assert!(
        dead.sentence().starts_with("no node runs at "),
        "{}",
        dead.sentence()
    );
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let refused = innkeeper(&["status", "--http", &free.to_string()], b"");
    assert!(
        refused.sentence().starts_with("no node serves HTTP at "),
        "{}",
        refused.sentence()
    );
    let nowhere = innkeeper(&["status", "--http", "nowhere"], b"");
    assert!(
        nowhere.sentence().contains("is not an address"),
        "{}",
        nowhere.sentence()
    );
    let deep = innkeeper(&["status", "--data", &"/d".repeat(100)], b"");
    assert!(
        deep.sentence().starts_with("no node runs at "),
        "{}",
        deep.sentence()
    );
    let bench = Bench::start();
    let zookeeper = bench.running.addr.to_string();
    let other = innkeeper(&["status", "--http", &zookeeper], b"");
    assert_eq!(other.code, 1, "{}", other.stderr);
    assert_eq!(other.stderr.lines().count(), 1);
}

#[test]
fn documents_are_checked_with_and_without_a_node() {
    let bench = Bench::start();
    let nowhere = ["--data", bench.files.path().to_str().unwrap()];
    let unknown = json!({"world": "assignor", "module": UNKNOWN}).to_string();
    let unknown = bench.file("unknown.json", unknown);
    let form = innkeeper(
        &[&["binding", "check", &unknown][..], &nowhere].concat(),
        b"",
    )
    .text();
    assert!(
        form.contains("form is good") && form.contains("was not checked"),
        "{form}"
    );
    let checked = bench.ask(&["binding", "check", "a", &unknown]);
    assert!(
        checked.sentence().contains("nobody has pushed"),
        "{}",
        checked.sentence()
    );
    // Without a node, an error in the form of a document is reported in the same words.
    let typo = bench.file(
        "typo.json",
        r#"{"world": "assignor", "module": "x", "wach": []}"#,
    );
    let without = innkeeper(&[&["binding", "check", &typo][..], &nowhere].concat(), b"");
    let with = bench.ask(&["binding", "set", "a", &typo]);
    assert!(with.sentence().contains("`wach`"), "{}", with.sentence());
    assert_eq!(with.sentence(), without.sentence());
    assert!(
        bench
            .ask(&["binding", "check", "A", &typo])
            .sentence()
            .contains("cannot name a binding")
    );
    assert!(
        bench
            .ask(&["binding", "set", "a", "/none.json"])
            .sentence()
            .starts_with("/none.json cannot be read")
    );
    assert!(
        bench
            .ask(&["binding", "status", "none"])
            .sentence()
            .contains("there is no binding `none`")
    );
    assert!(
        bench
            .ask(&["binding", "list"])
            .text()
            .contains("there are no bindings")
    );
}

#[test]
fn files_that_are_no_modules_are_refused_in_a_sentence() {
    let bench = Bench::start();
    for (content, words) in [
        (&b""[..], "is empty"),
        (b"hello", "not WebAssembly"),
        (b"\0asm\x01\0\0\0", "world"),
    ] {
        let refused = bench.ask(&["module", "push", &bench.file("m.wasm", content)]);
        assert!(refused.sentence().contains(words), "{}", refused.sentence());
    }
    // The node does not read so long a request; its answer arrives all the same.
    let long = bench.ask(&[
        "module",
        "push",
        &bench.file("long.wasm", vec![0; 40 << 20]),
    ]);
    assert!(long.sentence().contains("too long"), "{}", long.sentence());
    assert!(
        bench
            .ask(&["module", "list"])
            .text()
            .contains("no module was pushed")
    );
}

#[test]
fn a_guest_is_pushed_bound_shown_and_unbound() {
    let range = guest_path("range");
    let bench = Bench::start();
    let range = range.to_str().unwrap();
    let pushed = bench.ask(&["module", "push", range]).text();
    let module = pushed.split_whitespace().next().unwrap().to_owned();
    assert!(
        module.starts_with("sha256:") && pushed.contains("assignor, "),
        "{pushed}"
    );
    assert!(pushed.contains("made into a component"), "{pushed}");
    assert!(bench.ask_http(&["module", "list"]).text().contains(&module));
    let not_super = bench.ask_http(&["module", "push", range, "--super", "super:wrong"]);
    assert!(
        not_super.sentence().contains("not the super user's"),
        "{}",
        not_super.sentence()
    );

    let document = json!({"world": "assignor", "module": module}).to_string();
    let file = bench.file("range.json", &document);
    let good = bench.ask(&["binding", "check", "range", &file]).text();
    assert!(
        good.starts_with("the document is good: assignor sha256:"),
        "{good}"
    );
    let set = bench.ask(&["binding", "set", "range", &file]).text();
    assert!(
        set.starts_with("range: created; assignor sha256:") && set.contains("acts since zxid 0x"),
        "{set}"
    );
    let data = bench.data.to_str().unwrap();
    let set = innkeeper(
        &["binding", "set", "range", "-", "--data", data],
        document.as_bytes(),
    );
    assert!(set.text().starts_with("range: changed; "));
    let status = bench.ask(&["binding", "status", "range"]).text();
    assert!(
        status.starts_with("range\n") && status.contains(&module) && status.contains("good"),
        "{status}"
    );
    let all: Value =
        serde_json::from_str(&bench.ask(&["binding", "status", "--json"]).text()).unwrap();
    assert_eq!(all["bindings"][0]["active"], module);
    let list = bench.ask(&["binding", "list"]).text();
    assert!(
        list.lines()
            .nth(1)
            .unwrap()
            .starts_with("range  assignor  sha256:"),
        "{list}"
    );
    assert!(
        bench
            .ask(&["binding", "delete", "range"])
            .text()
            .starts_with("range: deleted at zxid 0x")
    );
}

#[test]
fn the_binary_pushes_the_guests_it_carries() {
    let bench = Bench::start();
    let list = innkeeper(&["guest", "list"], b"").text();
    let names: Vec<&str> = list
        .lines()
        .skip(1)
        .filter_map(|row| row.split_whitespace().next())
        .collect();
    assert!(
        names.contains(&"group") && !names.iter().any(|name| name.starts_with("test-")),
        "{list}"
    );
    assert!(
        bench
            .ask(&["guest", "push", "none"])
            .sentence()
            .contains("carries no guest `none`")
    );
    let pushed = bench.ask(&["guest", "push", "--all"]).text();
    let modules = bench.ask(&["module", "list"]).text();
    assert_eq!(pushed.lines().count(), 1 + names.len());
    for row in pushed.lines().skip(1) {
        let module = row.split_whitespace().nth(2).unwrap();
        assert!(modules.contains(module), "{row}\n{modules}");
    }
}

/// A document for the hostile guest that names no module.
fn hostile(mode: &str) -> String {
    json!({
        "world": "recipe", "watch": ["/in"], "write": ["/out"],
        "config": {"mode": mode, "out": "/out"},
    })
    .to_string()
}

#[test]
fn a_guest_is_pushed_and_bound_in_one_go() {
    let module = guest_path("test-hostile");
    let module = module.to_str().unwrap();
    let bench = Bench::start();
    let file = bench.file("good.json", hostile("none"));
    let set = bench
        .ask(&["binding", "set", "a", &file, "--module", module])
        .text();
    assert!(set.starts_with("a: created; recipe sha256:"), "{set}");
    assert!(
        set.contains("; its first reaction ended well, with ")
            && set.ends_with(" fuel and 1 write\n"),
        "{set}"
    );
    assert_eq!(bench.ask(&["znode", "get", "/out"]).text(), "1");
    // A document that would be refused anyway is found before the module is pushed.
    let typo = bench.file("typo.json", r#"{"world": "recipe", "wach": ["/in"]}"#);
    let refused = bench.ask(&["binding", "set", "b", &typo, "--module", "/none.wasm"]);
    assert!(
        refused.sentence().contains("`wach`"),
        "{}",
        refused.sentence()
    );
    let both = bench.ask(&["binding", "set", "b", "-", "--module", "-"]);
    assert!(both.sentence().contains("stdin"), "{}", both.sentence());
    // The document still watches the same paths, so there is nothing to react to.
    let again = bench
        .ask(&["binding", "set", "a", &file, "--module", module])
        .text();
    assert!(
        again.ends_with("; nothing is queued for it yet\n"),
        "{again}"
    );
}

#[test]
fn the_beginning_of_a_modules_name_will_do() {
    let module = guest_path("test-hostile");
    let bench = Bench::start();
    let pushed = bench
        .ask(&["module", "push", "--quiet", module.to_str().unwrap()])
        .text();
    let name = pushed.strip_suffix('\n').unwrap();
    assert_eq!(name.len(), "sha256:".len() + 64, "{name}");
    let (short, bare) = (&name[.."sha256:".len() + 6], &name["sha256:".len()..][..8]);
    for (binding, short) in [("a", short), ("b", bare)] {
        let mut document: Value = serde_json::from_str(&hostile("none")).unwrap();
        document["module"] = short.into();
        let file = bench.file("short.json", document.to_string());
        let nowhere = ["--data", bench.files.path().to_str().unwrap()];
        let form = innkeeper(&[&["binding", "check", &file][..], &nowhere].concat(), b"").text();
        assert!(
            form.contains("form is good") && form.contains(short),
            "{form}"
        );
        let good = bench.ask(&["binding", "check", binding, &file]).text();
        assert!(good.starts_with("the document is good: recipe"), "{good}");
        bench.ask(&["binding", "set", binding, &file]).text();
        // The replicated document has the module's whole name.
        let znode = format!("/innkeeper/bindings/{binding}");
        let written = bench.ask(&["znode", "get", &znode]).text();
        document["module"] = name.into();
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), document);
    }
    let file = bench.file(
        "none.json",
        r#"{"world": "recipe", "module": "sha256:0123456"}"#,
    );
    let unknown = bench.ask(&["binding", "set", "c", &file]);
    assert!(
        unknown
            .sentence()
            .contains("no module begins with `sha256:0123456`"),
        "{}",
        unknown.sentence()
    );
}

#[test]
fn a_first_run_that_fails_is_told_with_what_to_mend() {
    let (recipe, authorizer) = (
        guest_path("test-hostile"),
        guest_path("test-hostile-authorizer"),
    );
    let bench = Bench::start();
    let set = |name: &str, document: String, module: &PathBuf| {
        let file = bench.file("document.json", document);
        let module = module.to_str().unwrap();
        bench.ask(&["binding", "set", name, &file, "--module", module])
    };
    let panicked = set("panics", hostile("trap"), &recipe);
    let sentence = panicked.sentence();
    assert!(
        sentence.starts_with("panics: created; recipe sha256:")
            && sentence.contains(
                ", and its first reaction failed: the guest trapped: panicked at test/support/src/lib.rs:"
            )
            && sentence.contains(": as told (in "),
        "{sentence}"
    );
    let refused = set("reads", hostile("forbidden"), &recipe);
    assert!(
        refused.sentence().contains(
            "`get` of /forbidden was refused with no-auth: no pattern of `read`, `watch` or `write` covers it; \
             add it to the binding's `read`"
        ),
        "{}",
        refused.sentence()
    );
    let policy = |mode: &str| {
        json!({
            "world": "authorizer", "watch": ["/out/**"], "policy": ["/in"],
            "config": {"mode": mode, "in": "load"},
        })
        .to_string()
    };
    let loaded = set("policy", policy("none"), &authorizer).text();
    assert!(
        loaded.contains("; its first load ended well, with "),
        "{loaded}"
    );
    let failed = set("policy", policy("fail"), &authorizer);
    assert!(
        failed.sentence().contains(
            ", and its first load failed: the guest returned an error: load: I fail, as told"
        ),
        "{}",
        failed.sentence()
    );
}

#[test]
fn a_guest_forges_nothing_on_a_terminal() {
    let module = guest_path("test-hostile");
    let bench = Bench::start();
    let file = bench.file("forge.json", hostile("forge"));
    let set = bench.ask(&[
        "binding",
        "set",
        "forge",
        &file,
        "--module",
        module.to_str().unwrap(),
    ]);
    let sentence = set.sentence();
    assert!(
        sentence.contains(r"good\n2026-11-26T00:00:00Z ERROR raft: the disk is full\r\u{1b}]0;x"),
        "{sentence}"
    );
    for arguments in [
        &["binding", "status", "forge"][..],
        &["binding", "status", "forge", "--json"],
    ] {
        let shown = bench.ask(arguments).text();
        assert!(shown.contains("the disk is full"), "{shown}");
        assert!(
            !shown
                .replace('\n', "")
                .contains(innkeeper_tree::text::is_unsafe),
            "{shown:?}"
        );
        assert!(
            !shown.lines().any(|line| line.starts_with("2026-")),
            "{shown}"
        );
    }
}
