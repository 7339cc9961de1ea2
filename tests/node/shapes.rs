//! Every four-letter word, every admin command and every metric has the shape that a real
//! ZooKeeper 3.9.5 gives it: the same lines, keys, types and labels, whatever the numbers.
//!
//! The shapes are in `tests/admin/shapes.txt`. This same file took them from a real server: `make
//! admin-shapes` starts one server with each metrics provider and runs the test with
//! `INNKEEPER_SHAPES_OF` set to their addresses, which writes the shapes instead of comparing them.
#![allow(clippy::disallowed_methods)] // Files and sockets of tests.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use common::asked::{any_port, get as http_get, said, word};
use common::{Client, Running, children, create, create_as, exists, exposition, get, set};
use innkeeper_proto::frame::FourLetterWord;
use serde_json::Value;

/// The addresses to record from: the client port and the admin port of a server with the default
/// metrics provider, the client port and the metrics port of one with Prometheus's.
const RECORD: &str = "INNKEEPER_SHAPES_OF";

/// Commands whose answers have content; the others are asked in other tests.
const COMMANDS: &[&str] = &[
    "configuration",
    "connections",
    "connection_stat_reset",
    "dirs",
    "dump",
    "environment",
    "get_trace_mask",
    "hash",
    "initial_configuration",
    "is_read_only",
    "last_snapshot",
    "leader",
    "monitor",
    "observer_connection_stat_reset",
    "observers",
    "restore",
    "ruok",
    "server_stats",
    "set_trace_mask",
    "set_trace_mask?traceMask=5",
    "set_trace_mask?traceMask=x",
    "snapshot",
    "stat_reset",
    "stats",
    "system_properties",
    "voting_view",
    "watch_summary",
    "watches",
    "watches_by_path",
    "zabstate",
    // Aliases, and a name that is no command.
    "conf",
    "config",
    "cons",
    "crst",
    "env",
    "envi",
    "gtmk",
    "icfg",
    "isro",
    "lsnp",
    "lead",
    "mntr",
    "orst",
    "obsr",
    "rest",
    "srvr",
    "stmk",
    "snap",
    "srst",
    "stat",
    "sysp",
    "wchs",
    "wchc",
    "wchp",
    "nosuch",
    "ruok/",
];

/// Lines that Innkeeper shows and a ZooKeeper that runs alone does not.
const OWN: &[&str] = &[
    "innkeeper_",
    "last_zxid",
    "watched_paths",
    "min_client_session_timeout",
    "max_client_session_timeout",
    "quorum_size",
    "leader_uptime",
];

/// Lines that only a Java program has.
const JAVA: &[&str] = &["java.", "jvm_", "_jvm_", "sun.", "jdk.", "awt.", "native."];

fn is_own(line: &str) -> bool {
    OWN.iter().any(|own| line.contains(own))
}

fn is_java(line: &str) -> bool {
    JAVA.iter().any(|java| line.contains(java))
}

/// Does something of every kind that the answers report. The client stays connected.
fn act(addr: SocketAddr) -> Client {
    let mut client = Client::connect(addr, 10_000);
    client.must(create("/a", b"1"));
    client.must(create("/a/b", b"2"));
    client.must(create_as("/a/e", b"3", 1));
    // Some zxids with a digest.
    for _ in 0..260 {
        client.must(set("/a/b", b"4"));
    }
    client.must(get("/a/b", true));
    client.must(children("/a", true));
    client.ask(exists("/a/none", true));
    client
}

/// Replaces numbers by `N`, hexadecimal ones by `H`, versions by `V`, folders by `P`, times by `D`.
fn shape_of_line(line: &str) -> String {
    if let Some((before, _)) = line.split_once(" expire at ") {
        return format!("{} expire at D:", shape_of_line(before));
    }
    for version in ["version: ", "version=", "version\t"] {
        if let Some((before, _)) = line.split_once(version) {
            return format!("{before}{version}V");
        }
    }
    for folder in ["dataDir=", "dataLogDir="] {
        if line.starts_with(folder) {
            return format!("{folder}P");
        }
    }
    let (mut shape, mut rest) = (String::new(), line);
    while let Some(first) = rest.chars().next() {
        let hex = rest.strip_prefix("0x").map(|digits| {
            let len = digits.find(|c: char| !c.is_ascii_hexdigit());
            2 + len.unwrap_or(digits.len())
        });
        let len = if let Some(len) = hex {
            shape.push('H');
            len
        } else if first.is_ascii_digit() {
            if shape.ends_with('-') {
                shape.pop();
            }
            shape.push('N');
            rest.find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(rest.len())
        } else {
            shape.push(first);
            first.len_utf8()
        };
        rest = &rest[len..];
    }
    shape
}

/// The shape of each line, once; in byte order where ZooKeeper's order is that of a hash table.
fn shape_of_text(text: &str, sorted: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        // Between quotes, with invisible characters escaped as in JSON.
        let line = Value::from(shape_of_line(line)).to_string();
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    if sorted {
        lines.sort();
    }
    lines
}

/// The key and the type of each line of `mntr` and `envi`.
fn shape_of_pairs(text: &str, separator: &str) -> Vec<String> {
    let pairs = text.lines().filter_map(|line| line.split_once(separator));
    let mut lines: Vec<_> = pairs
        .map(|(key, value)| {
            let kind = if value.parse::<i64>().is_ok() {
                "int"
            } else if value.parse::<f64>().is_ok() {
                "float"
            } else {
                "text"
            };
            // A label's value may be any name.
            format!("{key} {kind}")
        })
        .filter(|line| !is_java(line))
        .collect();
    lines.sort();
    lines
}

fn shape_of_json(at: &str, value: &Value, lines: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if map.is_empty() {
                lines.insert(format!("{at} {{}}"));
            }
            for (key, value) in map {
                let is_name = key.parse::<i64>().is_err() && !key.starts_with('/');
                let key = if is_name { key } else { "*" };
                shape_of_json(&format!("{at}.{key}"), value, lines);
            }
        }
        Value::Array(all) => {
            if all.is_empty() {
                lines.insert(format!("{at} []"));
            }
            for value in all {
                shape_of_json(&format!("{at}[]"), value, lines);
            }
        }
        Value::String(_) => {
            lines.insert(format!("{at} text"));
        }
        Value::Number(number) if number.is_f64() => {
            lines.insert(format!("{at} float"));
        }
        Value::Number(_) => {
            lines.insert(format!("{at} int"));
        }
        Value::Bool(_) => {
            lines.insert(format!("{at} bool"));
        }
        Value::Null => {
            lines.insert(format!("{at} null"));
        }
    }
}

type Shapes = BTreeMap<String, Vec<String>>;

fn words(addr: SocketAddr, shapes: &mut Shapes) {
    for asked in FourLetterWord::ALL {
        let name = asked.as_str();
        let lines = match asked {
            FourLetterWord::Stmk => shape_of_text(&said(addr, b"stmk\0\0\0\0\0\0\x01\x02"), false),
            FourLetterWord::Mntr => shape_of_pairs(&word(addr, name), "\t"),
            FourLetterWord::Envi => shape_of_pairs(&word(addr, name), "="),
            FourLetterWord::Cons | FourLetterWord::Wchc | FourLetterWord::Wchp => {
                shape_of_text(&word(addr, name), true)
            }
            _ => shape_of_text(&word(addr, name), false),
        };
        shapes.insert(format!("word {name}"), lines);
    }
}

fn commands(addr: SocketAddr, shapes: &mut Shapes) {
    for name in COMMANDS {
        let answer = http_get(addr, &format!("/commands/{name}"));
        let mut lines = BTreeSet::new();
        shape_of_json("", &answer.json(), &mut lines);
        if matches!(*name, "system_properties" | "sysp") {
            // The command line may be any.
            lines.retain(|line| line.starts_with(".command ") || line.starts_with(".error "));
        }
        // An expiry time that has just passed has no sessions any more.
        lines.remove(".expiry_time_to_session_ids.* []");
        lines.retain(|line| !is_java(line));
        lines.insert(format!("{} {}", answer.status, answer.content_type));
        shapes.insert(format!("command {name}"), lines.into_iter().collect());
    }
    for path in ["/commands", "/commands/"] {
        let page = http_get(addr, path);
        let lines = page.body.lines().map(str::to_owned).collect();
        shapes.insert(format!("page {path}"), lines);
    }
}

fn metrics(addr: SocketAddr, shapes: &mut Shapes) {
    let answer = http_get(addr, "/metrics");
    assert_eq!(answer.status, 200);
    let mut lines = vec![format!("content {}", answer.content_type)];
    for (name, family) in exposition::parse(&answer.body) {
        let mut line = format!("{name} {}", family.kind);
        let mut kinds = BTreeSet::new();
        for (sample, labels, _) in &family.samples {
            let labels: Vec<_> = labels
                .iter()
                .map(|(label, value)| match label.as_str() {
                    "quantile" => format!("quantile={value}"),
                    label => label.to_owned(),
                })
                .collect();
            kinds.insert(format!("{}{{{}}}", &sample[name.len()..], labels.join(",")));
        }
        for kind in kinds {
            let _ = write!(line, " {kind}");
        }
        lines.push(line);
    }
    lines.retain(|line| !is_java(line));
    shapes.insert("metrics".to_owned(), lines);
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/admin/shapes.txt")
}

fn written(shapes: &Shapes) -> String {
    let head = "# What a real ZooKeeper 3.9.5 answers, without its numbers: made by `make \
                admin-shapes`, see tests/node/shapes.rs.\n";
    shapes
        .iter()
        .fold(head.to_owned(), |mut text, (name, lines)| {
            let _ = writeln!(text, "\n== {name}");
            for line in lines {
                let _ = writeln!(text, "{line}");
            }
            text
        })
}

fn read(text: &str) -> Shapes {
    let mut shapes = Shapes::new();
    let mut lines = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            lines = Some(shapes.entry(name.to_owned()).or_default());
        } else if let (Some(lines), false) = (&mut lines, line.is_empty()) {
            lines.push(line.to_owned());
        }
    }
    shapes
}

/// Whether lines that ZooKeeper does not have are allowed there.
fn may_have_more(section: &str) -> bool {
    section.contains("mntr") || section.contains("monitor") || section.starts_with("metrics")
}

#[test]
fn every_answer_has_the_shape_of_zookeepers() {
    let mut shapes = Shapes::new();
    if let Ok(recorded) = std::env::var(RECORD) {
        let addresses: Vec<SocketAddr> = recorded
            .split(',')
            .map(|address| address.parse().unwrap())
            .collect();
        let [plain, admin, prometheus, exposed] = addresses[..] else {
            panic!("{RECORD} names four addresses");
        };
        let clients = (act(plain), act(prometheus));
        words(plain, &mut shapes);
        commands(admin, &mut shapes);
        metrics(exposed, &mut shapes);
        let sampled = shape_of_pairs(&word(prometheus, "mntr"), "\t");
        shapes.insert("word mntr with Prometheus".to_owned(), sampled);
        drop(clients);
        std::fs::write(file(), written(&shapes)).unwrap();
        return;
    }
    let plain = Running::start_with(|settings| {
        settings.admin.words = FourLetterWord::ALL.to_vec();
        settings.admin.http = Some(any_port());
    });
    let prometheus = Running::start_with(|settings| {
        settings.admin.words = FourLetterWord::ALL.to_vec();
        settings.admin.metrics = Some(any_port());
    });
    let clients = (act(plain.addr), act(prometheus.addr));
    let admin = plain.node.as_ref().unwrap().http().unwrap();
    words(plain.addr, &mut shapes);
    commands(admin, &mut shapes);
    metrics(
        prometheus.node.as_ref().unwrap().metrics().unwrap(),
        &mut shapes,
    );
    let sampled = shape_of_pairs(&word(prometheus.addr, "mntr"), "\t");
    shapes.insert("word mntr with Prometheus".to_owned(), sampled);
    drop(clients);

    let expected = read(&std::fs::read_to_string(file()).unwrap());
    assert_eq!(
        expected.keys().collect::<Vec<_>>(),
        shapes.keys().collect::<Vec<_>>()
    );
    let mut wrong = String::new();
    for (section, expected) in &expected {
        let found = &shapes[section];
        for line in expected.iter().filter(|line| !found.contains(line)) {
            let _ = writeln!(wrong, "{section}: missing {line}");
        }
        for line in found.iter().filter(|line| !expected.contains(line)) {
            if !(may_have_more(section) && is_own(line)) {
                let _ = writeln!(wrong, "{section}: not ZooKeeper's: {line}");
            }
        }
        if !may_have_more(section) && wrong.is_empty() && expected != found {
            let _ = writeln!(wrong, "{section}: in another order: {found:#?}");
        }
    }
    // Metrics that ZooKeeper does not have follow Prometheus's rules.
    for line in &shapes["metrics"] {
        let mut words = line.split(' ');
        let (name, kind) = (words.next().unwrap(), words.next().unwrap());
        if !expected["metrics"].contains(line) && name != "content" {
            let is_total = name.ends_with("_total");
            if is_total != (kind == "counter") {
                let _ = writeln!(wrong, "metrics: {name} is a {kind}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
