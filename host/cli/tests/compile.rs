//! Compiling is bounded: the resources that a module takes from the compiler are those of a child
//! process, and nothing else suffers. Each node is a process of its own, so that the memory and the
//! child processes that the tests measure belong to it alone.
#![allow(clippy::disallowed_methods)] // Files and clocks of tests.

#[path = "../../../tests/hostile/bombs.rs"]
mod bombs;
#[path = "../../../tests/node/common/mod.rs"]
mod common;
#[path = "../../../tests/guests.rs"]
mod guests;
#[path = "../../../tests/guarantees/support.rs"]
mod support;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::asked::any_port;
use common::{Client, Running, create, eventually, set};
use guests::guest;
use innkeeper_auth::Secret;
use innkeeper_sandbox::{self as sandbox, Sandbox};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::{Value, json};
use support::{NodeProcess, http_at, super_digest};

/// So many functions take some 20 s to compile: no test waits for that.
const SLOW: usize = 90_000;

fn refused(node: &NodeProcess, module: &[u8]) -> String {
    let (status, answer) = node.http("POST", "/v1/modules?wait_ms=60000", module);
    assert_eq!(status, 400, "{answer}");
    answer["error"].as_str().expect("a sentence").to_owned()
}

fn figure(node: &NodeProcess, name: &str) -> u64 {
    let (_, status) = node.http("GET", "/v1/status", b"");
    status[name].as_u64().unwrap_or_else(|| panic!("{status}"))
}

/// The child processes of a node, zombies included.
fn children(node: &NodeProcess) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        // The process may have ended meanwhile.
        let Ok(stat) = std::fs::read_to_string(entry.unwrap().path().join("stat")) else {
            continue;
        };
        // number (name) state parent ...
        let (head, tail) = stat.rsplit_once(") ").unwrap();
        let parent: u32 = tail.split(' ').nth(1).unwrap().parse().unwrap();
        if parent == node.id() {
            found.push(head.split(' ').next().unwrap().parse().unwrap());
        }
    }
    found
}

/// Waits until the node has exactly one child, which runs the compiler, and returns its number. A
/// child starts a moment after its compilation is reported as running; a child that was stopped for
/// its limit makes room for another.
fn has_one_child(node: &NodeProcess) -> u32 {
    let mut found = Vec::new();
    eventually("the node has one child", || {
        found = children(node);
        found.len() == 1 && command_line(found[0]).contains("compile-module")
    });
    found[0]
}

/// The command line of a process. A dead one has none, even before its parent has collected it.
fn command_line(id: u32) -> String {
    std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default()
}

/// The most memory that the node ever had, in MiB.
fn peak_mib(node: &NodeProcess) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() / 1024
}

/// Writes an assignor's binding and waits until it is active.
fn bind(node: &NodeProcess, name: &str, module: &str) {
    node.bind(
        name,
        &json!({"world": "assignor", "module": module}).to_string(),
    );
}

/// The only file in the folder of compiled code.
fn artifact(data: &Path) -> PathBuf {
    let files = std::fs::read_dir(data.join("compiled")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let is_record = |path: &PathBuf| {
        path.file_name()
            .unwrap()
            .as_encoded_bytes()
            .starts_with(b"record.")
    };
    let files: Vec<_> = files.filter(|path| !is_record(path)).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn a_restart_compiles_nothing() {
    let range = guest("range");
    let folder = tempfile::tempdir().unwrap();
    let mut node = NodeProcess::start(folder.path());
    let module = node.push(&range);
    bind(&node, "range", &module);
    assert_eq!(figure(&node, "modules_compiled"), 1);
    let file = artifact(folder.path());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o700);
    node.kill_and_restart();
    loaded(&node);
    assert_eq!(figure(&node, "modules_compiled"), 0);
    bind(&node, "another", &module);
    // A push of the component itself does not compile again, since its name shows that it is here.
    let (component, _) = Sandbox::new(sandbox::Settings::default())
        .accept(&range)
        .unwrap();
    assert_eq!(node.push(&component), module);
    // A push of the core module that it was made of does not compile again, either.
    let (status, again) = node.http("POST", "/v1/modules?wait_ms=60000", &range);
    assert_eq!(status, 200, "{again}");
    assert_eq!(
        (&again["module"], &again["made_component"], &again["size"]),
        (&json!(module), &json!(true), &json!(component.len()))
    );
    assert_eq!(figure(&node, "modules_compiled"), 0);
}

/// Address space of a node, in bytes.
fn address_space(node: &NodeProcess) -> u64 {
    let size = std::fs::read_to_string(format!("/proc/{}/statm", node.id())).unwrap();
    let pages: u64 = size.split(' ').next().unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

/// Bounds the address space of a node, or lets it go.
fn bound_address_space(node: &NodeProcess, bytes: Option<u64>) {
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    let id = Pid::from_raw(node.id() as i32);
    prlimit(id, Resource::As, limit).unwrap();
}

/// A node makes the pool of instances when it loads its first module. Where it has no room for the
/// pool, the binding's status says so, clients are served, and the next attempt makes it.
#[test]
fn the_pool_is_made_for_the_first_module_and_a_lack_of_room_is_said() {
    const POOL_BYTES_LEAST: u64 = 1 << 40;
    let folder = tempfile::tempdir().unwrap();
    let mut node = NodeProcess::start(folder.path());
    let before = address_space(&node);
    assert!(before < POOL_BYTES_LEAST / 16, "{before} bytes");
    bound_address_space(&node, Some(before + (8 << 30)));
    let (status, answer) = node.http("POST", "/v1/modules?wait_ms=60000", &guest("range"));
    let sentence = answer["error"].as_str().unwrap();
    assert!(status >= 500 && sentence.contains("ulimit -v"), "{answer}");
    bound_address_space(&node, None);
    let module = node.push(&guest("range"));
    assert!(address_space(&node) > POOL_BYTES_LEAST);

    // What was compiled is kept, and no binding has it loaded.
    node.kill_and_restart();
    bound_address_space(&node, Some(address_space(&node) + (8 << 30)));
    let document = json!({"world": "assignor", "module": module}).to_string();
    let (status, answer) = node.http("PUT", "/v1/bindings/range", document.as_bytes());
    assert_eq!(status, 201, "{answer}");
    eventually("the binding says what it lacks", || {
        node.status("range").to_string().contains("ulimit -v")
    });
    Client::connect(node.zookeeper, 30_000).must(create("/served", b""));
    bound_address_space(&node, None);
    node.bind("range", &document);
    assert_eq!(figure(&node, "modules_compiled"), 0);
}

/// A push that fails gets its answer, and frees its place.
#[test]
fn a_child_that_is_stopped_ends_by_the_clock() {
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start_with(folder.path(), &["--compile-time-s", "1"]);
    let push = begin(&node, &bombs::functions(SLOW));
    stop(has_one_child(&node));
    let failed = ask(&node, &push, "?wait_ms=60000");
    assert_eq!(failed["state"], "failed", "{failed}");
    let sentence = failed["error"].as_str().unwrap();
    assert!(sentence.contains("within 1 s by the clock"), "{sentence}");
    assert!(sentence.contains("--compile-time-s"), "{sentence}");
    assert!(
        sentence.contains("the module is not to blame"),
        "{sentence}"
    );
    eventually("the child is gone", || children(&node).is_empty());
}

/// The compilation of a module that a binding waits for is tried again.
#[test]
fn a_binding_outlives_a_child_that_is_stopped() {
    let range = guest("range");
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    let module = node.push(&range);
    drop(node);
    std::fs::remove_dir_all(folder.path().join("compiled")).unwrap();
    let program = stopped_once(folder.path());
    let running = Running::start_in(folder, |settings| {
        settings.guests.compile.program = Some(program.clone());
        settings.guests.compile.time_s = 5;
        settings.admin.http = Some(any_port());
        settings.server.auth.super_digest = Some(Secret::new(super_digest()));
    });
    let http = running.node.as_ref().unwrap().http().unwrap();
    let document = json!({"world": "assignor", "module": module}).to_string();
    let (code, set) = http_at(http, "PUT", "/v1/bindings/range", document.as_bytes());
    assert_eq!(code, 201, "{set}");
    let status = || http_at(http, "GET", "/v1/bindings/range", b"").1;
    eventually("the binding says why it waits", || {
        let error = status()["activation_error"].to_string();
        error.contains("--compile-time-s")
    });
    eventually("the binding is active", || status()["pending"] == false);
    running.stop();
}

/// A program in place of the compiler whose first process stops itself before it reads anything.
fn stopped_once(folder: &Path) -> PathBuf {
    let program = folder.join("stopped-once");
    let (marker, compiler) = (folder.join("was-stopped"), env!("CARGO_BIN_EXE_innkeeper"));
    let script = format!(
        "#!/bin/sh\n[ -e '{0}' ] || {{ : > '{0}'; kill -STOP $$; }}\nexec '{compiler}' \"$@\"\n",
        marker.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    program
}

/// Stops a process as SIGSTOP does: it exists, and does nothing.
fn stop(id: u32) {
    let pid = Pid::from_raw(id as i32).expect("a process");
    kill_process(pid, Signal::STOP).expect("it is ours");
}

#[test]
fn compiled_code_that_is_damaged_or_not_ours_alone_is_compiled_anew() {
    let range = guest("range");
    let folder = tempfile::tempdir().unwrap();
    let mut node = NodeProcess::start(folder.path());
    let module = node.push(&range);
    bind(&node, "range", &module);
    let file = artifact(folder.path());
    let whole = std::fs::read(&file).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    std::fs::write(&elsewhere, &whole).unwrap();
    let middle = whole.len() / 2;
    let mut rotten = whole.clone();
    rotten[middle] ^= 1;
    // The node counts a compilation before it has stored the result.
    let kept = || {
        let file_is_ours = std::fs::symlink_metadata(&file)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o777 == 0o600);
        file_is_ours
            && std::fs::read(&file).is_ok_and(|found| found.len() == whole.len() && found != rotten)
    };
    let spoils: [(&str, &dyn Fn()); 5] = [
        ("a changed byte", &|| {
            std::fs::write(&file, &rotten).unwrap()
        }),
        ("a torn file", &|| {
            std::fs::write(&file, &whole[..middle]).unwrap()
        }),
        ("a file that anybody may write", &|| {
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
        }),
        ("a link", &|| {
            std::fs::remove_file(&file).unwrap();
            symlink(&elsewhere, &file).unwrap();
        }),
        ("a folder that anybody may write", &|| {
            let folder = file.parent().unwrap();
            std::fs::set_permissions(folder, PermissionsExt::from_mode(0o777)).unwrap();
        }),
    ];
    for (what, spoil) in spoils {
        spoil();
        node.kill_and_restart();
        compiled(&node);
        assert_eq!(figure(&node, "modules_loaded"), 0, "{what}");
        // In a folder that others may write, the file stays unused and unchanged.
        eventually("the code is kept", kept);
    }
    // In a folder that others may write, nothing is written, either. When only its owner may write
    // it, it is used again.
    let of_all = file.parent().unwrap();
    std::fs::set_permissions(of_all, PermissionsExt::from_mode(0o700)).unwrap();
    node.kill_and_restart();
    loaded(&node);
}

#[test]
fn what_another_engine_compiled_goes_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let compiled = folder.path().join("compiled");
    std::fs::create_dir(&compiled).unwrap();
    std::fs::set_permissions(&compiled, PermissionsExt::from_mode(0o700)).unwrap();
    let digits = "ab".repeat(32);
    let other = compiled.join(format!("{digits}.0123456789abcdef0123456789abcdef"));
    let unfinished = compiled.join("something.new");
    std::fs::write(&other, b"code").unwrap();
    std::fs::write(&unfinished, b"code").unwrap();
    let _node = NodeProcess::start(folder.path());
    eventually("the files are gone", || {
        !other.exists() && !unfinished.exists()
    });
}

#[test]
fn a_child_that_crashes_ends_alone() {
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    let sentence = refused(&node, &bombs::types(5_000));
    assert!(sentence.contains("made the compiler crash"), "{sentence}");
    assert!(sentence.contains("overflow"), "{sentence}");
    assert!(children(&node).is_empty());
}

#[test]
fn a_child_dies_with_its_node() {
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    begin(&node, &bombs::functions(SLOW));
    let child = has_one_child(&node);
    drop(node); // SIGKILL
    eventually("the child is dead", || command_line(child).is_empty());
}

#[test]
fn bindings_have_a_place_that_no_push_takes() {
    let (range, sticky, third) = (guest("range"), guest("sticky"), guest("round-robin"));
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    // When the second one is loaded, the first is unloaded; its compiled code is removed as well,
    // so it must be compiled again.
    let module = node.push(&range);
    node.push(&sticky);
    std::fs::remove_dir_all(folder.path().join("compiled")).unwrap();
    begin(&node, &bombs::functions(SLOW));
    begin(&node, &bombs::functions(SLOW - 1));
    let (_, begun) = node.http("POST", "/v1/modules", &third);
    assert_eq!(begun["state"], "waiting");
    bind(&node, "range", &module);
    assert_eq!(
        ask(&node, begun["push"].as_str().unwrap(), "")["state"],
        "waiting"
    );
}

#[test]
fn a_push_is_answered_at_once_and_can_be_asked() {
    let range = guest("range");
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    let (status, begun) = node.http("POST", "/v1/modules", &range);
    assert_eq!(status, 202, "{begun}");
    let push = begun["push"].as_str().expect("a name").to_owned();
    let ready = ask(&node, &push, "?wait_ms=60000");
    assert_eq!(
        (&ready["state"], &ready["world"]),
        (&json!("ready"), &json!("assignor"))
    );
    assert_eq!(ready["made_component"], true);
    // It is ready at once now; and so is the component that was made of it, which has another name.
    let (status, again) = node.http("POST", "/v1/modules", &range);
    assert_eq!((status, &again), (200, &ready));
    assert_eq!(figure(&node, "modules_compiled"), 1);
    // It is broken: a client that asks reads this in the state, and one that waits gets it as the
    // status.
    let broken = b"\0asm\x01\0\0\0\xff\xff\xff";
    let (status, begun) = node.http("POST", "/v1/modules", broken);
    assert_eq!(status, 202, "{begun}");
    let failed = ask(&node, begun["push"].as_str().unwrap(), "?wait_ms=60000");
    assert_eq!(failed["state"], "failed");
    assert_eq!(refused(&node, broken), failed["error"]);
    let unknown = format!("/v1/pushes/sha256:{}", "07".repeat(32));
    for (method, path) in [
        ("GET", &*unknown),
        ("DELETE", &unknown),
        ("GET", "/v1/pushes/x"),
    ] {
        let (status, answer) = node.http(method, path, b"");
        assert_eq!(status, 404, "{answer}");
    }
}

#[test]
fn a_slow_module_holds_up_nobody() {
    let range = guest("range");
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    let slow = begin(&node, &bombs::functions(SLOW));
    let module = node.push(&range);
    bind(&node, "range", &module);
    let mut client = Client::connect(node.zookeeper, 30_000);
    client.must(create("/a", b""));
    assert_eq!(ask(&node, &slow, "")["state"], "compiling");
    has_one_child(&node);
}

#[test]
fn a_cancelled_push_leaves_no_child() {
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start_with(folder.path(), &["--push-idle-ms", "200"]);
    let bytes = bombs::functions(SLOW);
    // An operator cancels it.
    let push = begin(&node, &bytes);
    has_one_child(&node);
    let (_, cancelled) = node.http("DELETE", &format!("/v1/pushes/{push}"), b"");
    assert_eq!(cancelled["state"], "cancelled");
    eventually("the child is gone", || children(&node).is_empty());
    // A new push begins anew, and is cancelled when nobody asks for it.
    begin(&node, &bytes);
    eventually("the child is gone", || children(&node).is_empty());
    assert_eq!(ask(&node, &push, "")["state"], "cancelled");
    assert_eq!(figure(&node, "modules_compiled"), 2);
}

#[test]
fn the_same_bytes_pushed_twice_are_compiled_once() {
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    let bytes = bombs::functions(SLOW);
    let push = begin(&node, &bytes);
    assert_eq!(begin(&node, &bytes), push);
    assert_eq!(figure(&node, "modules_compiled"), 1);
    has_one_child(&node);
}

#[test]
fn who_interrupts_the_command_cancels_the_push() {
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    let file = folder.path().join("slow.wasm");
    std::fs::write(&file, bombs::functions(SLOW)).unwrap();
    let command = Command::new(env!("CARGO_BIN_EXE_innkeeper"))
        .args(["module", "push"])
        .arg(&file)
        .arg("--data")
        .arg(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    has_one_child(&node);
    let pid = Pid::from_child(&command);
    kill_process(pid, Signal::INT).unwrap();
    let done = command.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("the push was interrupted"), "{said}");
    eventually("the child is gone", || children(&node).is_empty());
}

#[test]
fn only_authorizers_hold_back_clients_at_a_start() {
    let range = guest("range");
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    bind(&node, "range", &node.push(&range));
    drop(node);
    // As after an upgrade of the engine: everything must be compiled again, and this compilation
    // never ends.
    std::fs::remove_dir_all(folder.path().join("compiled")).unwrap();
    let program = folder.path().join("never");
    std::fs::write(&program, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let running = Running::start_in(folder, |settings| {
        settings.guests.compile.program = Some(program.clone());
    });
    running.client().must(create("/a", b""));
    let service = running.node.as_ref().unwrap().service().clone();
    eventually("it is being compiled", || {
        service.stats.modules_compiled.get() == 1
    });
    running.client().must(set("/a", b"1"));
    running.stop();
}

/// Begins a push, waits until a child process works on it, and returns the push's name.
fn begin(node: &NodeProcess, module: &[u8]) -> String {
    let (status, begun) = node.http("POST", "/v1/modules", module);
    assert_eq!(status, 202, "{begun}");
    let push = begun["push"].as_str().expect("a name").to_owned();
    eventually("it is being compiled", || {
        let shown = ask(node, &push, "");
        shown["state"] == "compiling" && shown["since_ms"].as_u64().is_some()
    });
    eventually("a child is there", || !children(node).is_empty());
    push
}

fn ask(node: &NodeProcess, push: &str, query: &str) -> Value {
    let (status, shown) = node.http("GET", &format!("/v1/pushes/{push}{query}"), b"");
    assert_eq!(status, 200, "{shown}");
    shown
}

#[test]
fn compiled_code_comes_from_two_places() {
    // The files that may contain each of these, besides the file that defines it; tests may contain
    // any.
    let rules = [
        (
            "Artifact::of_child(",
            "host/sandbox/src/compile/exchange.rs",
        ),
        ("Artifact::of_own_folder(", "host/dispatch/src/artifacts.rs"),
        ("Component::deserialize", "nowhere"),
        ("deserialize_file", "nowhere"),
        ("unsafe_code,", "nowhere"),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut folders = vec![root.join("host")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .strip_prefix(&root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if !name.contains("/src/") || !name.ends_with(".rs") {
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let production = source.split("#[cfg(test)]").next().unwrap();
            for (call, home) in rules {
                let is_there = production.contains(call);
                seen += usize::from(is_there);
                assert!(
                    !is_there || name == home || name == "host/sandbox/src/artifact.rs",
                    "{call} in {name}"
                );
            }
        }
    }
    assert!(seen >= 4, "the rules name what is there");
}

/// Waits until the node has loaded a module from compiled code that it had kept.
fn loaded(node: &NodeProcess) {
    eventually("a module is loaded", || figure(node, "modules_loaded") == 1);
}

/// Waits until the node has compiled a module anew and the module is ready: a further binding of it
/// becomes active.
fn compiled(node: &NodeProcess) {
    eventually("a module is compiled", || {
        figure(node, "modules_compiled") == 1
    });
    eventually("no child is left", || children(node).is_empty());
}

#[test]
fn what_is_plainly_too_large_or_too_deep_is_refused_with_the_number() {
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    for (bomb, words) in [
        (bombs::branch_tables(), ["values handed over", "1000000"]),
        (bombs::loops(60_000), ["loops within each other", "100"]),
        (
            bombs::components(44_000),
            ["components within each other", "16"],
        ),
    ] {
        let sentence = refused(&node, &bomb);
        assert!(
            words.iter().all(|word| sentence.contains(word)),
            "{sentence}"
        );
    }
    assert!(peak_mib(&node) < 500, "{} MiB", peak_mib(&node));
}

#[test]
fn a_child_that_takes_too_much_memory_ends_alone() {
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start_with(folder.path(), &["--compile-memory-mib", "128"]);
    // Without a limit it takes twice as much memory, and half a second.
    let sentence = refused(&node, &bombs::instances(6));
    assert!(
        sentence.contains("more than 128 MiB of memory"),
        "{sentence}"
    );
    assert!(sentence.contains("--compile-memory-mib"), "{sentence}");
    assert!(peak_mib(&node) < 500, "{} MiB", peak_mib(&node));
    assert!(children(&node).is_empty());
}

#[test]
fn a_child_that_takes_too_much_time_ends_alone() {
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start_with(folder.path(), &["--compile-cpu-s", "1"]);
    let sentence = refused(&node, &bombs::functions(40_000));
    assert!(sentence.contains("more than 1 s of CPU time"), "{sentence}");
    assert!(sentence.contains("--compile-cpu-s"), "{sentence}");
    assert!(children(&node).is_empty());
}
