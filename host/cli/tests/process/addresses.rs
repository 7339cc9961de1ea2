//! "Any address" is every address of both families, and a client that connects by IPv4 is shown
//! with its IPv4 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

use innkeeper_proto::request::{Create, Request};
use innkeeper_proto::{Acl, Perms};

use super::*;
use crate::common::asked;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The file beside the data folder that takes a process's stderr.
const LOG: &str = "stderr";

/// Fails with the cause; the rest of the test would fail with its consequences.
fn require_ipv6() {
    TcpListener::bind((V6, 0)).expect("this machine has no IPv6: run the test where it has");
}

/// A port that was free a moment ago, in both families.
fn free_port() -> u16 {
    let all = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)));
    all.unwrap().local_addr().unwrap().port()
}

/// A process with these lines as its `zoo.cfg`, and the folder with both.
fn configured(lines: &str, my_id: Option<u8>) -> (Process, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (config, data) = (folder.path().join("zoo.cfg"), folder.path().join("data"));
    std::fs::create_dir(&data).unwrap();
    if let Some(my_id) = my_id {
        std::fs::write(data.join("myid"), my_id.to_string()).unwrap();
    }
    let text = format!("tickTime=2000\ndataDir={}\n{lines}\n", data.display());
    std::fs::write(&config, text).unwrap();
    let mut command = serve(&[config.to_str().unwrap()]);
    command.env("INNKEEPER_LOG", "innkeeper_server=debug");
    command.stderr(std::fs::File::create(folder.path().join(LOG)).unwrap());
    (Process::ready(command), folder)
}

fn session_from(ip: IpAddr, port: u16) -> Client {
    Client::connect(SocketAddr::new(ip, port), 10_000)
}

/// The value of `http=` in the ready line.
fn http_of(process: &Process) -> SocketAddr {
    let word = process.ready.split_whitespace().nth(3).unwrap();
    word.strip_prefix("http=").unwrap().parse().unwrap()
}

/// A line of `server.N` takes its port from the spelling.
const SERVER_LINE: &str = "server.1=localhost:2888:3888;";

/// A process for each way to say "any address", with the spelling.
fn spelled() -> Vec<(String, (Process, tempfile::TempDir))> {
    let mut processes = Vec::new();
    for line in [
        "",
        "clientPortAddress=0.0.0.0",
        "clientPortAddress=0",
        "clientPortAddress=::",
        "clientPortAddress=[::]",
        "clientPortAddress=0:0:0:0:0:0:0:0",
        "clientPortAddress=::ffff:0.0.0.0",
    ] {
        let text = format!("clientPort=0\nadmin.enableServer=false\n{line}");
        processes.push((line.to_owned(), configured(&text, None)));
    }
    for host in ["", "0.0.0.0:", "[::]:"] {
        let port = free_port();
        let line = format!("{SERVER_LINE}{host}{port}");
        let text = format!("admin.enableServer=false\n{line}");
        let started = configured(&text, Some(1));
        assert_eq!(started.0.addr.port(), port, "{line}");
        processes.push((line, started));
    }
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = serve(&["--listen", listen, "--http", listen, "--data"]);
        command.arg(folder.path());
        processes.push((listen.to_owned(), (Process::ready(command), folder)));
    }
    processes
}

/// A session of a client that comes from this address to each of the processes.
fn reached_from(ip: IpAddr, processes: &[(String, (Process, tempfile::TempDir))]) {
    for (spelling, (process, _folder)) in processes {
        let mut client = session_from(ip, process.addr.port());
        client.must(get("/", false));
        assert_eq!(client.stream.peer_addr().unwrap().ip(), ip, "{spelling}");
    }
}

/// On a machine without IPv6, too.
#[test]
fn every_spelling_of_any_address_is_reached_by_ipv4() {
    reached_from(V4, &spelled());
}

#[test]
#[cfg_attr(without_ipv6, ignore = "this machine has no IPv6")]
fn every_spelling_of_any_address_means_both_families() {
    require_ipv6();
    let processes = spelled();
    for ip in [V4, V6] {
        reached_from(ip, &processes);
    }
    for (spelling, (process, _folder)) in &processes {
        if spelling.starts_with(SERVER_LINE) {
            continue;
        }
        // The address is shown as it was written.
        let six = spelling.contains(':') && !spelling.contains("0.0.0.0");
        assert_eq!(process.addr.is_ipv6(), six, "{spelling}: {}", process.ready);
    }
    // A single address opens a single address.
    let (alone, _folder) = configured(
        "clientPort=0\nclientPortAddress=127.0.0.1\nadmin.enableServer=false",
        None,
    );
    session_from(V4, alone.addr.port()).must(get("/", false));
    assert!(TcpStream::connect((V6, alone.addr.port())).is_err());
}

#[test]
#[cfg_attr(without_ipv6, ignore = "this machine has no IPv6")]
fn every_port_is_reached_in_both_families_and_ipv4_is_shown_as_ipv4() {
    require_ipv6();
    let metrics = free_port();
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let own = own.self_signed(&key).unwrap();
    let stores = tempfile::tempdir().unwrap();
    let store = stores.path().join("own.pem");
    std::fs::write(&store, key.serialize_pem() + &own.pem()).unwrap();
    let lines = format!(
        "clientPort=0\nsecureClientPort=0\nadmin.serverPort=0\n4lw.commands.whitelist=*\n\
         maxClientCnxns=3\nssl.clientAuth=none\nssl.keyStore.location={}\n\
         metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n\
         metricsProvider.httpPort={metrics}",
        store.display()
    );
    let (mut process, folder) = configured(&lines, None);
    let (port, http) = (process.addr.port(), http_of(&process).port());
    let conf = asked::word((V4, port).into(), "conf");
    let secure = conf
        .lines()
        .find_map(|line| line.strip_prefix("secureClientPort="));
    let secure: u16 = secure.unwrap().parse().unwrap();
    for ip in [V4, V6] {
        TcpStream::connect((ip, secure)).unwrap();
        assert_eq!(asked::get((ip, http).into(), "/commands/ruok").status, 200);
        let exposed = asked::get((ip, metrics).into(), "/metrics");
        assert!(
            exposed.body.contains("num_alive_connections"),
            "{exposed:?}"
        );
    }

    let mut four = session_from(V4, port);
    let mut six = session_from(V6, port);
    for (client, id) in [(&mut four, "127.0.0.1"), (&mut six, "0:0:0:0:0:0:0:1")] {
        let who = client.must(Request::WhoAmI).body;
        assert!(
            who.windows(id.len()).any(|part| part == id.as_bytes()),
            "{who:?}"
        );
    }
    // (entry, whether the IPv4 client matches it, whether the IPv6 client does), as in a ZooKeeper
    // 3.9.5 that listens on both families.
    for (number, (entry, of_four, of_six)) in [
        ("127.0.0.1", true, false),
        ("127.0.0.0/8", true, false),
        ("0.0.0.0/0", true, false),
        ("::1", false, true),
        ("0:0:0:0:0:0:0:1/128", false, true),
        ("::/0", false, true),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/acl{number}");
        let acl = vec![Acl {
            perms: Perms::ALL,
            scheme: "ip".into(),
            id: entry.into(),
        }];
        four.must(Request::Create(Create {
            acl,
            ..creation(&path, b"", 0)
        }));
        for (client, allowed) in [(&mut four, of_four), (&mut six, of_six)] {
            let expected = if allowed {
                ErrorCode::Ok
            } else {
                ErrorCode::NoAuth
            };
            assert_eq!(client.ask(get(&path, false)).err, expected, "{entry}");
        }
    }

    let shown_four = four.stream.local_addr().unwrap().to_string();
    let shown_six = format!(
        "[0:0:0:0:0:0:0:1]:{}",
        six.stream.local_addr().unwrap().port()
    );
    for word in ["cons", "stat", "dump"] {
        let text = asked::word((V6, port).into(), word);
        for shown in [&shown_four, &shown_six] {
            assert!(text.contains(&format!("/{shown}")), "{word}: {text}");
        }
        assert!(!text.contains("ffff"), "{word}: {text}");
    }
    let connections = asked::get((V6, http).into(), "/commands/connections").json();
    let shown: Vec<_> = connections["connections"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    for peer in [&shown_four, &shown_six] {
        let there = |one: &&serde_json::Value| one["remote_socket_address"] == **peer;
        assert!(shown.iter().any(there), "{connections}");
    }
    // Connections are counted by the address that is shown: the fourth connection of one address is
    // refused.
    let more: Vec<_> = (0..2).map(|_| session_from(V4, port)).collect();
    let fourth = Client::connect_as((V4, port).into(), &connect_request(10_000));
    assert!(fourth.is_none());
    session_from(V6, port).must(get("/", false));
    let exposed = asked::get((V4, metrics).into(), "/metrics").body;
    assert!(!exposed.contains("ffff"), "{exposed}");
    drop((more, four, six));

    process.signal(Signal::TERM);
    assert!(process.child.wait().unwrap().success());
    let log = std::fs::read_to_string(folder.path().join(LOG)).unwrap();
    let turned_away = log.lines().find(|line| line.contains("turned away"));
    assert!(turned_away.unwrap().contains("127.0.0.1"), "{log}");
    assert!(!log.contains("ffff"), "{log}");
}
