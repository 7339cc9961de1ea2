//! Four-letter words: which are allowed, and that the numbers in the answers are true. Their shapes
//! are compared with ZooKeeper's in `shapes.rs`.
#![allow(clippy::disallowed_methods)] // Sockets of tests.

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};

use common::asked::{any_port, get as get_http, said, word};
use common::{
    Client, Running, children, create, create_as, eventually, exists, get, set, set_watches,
};
use innkeeper_proto::frame::FourLetterWord;
use innkeeper_proto::request::Request;

/// The build time that these nodes report: `date -u -d @1795241491`.
const BUILT_AT_S: u64 = 1_795_241_491;

fn open() -> Running {
    Running::start_with(|settings| {
        settings.admin.words = FourLetterWord::ALL.to_vec();
        settings.admin.built_at_s = BUILT_AT_S;
    })
}

/// The metrics in `mntr`, without the prefix.
fn mntr(server: &Running) -> BTreeMap<String, String> {
    let text = word(server.addr, "mntr");
    let pairs = text.lines().map(|line| line.split_once('\t').unwrap());
    pairs
        .map(|(key, value)| {
            let key = key.strip_prefix("zk_").unwrap();
            (key.to_owned(), value.to_owned())
        })
        .collect()
}

fn number(stats: &BTreeMap<String, String>, key: &str) -> i64 {
    let value = stats.get(key).unwrap_or_else(|| panic!("no {key}"));
    value.parse().unwrap_or_else(|_| panic!("{key} is {value}"))
}

/// The line of `cons` of the one client that has a session.
fn only_client(server: &Running) -> BTreeMap<String, String> {
    let text = word(server.addr, "cons");
    let mut lines = text.lines().filter(|line| line.contains(",sid="));
    let line = lines.next().unwrap_or_else(|| panic!("nobody: {text}"));
    assert!(lines.next().is_none(), "{text}");
    let (_, fields) = line.split_once('(').unwrap();
    let fields = fields.strip_suffix(')').unwrap().split(',');
    fields
        .map(|field| {
            let (key, value) = field.split_once('=').unwrap();
            (key.to_owned(), value.to_owned())
        })
        .collect()
}

#[test]
fn the_whitelist_is_zookeepers() {
    let closed = Running::start_with(|settings| settings.admin.words = Vec::new());
    assert!(word(closed.addr, "srvr").starts_with("Zookeeper version: 3.9.5-innkeeper-"));
    for refused in FourLetterWord::ALL {
        if *refused != FourLetterWord::Srvr {
            let sentence = format!(
                "{} is not executed because it is not in the whitelist.\n",
                refused.as_str()
            );
            assert_eq!(word(closed.addr, refused.as_str()), sentence);
        }
    }
    let read_only = Running::start_with(|settings| {
        settings.admin.words = vec![FourLetterWord::Ruok];
        settings.server.read_only_mode = true;
    });
    assert_eq!(word(read_only.addr, "isro"), "rw");
    assert_eq!(word(read_only.addr, "ruok"), "imok");
    assert!(word(read_only.addr, "stat").contains("whitelist"));
}

/// How github.com/go-zookeeper/zk reads the first lines of `srvr`, and how Go's `time.Parse` reads
/// the date in them: `01/02/2006 15:04 MST`. Older exporters read them alike.
#[test]
fn the_go_clients_parser_takes_srvr() {
    let server = open();
    for asked in ["srvr", "stat"] {
        let text = word(server.addr, asked);
        let first = text.lines().next().unwrap();
        let rest = first.strip_prefix("Zookeeper version: ").expect(first);
        let (version, date) = rest.split_once(", built on ").expect(first);
        let is_version = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        assert!(version.chars().all(is_version), "{first}");
        let pattern = "dd/dd/dddd dd:dd GMT";
        let digits = date.replace(|c: char| c.is_ascii_digit(), "d");
        assert_eq!(digits, pattern, "{first}");
        assert_eq!(date, "11/21/2026 06:11 GMT");
    }
    let text = word(server.addr, "srvr");
    let after: Vec<_> = text.lines().skip(1).collect();
    for (line, begins) in after.iter().zip([
        "Latency min/avg/max: ",
        "Received: ",
        "Sent: ",
        "Connections: ",
        "Outstanding: ",
        "Zxid: 0x",
        "Mode: standalone",
        "Node count: ",
    ]) {
        assert!(line.starts_with(begins), "{text}");
    }
}

/// As `conf` of a real ZooKeeper: a server alone has no number, even if there is a `myid`.
#[test]
fn conf_tells_a_number_only_of_an_ensembles_member() {
    let any = [
        (None, "serverId=0"),
        (Some(7), "serverId=7"),
        (Some(-1001), "serverId=-1001"),
    ];
    for (number, said) in any {
        let server = Running::start_with(|settings| {
            settings.admin.words = FourLetterWord::ALL.to_vec();
            settings.server.server_number = number;
        });
        let conf = word(server.addr, "conf");
        assert!(conf.lines().any(|line| line == said), "{conf}");
    }
}

#[test]
fn the_trace_mask_is_kept_and_may_come_in_pieces() {
    let server = open();
    assert_eq!(word(server.addr, "gtmk"), "306");
    assert_eq!(said(server.addr, b"stmk\0\0\0\0\0\0\x01\x02"), "258");
    assert_eq!(word(server.addr, "gtmk"), "258");
    let mut client = Client::open(server.addr);
    for piece in [&b"stmk\xff\xff"[..], b"\xff\xff\xff\xff", b"\xff\xfe"] {
        client.stream.write_all(piece).unwrap();
    }
    let mut answer = String::new();
    client.stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "-2");
    assert_eq!(word(server.addr, "gtmk"), "-2");
}

#[test]
fn a_connection_is_counted_as_it_asks() {
    let server = open();
    let mut client = server.client();
    client.must(create("/a", b"1"));
    client.must(set("/a", b"2"));
    let zxid = client.must(get("/a", false)).zxid;
    let shown = only_client(&server);
    assert_eq!(
        (&*shown["recved"], &*shown["sent"]),
        ("4", "4"),
        "{shown:?}"
    );
    assert_eq!((&*shown["queued"], &*shown["lop"]), ("0", "GETD"));
    assert_eq!((&*shown["lcxid"], &*shown["to"]), ("0x3", "30000"));
    assert_eq!(shown["lzxid"], format!("{zxid:#x}"));
    assert_eq!(shown["sid"], format!("{:#x}", client.connected.session_id));
    // A ping is the last operation, and not the last cxid.
    client.send_as(innkeeper_proto::xid::PING, &Request::Ping);
    client.answer();
    let shown = only_client(&server);
    assert_eq!((&*shown["lop"], &*shown["lcxid"]), ("PING", "0x3"));
    assert_eq!(word(server.addr, "crst"), "Connection stats reset.\n");
    let shown = only_client(&server);
    assert_eq!((&*shown["recved"], &*shown["lop"]), ("0", "NA"));
    assert_eq!((shown.get("lcxid"), &*shown["maxlat"]), (None, "0"));
    let session = shown["sid"].clone();
    let dump = word(server.addr, "dump");
    assert!(dump.contains(&format!("\t{session}\n")), "{dump}");
    assert!(dump.contains(&format!(" sessionId: {session}\n")), "{dump}");
    client.must(create_as("/e", b"", 1));
    let dump = word(server.addr, "dump");
    assert!(
        dump.contains(&format!("Ephemerals (1):\n{session}:\n\t/e\n")),
        "{dump}"
    );
}

#[test]
fn the_figures_are_true() {
    let server = open();
    let before = mntr(&server);
    let mut client = server.client();
    client.must(create("/top", b"12345"));
    client.must(create_as("/top/e", b"", 1));
    client.must(get("/top", true));
    client.must(exists("/top", true));
    client.must(children("/top", true));
    let mut other = server.client();
    other.must(get("/top", true));
    let now = mntr(&server);
    let grown = |key: &str| number(&now, key) - number(&before, key);
    assert_eq!(grown("znode_count"), 2);
    assert_eq!(grown("ephemerals_count"), 1);
    assert_eq!(
        grown("approximate_data_size"),
        ("/top".len() + 5 + "/top/e".len()) as i64
    );
    assert_eq!(number(&now, "watch_count"), 3);
    assert_eq!(number(&now, "global_sessions"), 2);
    assert_eq!(number(&now, "num_alive_connections"), 3);
    assert_eq!(number(&now, "connection_request_count"), 2);
    // Two sessions and two creates; four reads.
    assert_eq!(number(&now, "cnt_updatelatency"), 4);
    assert_eq!(number(&now, "cnt_readlatency"), 4);
    assert_eq!(number(&now, "cnt_top_write_per_namespace"), 2);
    assert_eq!(number(&now, "cnt_top_read_per_namespace"), 4);
    assert!(number(&now, "sum_top_read_per_namespace") >= 4 * 68);
    assert!(number(&now, "cnt_fsynctime") > 0);
    assert!(grown("bytes_received_count") > 0 && grown("response_bytes") > 0);
    assert!(number(&now, "open_file_descriptor_count") > 3);
    assert!(number(&now, "max_client_response_size") > number(&now, "min_client_response_size"));

    client.send(&[set("/top", b"1")]);
    // The event comes before the reply.
    assert_eq!(client.answer().event().1, "/top");
    assert_eq!(client.answer().err, innkeeper_proto::ErrorCode::Ok);
    assert_eq!(other.answer().event().1, "/top");
    let now = mntr(&server);
    assert_eq!(number(&now, "cnt_node_changed_watch_count"), 1);
    assert_eq!(number(&now, "sum_node_changed_watch_count"), 2);
    assert!(number(&now, "watch_bytes") > 0);

    assert_eq!(word(server.addr, "srst"), "Server stats reset.\n");
    let now = mntr(&server);
    assert_eq!(number(&now, "cnt_updatelatency"), 0);
    assert_eq!(number(&now, "cnt_top_write_per_namespace"), 0);
    assert_eq!(number(&now, "watch_bytes"), 0);
}

#[test]
fn an_end_is_counted_by_its_kind() {
    let server = Running::start_with(|settings| {
        settings.admin.words = FourLetterWord::ALL.to_vec();
        settings.server.handshake_timeout_ms = 50;
    });
    drop(server.client());
    let mut too_long = Client::open(server.addr);
    too_long.stream.write_all(&[0x7f, 0, 0, 0]).unwrap();
    assert!(too_long.is_closed());
    let mut silent = Client::open(server.addr);
    assert!(silent.is_closed());
    eventually("each end is counted", || {
        let now = mntr(&server);
        number(&now, "connection_drop_count") == 1
            && number(&now, "large_requests_rejected") == 1
            && number(&now, "sessionless_connections_expired") == 1
    });
}

#[test]
fn watches_are_listed_by_path_and_by_session() {
    let server = open();
    let (mut one, mut other) = (server.client(), server.client());
    one.must(create("/a", b""));
    one.must(get("/a", true));
    other.must(get("/a", true));
    other.ask(exists("/b", true));
    let id = |client: &Client| format!("{:#x}", client.connected.session_id);
    let (mut first, mut second) = (id(&one), id(&other));
    assert_eq!(
        word(server.addr, "wchs"),
        "2 connections watching 2 paths\nTotal watches:3\n"
    );
    let by_session = word(server.addr, "wchc");
    assert!(
        by_session.contains(&format!("{first}\n\t/a\n")),
        "{by_session}"
    );
    assert!(
        by_session.contains(&format!("{second}\n\t/a\n\t/b\n")),
        "{by_session}"
    );
    let of_b = format!("/b\n\t{second}\n\n");
    if one.connected.session_id as u64 > other.connected.session_id as u64 {
        std::mem::swap(&mut first, &mut second);
    }
    assert_eq!(
        word(server.addr, "wchp"),
        format!("/a\n\t{first}\n\t{second}\n{of_b}")
    );
}

/// `an_answer_that_nobody_reads_is_not_made` counts the pieces that are made for such a client;
/// this test looks at the whole node.
#[test]
fn long_answers_are_whole_and_nobody_waits_for_a_client_that_does_not_read_its_own() {
    const WATCHES: usize = 100_000;
    let server = Running::start_with(|settings| {
        settings.admin.words = FourLetterWord::ALL.to_vec();
        settings.admin.http = Some(any_port());
    });
    let http = server.node.as_ref().unwrap().http().unwrap();
    let mut client = server.client();
    let path = |number: usize| format!("/{}-{number}", "long".repeat(40));
    for first in (0..WATCHES).step_by(2_500) {
        let paths: Vec<_> = (first..first + 2_500).map(path).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        client.must(set_watches(0, &[], &paths, &[]));
    }
    let mut stuck: Vec<Client> = Vec::new();
    for asked in ["wchp", "wchc", "cons", "dump"].repeat(4) {
        let mut one = Client::open(server.addr);
        one.stream.write_all(asked.as_bytes()).unwrap();
        stuck.push(one);
    }
    for asked in ["watches", "watches_by_path"].repeat(4) {
        let mut one = Client::open(http);
        let request = format!("GET /commands/{asked} HTTP/1.1\r\nHost: test\r\n\r\n");
        one.stream.write_all(request.as_bytes()).unwrap();
        stuck.push(one);
    }
    let mut other = server.client();
    for number in 0..100 {
        other.must(create(&format!("/{number}"), b""));
    }
    assert_eq!(word(server.addr, "ruok"), "imok");

    let mut paths: Vec<_> = (0..WATCHES).map(path).collect();
    paths.sort();
    let session = client.connected.session_id;
    let id = format!("{session:#x}");
    let by_path = word(server.addr, "wchp");
    let lines: Vec<_> = by_path.lines().collect();
    assert_eq!(lines.len(), 2 * WATCHES + 1);
    let mut shown: Vec<_> = lines[..2 * WATCHES].chunks(2).collect();
    assert!(shown.iter().all(|pair| pair[1].trim_start() == id));
    shown.sort();
    assert!(shown.iter().map(|pair| pair[0]).eq(paths.iter()));
    let by_session = word(server.addr, "wchc");
    let mut lines = by_session.lines();
    assert_eq!(lines.next(), Some(&*id));
    let mut shown: Vec<_> = lines.filter_map(|line| line.strip_prefix('\t')).collect();
    shown.sort();
    assert!(shown.into_iter().eq(paths.iter()));

    let watches = get_http(http, "/commands/watches").json();
    let shown = &watches["session_id_to_watched_paths"][session.to_string()];
    let mut shown: Vec<_> = shown.as_array().unwrap().iter().collect();
    shown.sort_by_key(|path| path.as_str());
    assert!(shown.into_iter().eq(paths.iter()));
    let watches = get_http(http, "/commands/watches_by_path").json();
    let shown = watches["path_to_session_ids"].as_object().unwrap();
    assert!(shown.keys().eq(paths.iter()));
    assert!(
        shown
            .values()
            .all(|sessions| *sessions == serde_json::json!([session]))
    );
    drop(stuck);
    other.must(create("/last", b""));
}

#[test]
fn hashes_are_kept_at_the_same_zxids_everywhere() {
    let server = open();
    let mut client = server.client();
    client.must(create("/a", b""));
    assert_eq!(word(server.addr, "hash"), "");
    for _ in 0..300 {
        client.must(set("/a", b""));
    }
    let hash = word(server.addr, "hash");
    let zxids: Vec<_> = hash
        .lines()
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert_eq!(zxids, ["80", "100"], "{hash}");
}
