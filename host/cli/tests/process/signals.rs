//! The effect of signals on a node: SIGHUP, a second SIGTERM, and both during the start.

use std::fs::File;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;
use crate::common::asked;

/// Writes a key and a self-signed certificate into a file, and returns the certificate.
fn renew(store: &Path) -> CertificateDer<'static> {
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let own = own.self_signed(&key).unwrap();
    std::fs::write(store, key.serialize_pem() + &own.pem()).unwrap();
    own.der().clone()
}

/// The certificate that a server shows to a client that trusts any of these.
fn shown(port: u16, known: &[&CertificateDer<'static>]) -> CertificateDer<'static> {
    let mut roots = RootCertStore::empty();
    for certificate in known {
        roots.add((*certificate).clone()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    while client.is_handshaking() {
        client.complete_io(&mut stream).unwrap();
    }
    client.peer_certificates().unwrap()[0].clone().into_owned()
}

/// A node with TLS whose log filter is in a file: the process, and the paths of its key store, of
/// its filter, and of its stderr.
fn with_files(folder: &Path) -> (Process, PathBuf, PathBuf, PathBuf) {
    let [store, filter, log] = ["own.pem", "filter", "stderr"].map(|name| folder.join(name));
    std::fs::write(&filter, "warn\n").unwrap();
    let config = folder.join("zoo.cfg");
    let text = format!(
        "dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n\
         4lw.commands.whitelist=conf\nsecureClientPort=0\nssl.clientAuth=none\n\
         ssl.keyStore.location={}\n",
        folder.join("data").display(),
        store.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = serve(&[config.to_str().unwrap()]);
    command.env("INNKEEPER_LOG", format!("@{}", filter.display()));
    command.stderr(File::create(&log).unwrap());
    (Process::ready(command), store, filter, log)
}

#[test]
fn a_hangup_reads_certificates_and_the_logs_filter_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = renew(&folder.path().join("own.pem"));
    let (mut process, store, filter, log) = with_files(folder.path());
    let said = |words: &str| std::fs::read_to_string(&log).unwrap().contains(words);
    let conf = asked::word(process.addr, "conf");
    let secure = conf
        .lines()
        .find_map(|line| line.strip_prefix("secureClientPort="));
    let secure: u16 = secure.unwrap().parse().unwrap();
    let mut client = Client::connect(process.addr, 10_000);
    assert_eq!(shown(secure, &[&first]), first);

    // The file was replaced without a signal: the old certificate is shown.
    let second = renew(&store);
    assert_eq!(shown(secure, &[&first, &second]), first);
    std::fs::write(&filter, "info").unwrap();
    process.signal(Signal::HUP);
    eventually("it is said", || {
        said("key store and the trust store were read again")
    });
    assert!(said("the log's filter was read again and is "));
    assert_eq!(shown(secure, &[&first, &second]), second);
    client.must(get("/", false));

    // A file that cannot be read changes nothing.
    std::fs::write(&store, "half of a ke").unwrap();
    std::fs::write(&filter, "trase").unwrap();
    process.signal(Signal::HUP);
    eventually("it is said", || {
        said("SIGHUP: the old stores of TLS stay in use: ")
    });
    assert!(said("SIGHUP: the log's old filter stays in use: "));
    assert_eq!(shown(secure, &[&first, &second]), second);
    std::fs::remove_file(&filter).unwrap();
    process.signal(Signal::HUP);
    eventually("the next one is heard", || {
        std::fs::read_to_string(&log)
            .unwrap()
            .matches("old filter stays")
            .count()
            == 2
    });
    // This line passes the filter, so the old filter is still in use.
    process.signal(Signal::TERM);
    assert!(process.child.wait().unwrap().success());
    assert!(said("the node has stopped"));
    assert!(client.is_closed());
}

#[test]
fn a_hangup_ends_no_node_that_has_nothing_to_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("stderr");
    let mut command = serve(&["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    command.arg("--data").arg(folder.path().join("data"));
    command
        .env("INNKEEPER_LOG", "info")
        .stderr(File::create(&log).unwrap());
    let mut process = Process::ready(command);
    for count in 1..=3 {
        process.signal(Signal::HUP);
        eventually("it is said", || {
            let log = std::fs::read_to_string(&log).unwrap();
            log.matches("SIGHUP: the log's filter stays").count() == count
        });
        Client::connect(process.addr, 10_000).must(get("/", false));
    }
    process.signal(Signal::TERM);
    assert!(process.child.wait().unwrap().success());
}

/// Both signals wait while the process is stopped, so the second arrives while it is ending.
#[test]
fn a_second_signal_ends_a_node_at_once_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &[]);
    let mut client = Client::connect(process.addr, 10_000);
    client.must(create("/kept", b"x"));
    process.signal(Signal::STOP);
    process.signal(Signal::TERM);
    process.signal(Signal::INT);
    process.signal(Signal::CONT);
    let code = process.child.wait().unwrap().code();
    assert!(matches!(code, Some(130 | 143)), "{code:?}");
    let process = Process::start(folder.path(), &[]);
    let mut client = Client::connect(process.addr, 10_000);
    assert_eq!(client.must(get("/kept", false)).data(), b"x");
}

/// A node that has lost the module of an authorizer waits for it at its start, while its admin
/// socket is open.
#[test]
fn a_node_that_still_starts_heeds_signals() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let told = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_innkeeper"));
        command.args(arguments).arg("--data").arg(&data);
        command.output().unwrap()
    };
    let mut process = Process::start(&data, &[]);
    let pushed = told(&["guest", "push", "path-rules"]);
    assert!(pushed.status.success(), "{pushed:?}");
    let table = String::from_utf8(pushed.stdout).unwrap();
    let module = table
        .split_whitespace()
        .find(|word| word.starts_with("sha256:"));
    assert!(
        told(&["znode", "create", "/rules", r#"{"rules": []}"#])
            .status
            .success()
    );
    let document = serde_json::json!({
        "world": "authorizer", "module": module.unwrap(), "watch": ["/jobs/**"],
        "policy": ["/rules"], "config": {"rules": "/rules"},
    });
    let file = folder.path().join("document.json");
    std::fs::write(&file, document.to_string()).unwrap();
    let set = told(&["binding", "set", "policy", file.to_str().unwrap()]);
    assert!(set.status.success(), "{set:?}");
    process.signal(Signal::TERM);
    assert!(process.child.wait().unwrap().success());
    std::fs::remove_file(data.join("modules.redb")).unwrap();
    std::fs::remove_dir_all(data.join("compiled")).unwrap();

    let mut command = serve(&["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    command.arg("--data").arg(&data).stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    let (addr, ready) = ("127.0.0.1:0".parse().unwrap(), String::new());
    let mut process = Process {
        child,
        addr,
        http: None,
        ready,
    };
    eventually("its socket is open", || told(&["status"]).status.success());
    process.signal(Signal::HUP);
    assert!(told(&["status"]).status.success());
    process.signal(Signal::TERM);
    assert!(process.child.wait().unwrap().success());
    let mut stdout = String::new();
    process
        .child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut stdout)
        .unwrap();
    assert_eq!(stdout, "", "it never served");
    assert!(!data.join("admin.sock").exists());
}

/// Nobody writes to the pipe that is its configuration.
#[test]
fn a_node_that_still_reads_its_configuration_heeds_signals() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("zoo.cfg");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let mut child = serve(&[pipe.to_str().unwrap()]).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    eventually("it catches SIGTERM", || {
        let status = std::fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        caught & (1 << (Signal::TERM.as_raw() - 1)) != 0
    });
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}
