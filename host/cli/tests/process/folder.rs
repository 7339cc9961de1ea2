//! The binary's data folder: who may read it, and where the admin socket is.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use super::*;

/// The permission bits of a mode.
fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path)
        .unwrap()
        .permissions()
        .mode()
        & 0o7777
}

/// All files and folders below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found
}

/// Runs an `innkeeper` command that must succeed, and returns its output.
fn told(arguments: &[&str], data: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_innkeeper"));
    command.args(arguments).arg("--data").arg(data);
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// A process with the umask 0.
fn open_handed(data: &Path) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0; exec \"$@\"", "sh"]);
    command.arg(env!("CARGO_BIN_EXE_innkeeper"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    command.arg("--data").arg(data);
    Process::ready(command)
}

#[test]
fn strangers_read_nothing_of_the_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("a/data");
    let mut process = open_handed(&data);
    let mut client = Client::connect(process.addr, 10_000);
    client.must(create("/secret", b"x"));
    assert_eq!(mode(&data), 0o750);
    let check = || {
        let found = below(&data);
        assert!(found.len() >= 6, "{found:?}");
        for path in found {
            let expected = match path.strip_prefix(&data).unwrap().to_str().unwrap() {
                "admin.sock" => 0o600,
                "log" => 0o750,
                "compiled" => 0o700,
                name if name.starts_with("compiled/") => 0o600,
                _ => 0o640,
            };
            assert_eq!(mode(&path), expected, "{}", path.display());
        }
    };
    check();
    process.signal(Signal::TERM);
    assert!(process.child.wait().unwrap().success());

    // A folder that exists keeps its mode; files of an earlier release lose the rights of others.
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    set(&data, 0o755);
    for path in below(&data) {
        // No earlier release wrote this one.
        let is_new = path == data.join("incarnation");
        if path.is_file() && !is_new && !path.starts_with(data.join("compiled")) {
            set(&path, 0o644);
        }
    }
    let again = open_handed(&data);
    let mut client = Client::connect(again.addr, 10_000);
    assert_eq!(client.must(get("/secret", false)).data(), b"x");
    check();
    assert_eq!(mode(&data), 0o755);
}

#[test]
fn a_data_folder_may_lie_deep() {
    let folder = tempfile::tempdir().unwrap();
    for length in [60, 100, 107, 108, 200, 900] {
        let mut data = folder.path().to_owned();
        while data.as_os_str().len() < length {
            let missing = length - data.as_os_str().len();
            data.push("d".repeat(missing.saturating_sub(1).clamp(1, 100)));
        }
        let mut process = Process::start(&data, &[]);
        let socket = data.join("admin.sock");
        let said = format!(" admin={}\n", socket.display());
        assert!(process.ready.ends_with(&said), "{}", process.ready);
        assert!(told(&["status"], &data).contains("leader"), "{length}");
        told(&["znode", "create", "/deep"], &data);
        process.signal(Signal::KILL);
        process.child.wait().unwrap();
        // A killed node leaves its socket file behind, which does not disturb the next one.
        assert!(socket.exists());
        let mut process = Process::start(&data, &[]);
        assert_eq!(
            told(&["znode", "ls", "/"], &data).matches("deep").count(),
            1
        );
        process.signal(Signal::TERM);
        assert!(process.child.wait().unwrap().success());
        assert!(!socket.exists(), "{length}");
    }
}

/// If no socket can be made, the node serves without it and says so.
#[test]
fn a_node_serves_where_its_admin_socket_cannot_be() {
    for (name, filled) in [
        ("admin.sock", false),
        ("admin.new", false),
        ("admin.new", true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let in_the_way = folder.path().join(name);
        std::fs::create_dir(&in_the_way).unwrap();
        if filled {
            std::fs::write(in_the_way.join("file"), "x").unwrap();
        }
        let mut command = serve(&["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.arg("--data").arg(folder.path());
        command.stderr(Stdio::piped());
        let mut process = Process::ready(command);
        assert!(
            process.ready.ends_with(" admin=none\n"),
            "{}",
            process.ready
        );
        Client::connect(process.addr, 10_000).must(create("/served", b"x"));
        // Commands report that there is no socket, and reach the node over HTTP.
        let status = Command::new(env!("CARGO_BIN_EXE_innkeeper"))
            .args(["status", "--data"])
            .arg(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8(status.stderr).unwrap();
        assert!(
            said.contains("or the node could not open its admin socket there"),
            "{said}"
        );
        let http = process.ready.split_whitespace().nth(3).unwrap();
        let http = http.strip_prefix("http=").unwrap();
        let status = Command::new(env!("CARGO_BIN_EXE_innkeeper"))
            .args(["status", "--http", http])
            .output()
            .unwrap();
        assert!(status.status.success(), "{status:?}");
        process.signal(Signal::TERM);
        assert!(process.child.wait().unwrap().success());
        let mut log = String::new();
        process
            .child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        assert!(log.contains("serves without its admin socket"), "{log}");
        assert!(folder.path().join(name).is_dir());
        assert_eq!(
            folder.path().join("admin.new").exists(),
            name == "admin.new"
        );
    }
    // A symbolic link in its place is replaced, and its target stays as it is.
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    std::fs::write(&target, "mine").unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    symlink(&target, data.join("admin.sock")).unwrap();
    let process = Process::start(&data, &[]);
    assert!(process.ready.ends_with("admin.sock\n"), "{}", process.ready);
    assert!(told(&["status"], &data).contains("leader"));
    assert_eq!(std::fs::read(&target).unwrap(), b"mine");
}

/// A folder that already holds ZooKeeper's own files: a node does not start there with an empty
/// tree unless a flag says so, and later starts need no flag.
#[test]
fn a_node_does_not_begin_empty_beside_zookeepers_data() {
    // (the content of dataDir, the content of dataLogDir, whether --data names another folder)
    for (in_data, in_log, elsewhere) in [
        ("version-2/snapshot.0", None, false),
        ("version-2/snapshot.0", None, true),
        ("myid", Some("version-2/log.1"), false),
        ("version-2/acceptedEpoch", Some("version-2/log.1"), true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let [data, log, other] = ["data", "log", "other"].map(|name| folder.path().join(name));
        for (place, file) in [(&data, Some(in_data)), (&log, in_log)] {
            let Some(file) = file else { continue };
            std::fs::create_dir_all(place.join(file).parent().unwrap()).unwrap();
            std::fs::write(place.join(file), "1").unwrap();
        }
        let config = folder.path().join("zoo.cfg");
        let mut text = format!(
            "dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
            data.display()
        );
        if in_log.is_some() {
            text.push_str(&format!("dataLogDir={}\n", log.display()));
        }
        std::fs::write(&config, text).unwrap();
        let start = |more: &[&str]| {
            let mut command = serve(&[config.to_str().unwrap()]);
            command.args(more).stderr(Stdio::piped());
            if elsewhere {
                command.arg("--data").arg(&other);
            }
            command
        };
        let refused = start(&[]).output().unwrap();
        assert_eq!(refused.status.code(), Some(3), "{in_data}");
        let said = String::from_utf8(refused.stderr).unwrap();
        let sentence = said.lines().last().unwrap();
        let place = if in_log.is_some() { &log } else { &data };
        let there = format!("innkeeper: {}", place.join("version-2").display());
        assert!(sentence.starts_with(&there), "{said}");
        assert!(sentence.contains("--ignore-zookeeper-data"), "{said}");
        let own = if elsewhere { &other } else { &data };
        assert!(
            !own.join("LOCK").exists() && !own.join("log").exists(),
            "{said}"
        );

        let mut process = Process::ready(start(&["--ignore-zookeeper-data"]));
        Client::connect(process.addr, 10_000).must(create("/ours", b"x"));
        process.signal(Signal::TERM);
        assert!(process.child.wait().unwrap().success());
        let mut said = String::new();
        process
            .child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert!(
            said.contains("begins with an empty tree, as --ignore-zookeeper-data"),
            "{said}"
        );
        let process = Process::ready(start(&[]));
        let mut client = Client::connect(process.addr, 10_000);
        assert_eq!(client.must(get("/ours", false)).data(), b"x");
        assert!(place.join("version-2").exists());
    }
    // The same with `--data` alone, without a `zoo.cfg`.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("version-2")).unwrap();
    std::fs::write(folder.path().join("version-2/log.1"), "1").unwrap();
    let sentence = fails(serve(&["--data", folder.path().to_str().unwrap()]));
    assert!(
        sentence.contains("ZooKeeper's own data (log.1)"),
        "{sentence}"
    );
}
