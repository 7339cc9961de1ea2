//! Files of a crate import one way: no circle in the server, [`CIRCLES_MAX`] in the whole house, and
//! inside the server from the connections down to the settings.
//!
//! 1. Each `crate::…` and `super::…` in a file, its unit tests left out, is an import of the file
//!    that the path leads to. What a file takes from its own child modules is none: they are parts
//!    of it.
//! 2. Circles are the strongly connected parts of that graph with more than one file.
//! 3. Each folder and file of the server stands in [`TIERS`]; it imports of its own tier and below.
//! 4. Operators' answers are made on threads that no client needs ([`CLIENTS_THREADS`]), and
//!    nothing of the server but `inspect` and what it answers is open to them.
//!
//! 5. What the server is told at its start ([`TOLD_AT_START`]) names nothing of guests, of their
//!    compiler, of HTTP or of metrics ([`FOREIGN_TO_THE_SERVER`]): other crates have these settings.
//!
//! **Invariant:** no client waits for an operator's question: no code of the operators' surface
//! runs on a thread that clients need. (test: `operators_take_no_thread_that_clients_need`)
//!
//! **Invariant:** files import one way, too: in the server from the connections down to the
//! settings. (tests: `the_server_has_no_circle_and_the_house_few`,
//! `the_servers_rooms_import_downwards`)
//!
//! **Invariant:** the server's settings name no guest and no HTTP. (test:
//! `the_server_is_told_nothing_of_guests_and_http`)

mod support;

use std::collections::{BTreeMap, BTreeSet};

/// The crates of the house, as folders from the top.
const CRATES: [&str; 12] = [
    "host/proto",
    "host/runtime",
    "host/tree",
    "host/auth",
    "host/raft",
    "host/sandbox",
    "host/server",
    "host/dispatch",
    "host/admin",
    "host/node",
    "host/cli",
    "examples/demo",
];

/// How many circles between files the house may have, all crates together.
const CIRCLES_MAX: usize = 3;

/// The server's rooms, from the top down. A room imports of its own tier and of lower ones.
const TIERS: &[&[&str]] = &[
    &["connections"],
    &["sessions", "tasks", "inspect", "copies"],
    &["service"],
    &["replicated"],
    &[
        "authorization",
        "clients",
        "delivery",
        "expiry",
        "local_sessions",
        "quorum",
        "reports",
        "socket",
        "throttle",
    ],
    &[
        "addresses",
        "protocol",
        "settings",
        "stats",
        "four_letter_words",
    ],
];

/// Threads on which clients are served or their writes go on: nothing of the operators' surface
/// may run there.
const CLIENTS_THREADS: [&str; 3] = [
    "ThreadRole::Client",
    "ThreadRole::Raft",
    "ThreadRole::Fsync",
];

/// The server's rooms that hold what it is told at its start.
const TOLD_AT_START: [&str; 2] = ["addresses", "settings"];

/// Parts of names, in small letters, that none of these rooms may use.
const FOREIGN_TO_THE_SERVER: [&str; 7] = [
    "admin", "compil", "guest", "http", "metric", "module", "wasm",
];

/// What each file imports, by names such as `delivery/fanout`.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// A crate's files: their names, and their text without comments and unit tests.
fn files(folder: &str) -> BTreeMap<String, String> {
    let source = format!("{folder}/src/");
    let of_crate = support::files().into_iter().filter_map(|path| {
        let name = path.strip_prefix(&source)?.strip_suffix(".rs")?;
        let name = name.strip_suffix("/mod").unwrap_or(name).to_owned();
        Some((name, code_of(&support::read(&path))))
    });
    let found: BTreeMap<_, _> = of_crate.collect();
    assert!(!found.is_empty(), "{folder} has no sources");
    found
}

/// A file's code: without comments, and without its unit tests, which stand last.
fn code_of(text: &str) -> String {
    let lines = text.lines().map(|line| match line.find("//") {
        Some(at) => &line[..at],
        None => line,
    });
    let code = lines.collect::<Vec<_>>().join("\n");
    match code.find("#[cfg(test)]\nmod tests {") {
        Some(at) => code[..at].to_owned(),
        None => code,
    }
}

/// The paths that begin at `crate` or `super` in a text, groups in braces taken apart.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            let is_inner = before.is_some_and(|it| it.is_alphanumeric() || it == '_' || it == ':');
            if !is_inner {
                expand(&code[at..], Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Takes one path from the beginning of a text, with all branches of its groups; gives what
/// follows it.
fn expand<'a>(text: &'a str, mut prefix: Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let mut rest = text.trim_start();
    loop {
        let end = rest
            .find(|it: char| !it.is_alphanumeric() && it != '_')
            .unwrap_or(rest.len());
        if end > 0 {
            prefix.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
        match rest.strip_prefix("::") {
            Some(after) => rest = after,
            None => break,
        }
        if let Some(mut group) = rest.strip_prefix('{') {
            loop {
                group = expand(group, prefix.clone(), found).trim_start();
                // `X as Y` and `*` name nothing more.
                let end = group.find([',', '}']).unwrap_or(group.len());
                let is_next = group[end..].starts_with(',');
                group = group.get(end + 1..).unwrap_or_default();
                if !is_next || group.trim_start().starts_with('}') {
                    if is_next {
                        group = group.trim_start().get(1..).unwrap_or_default();
                    }
                    return group;
                }
            }
        }
    }
    found.push(prefix);
    rest
}

/// The file that a path leads to from a file; `None` if that is the crate itself.
fn target(path: &[String], from: &str, files: &BTreeMap<String, String>) -> Option<String> {
    let mut at: Vec<&str> = match from {
        "lib" | "main" => Vec::new(),
        name => name.split('/').collect(),
    };
    for part in path {
        match part.as_str() {
            "crate" => at.clear(),
            "super" => {
                at.pop();
            }
            part => {
                let next = [at.clone(), vec![part]].concat();
                if !files.contains_key(&next.join("/")) {
                    break;
                }
                at = next;
            }
        }
    }
    (!at.is_empty()).then(|| at.join("/"))
}

fn imports_of(files: &BTreeMap<String, String>) -> Imports {
    let of_one = |(name, code): (&String, &String)| {
        let all = paths(code).into_iter();
        let all = all.filter_map(|path| target(&path, name, files));
        (name.clone(), all.filter(|it| it != name).collect())
    };
    files.iter().map(of_one).collect()
}

/// All files that one imports, directly or through others.
fn reached<'a>(imports: &'a Imports, from: &str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        for next in imports.get(name).into_iter().flatten() {
            if seen.insert(next.as_str()) {
                open.push(next);
            }
        }
    }
    seen
}

/// The circles, each as its files.
fn circles(imports: &Imports) -> BTreeSet<BTreeSet<String>> {
    let reached: BTreeMap<_, _> = imports
        .keys()
        .map(|name| (name.as_str(), reached(imports, name)))
        .collect();
    let circle = |name: &&str| {
        let back = reached[*name].iter().filter(|other| {
            let of_other = reached.get(*other);
            of_other.is_some_and(|of_other| of_other.contains(*name))
        });
        back.map(|other| (*other).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let all = reached.keys().map(circle);
    all.filter(|circle| circle.len() > 1).collect()
}

fn tier_of(file: &str) -> Option<usize> {
    let room = file.split('/').next().unwrap_or(file);
    TIERS.iter().position(|tier| tier.contains(&room))
}

/// What is wrong with the server's imports, a sentence each.
fn upward(imports: &Imports) -> Vec<String> {
    let mut wrong = Vec::new();
    for (file, all) in imports.iter().filter(|(file, _)| *file != "lib") {
        let Some(tier) = tier_of(file) else {
            wrong.push(format!(
                "host/server/src/{file}.rs has no tier: say it in TIERS"
            ));
            continue;
        };
        for other in all {
            if tier_of(other).is_some_and(|below| below < tier) {
                wrong.push(format!("host/server/src/{file}.rs must not import {other}"));
            }
        }
    }
    wrong
}

/// Where the operators' surface would take a thread that clients need.
fn on_clients_threads(files: &BTreeMap<String, String>) -> Vec<String> {
    let all = files.iter().flat_map(|(name, code)| {
        let taken = CLIENTS_THREADS.iter().filter(|role| code.contains(*role));
        taken.map(move |role| format!("host/admin/src/{name}.rs must not run anything as {role}"))
    });
    all.collect()
}

/// Where the server would be told of what it does not know.
fn told_of_others(files: &BTreeMap<String, String>) -> Vec<String> {
    let told = files.iter().filter(|(name, _)| {
        let room = name.split('/').next().unwrap_or(name);
        TOLD_AT_START.contains(&room)
    });
    let all = told.flat_map(|(name, code)| {
        let code = code.to_lowercase();
        let named = FOREIGN_TO_THE_SERVER
            .iter()
            .filter(move |part| code.contains(*part));
        named.map(move |part| {
            format!(
                "host/server/src/{name}.rs must not name `{part}`: another crate has that setting"
            )
        })
    });
    all.collect()
}

#[test]
fn the_server_has_no_circle_and_the_house_few() {
    let mut all = Vec::new();
    for folder in CRATES {
        let of_crate = circles(&imports_of(&files(folder)));
        if folder == "host/server" {
            assert!(of_crate.is_empty(), "host/server: {of_crate:?}");
        }
        all.extend(
            of_crate
                .into_iter()
                .map(|circle| format!("{folder}: {circle:?}")),
        );
    }
    assert!(all.len() <= CIRCLES_MAX, "{}", all.join("\n"));
}

#[test]
fn the_servers_rooms_import_downwards() {
    let wrong = upward(&imports_of(&files("host/server")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn operators_take_no_thread_that_clients_need() {
    let wrong = on_clients_threads(&files("host/admin"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_server_is_told_nothing_of_guests_and_http() {
    let files = files("host/server");
    assert!(TOLD_AT_START.iter().all(|room| files.contains_key(*room)));
    let wrong = told_of_others(&files);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A rule that cannot be broken in the test's eyes would guard nothing.
#[test]
fn each_rule_can_be_broken() {
    let texts = |all: &[(&str, &str)]| -> BTreeMap<String, String> {
        let all = all.iter();
        all.map(|(name, text)| ((*name).to_owned(), code_of(text)))
            .collect()
    };
    let sound = [
        ("service", "use crate::delivery::fanout::Fanout;"),
        ("delivery", "pub mod fanout;"),
        ("delivery/fanout", "use super::outbox::{Item, Outbox};"),
        ("delivery/outbox", "// use crate::service::Service;\n"),
    ];
    let imports = imports_of(&texts(&sound));
    assert!(circles(&imports).is_empty() && upward(&imports).is_empty());
    assert!(imports["delivery/fanout"].contains("delivery/outbox"));

    for text in [
        "use crate::service::Service;",
        "use crate::{delivery::{fanout::Fanout, outbox}, service::Service};",
        "fn f(s: &crate::service::Service) {}",
        "use super::super::service::{self, Service as It};",
    ] {
        let mut broken = sound;
        broken[3].1 = text;
        let imports = imports_of(&texts(&broken));
        assert_eq!(circles(&imports).len(), 1, "{text}");
        let wrong = upward(&imports);
        assert_eq!(wrong.len(), 1, "{text}: {wrong:?}");
    }
    let tests_only = "\n#[cfg(test)]\nmod tests {\n    use crate::service::Service;\n}\n";
    let mut in_tests = sound;
    in_tests[3].1 = tests_only;
    assert!(circles(&imports_of(&texts(&in_tests))).is_empty());

    let new = texts(&[("cellar", "")]);
    assert_eq!(upward(&imports_of(&new)).len(), 1);
    let taken = texts(&[("http", "runtime.spawn(ThreadRole::Client, look)")]);
    assert_eq!(on_clients_threads(&taken).len(), 1);
    for (room, code) in [
        ("settings", "pub http: Option<SocketAddr>"),
        ("settings/limits", "pub struct CompileSettings;"),
        ("addresses", "pub metrics: Option<SocketAddr>"),
    ] {
        assert_eq!(told_of_others(&texts(&[(room, code)])).len(), 1, "{code}");
    }
    let elsewhere = texts(&[("stats", "http_evicted"), ("settings", "// no guest\ntick")]);
    assert!(told_of_others(&elsewhere).is_empty());
}
