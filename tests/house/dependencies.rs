//! Dependencies run one way: `cli -> node -> admin -> dispatch -> server -> {raft, auth} -> tree ->
//! proto`, `dispatch -> sandbox -> tree`, and runtime below all but tree and proto. What a layer
//! must not know, it must not be able to name.
//!
//! - The server speaks ZooKeeper's protocol and knows no guest.
//! - Auth decides who somebody is without knowing a node.
//!
//! 1. `cargo metadata` says what each crate's manifest asks for, dev-dependencies included: a
//!    test that reaches upwards ties the layers together just as well.
//! 2. Each crate of the house stands in [`HOUSE`] with the crates of the house that it may use;
//!    one that does not stand there fails the test, so that the rule is extended by intent.
//! 3. Each foreign crate of [`RESERVED`] has its owners; nobody else may ask for it.
//!
//! **Invariant:** dependencies run one way, and each foreign engine has one owner. So apply can
//! be tested as a function, and an engine can be replaced behind one crate's seam. (tests:
//! `dependencies_run_one_way`, `guests_use_nothing_of_the_host`)

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use support::root;

/// The crates of the host's workspace, each with those of the house that it may depend on.
const HOUSE: &[(&str, &[&str])] = &[
    ("innkeeper-runtime", &[]),
    ("innkeeper-proto", &[]),
    ("innkeeper-tree", &["innkeeper-proto"]),
    // It decides who somebody is without knowing a node.
    (
        "innkeeper-auth",
        &["innkeeper-proto", "innkeeper-runtime", "innkeeper-tree"],
    ),
    (
        "innkeeper-raft",
        &["innkeeper-proto", "innkeeper-runtime", "innkeeper-tree"],
    ),
    // In the place of a crate that openraft asks for.
    ("base2histogram", &[]),
    (
        "innkeeper-sandbox",
        &["innkeeper-proto", "innkeeper-runtime", "innkeeper-tree"],
    ),
    // ZooKeeper's service: it knows no guest, no HTTP and no command line.
    (
        "innkeeper-server",
        &[
            "innkeeper-auth",
            "innkeeper-proto",
            "innkeeper-raft",
            "innkeeper-runtime",
            "innkeeper-tree",
        ],
    ),
    // What makes guests act.
    (
        "innkeeper-dispatch",
        &[
            "innkeeper-proto",
            "innkeeper-raft",
            "innkeeper-runtime",
            "innkeeper-sandbox",
            "innkeeper-server",
            "innkeeper-tree",
        ],
    ),
    // What operators look at.
    (
        "innkeeper-admin",
        &[
            "innkeeper-auth",
            "innkeeper-dispatch",
            "innkeeper-proto",
            "innkeeper-raft",
            "innkeeper-runtime",
            "innkeeper-sandbox",
            "innkeeper-server",
            "innkeeper-tree",
        ],
    ),
    (
        "innkeeper-node",
        &[
            "innkeeper-admin",
            "innkeeper-auth",
            "innkeeper-dispatch",
            "innkeeper-raft",
            "innkeeper-runtime",
            "innkeeper-sandbox",
            "innkeeper-server",
        ],
    ),
    // The binary, and the tests of what crosses crates.
    (
        "innkeeper-cli",
        &[
            "innkeeper-admin",
            "innkeeper-auth",
            // The demo's consumers are processes of the same binary.
            "innkeeper-consumer",
            "innkeeper-demo",
            "innkeeper-dispatch",
            "innkeeper-node",
            "innkeeper-proto",
            "innkeeper-raft",
            "innkeeper-runtime",
            "innkeeper-sandbox",
            "innkeeper-server",
            "innkeeper-tree",
        ],
    ),
    // A client and an operator: no part of the host.
    (
        "innkeeper-demo",
        &["innkeeper-consumer", "innkeeper-runtime"],
    ),
    // Another mind about the protocol: it takes only the names of numbers from proto, so that a
    // mistake of its decoders is not made twice.
    ("innkeeper-oracle", &["innkeeper-proto"]),
    // Any client in any language could stand in its place.
    ("innkeeper-consumer", &[]),
    // Measures the sandbox alone, and a server from outside.
    (
        "innkeeper-bench",
        &["innkeeper-proto", "innkeeper-sandbox", "innkeeper-tree"],
    ),
];

/// Foreign crates, each with the crates of the house that alone may ask for it.
const RESERVED: &[(&str, &[&str])] = &[
    ("openraft", &["innkeeper-raft"]),
    // openraft takes its runtime as a type; ours wraps these. openraft itself is not in them.
    ("openraft-rt", &["innkeeper-runtime"]),
    ("openraft-rt-sim", &["innkeeper-runtime"]),
    ("openraft-rt-tokio", &["innkeeper-runtime"]),
    ("redb", &["innkeeper-raft"]),
    ("wasmparser", &["innkeeper-sandbox"]),
    ("wasmtime", &["innkeeper-sandbox"]),
    ("wit-component", &["innkeeper-sandbox"]),
    ("wit-parser", &[]),
    // Hostile guests as text, in the tests alone.
    ("wat", &["innkeeper-sandbox", "innkeeper-cli"]),
    ("axum", &["innkeeper-admin"]),
    // The operators' surface serves it; the CLI and the demo are its clients.
    (
        "hyper",
        &["innkeeper-admin", "innkeeper-cli", "innkeeper-demo"],
    ),
    ("tokio-rustls", &["innkeeper-auth"]),
    ("x509-parser", &["innkeeper-auth"]),
    ("p12-keystore", &["innkeeper-auth"]),
    ("pkcs5", &["innkeeper-auth"]),
    // Chance and the system's calls come through `Runtime`; rustix serves the demo, too, which
    // signals its processes.
    ("getrandom", &["innkeeper-runtime"]),
    (
        "rustix",
        &[
            "innkeeper-admin",
            "innkeeper-runtime",
            "innkeeper-dispatch",
            "innkeeper-demo",
            "innkeeper-cli",
        ],
    ),
    (
        "tokio",
        &[
            "innkeeper-auth",
            "innkeeper-admin",
            "innkeeper-bench",
            "innkeeper-cli",
            "innkeeper-consumer",
            "innkeeper-demo",
            "innkeeper-dispatch",
            "innkeeper-raft",
            "innkeeper-runtime",
            "innkeeper-sandbox",
            "innkeeper-server",
        ],
    ),
];

/// What the tests of a crate may ask for although [`RESERVED`] keeps it from the crate: their
/// clients speak TLS.
const IN_TESTS: &[(&str, &str)] = &[("innkeeper-cli", "tokio-rustls")];

/// What a test asks for is marked by this before its name.
const DEV: &str = "dev ";

/// What each crate of a workspace asks for, by the real name of what it asks for.
fn manifests(workspace: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--offline",
            "--format-version",
            "1",
            "--no-deps",
        ])
        .arg("--manifest-path")
        .arg(workspace.join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let name_of = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let asked = package["dependencies"].as_array().expect("dependencies");
            let asked = asked.iter().map(|dependency| {
                let mark = match dependency["kind"].as_str() {
                    Some("dev") => DEV,
                    _ => "",
                };
                format!("{mark}{}", name_of(dependency))
            });
            (name_of(package), asked.collect())
        })
        .collect()
}

/// What is wrong with these manifests, a sentence each.
fn violations(manifests: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, asked) in manifests {
        let Some((_, allowed)) = HOUSE.iter().find(|(known, _)| known == name) else {
            wrong.push(format!(
                "{name} is new: say in HOUSE what of the house it may use"
            ));
            continue;
        };
        for marked in asked {
            let dependency = marked.strip_prefix(DEV).unwrap_or(marked);
            let is_of_tests = marked != dependency;
            let is_ours = manifests.contains_key(dependency) || dependency.starts_with("innkeeper");
            if is_ours && !allowed.contains(&dependency) {
                wrong.push(format!("{name} must not depend on {dependency}"));
            }
            let owners = RESERVED.iter().find(|(foreign, _)| *foreign == dependency);
            let tests_may = is_of_tests && IN_TESTS.contains(&(name.as_str(), dependency));
            if !tests_may && owners.is_some_and(|(_, owners)| !owners.contains(&name.as_str())) {
                wrong.push(format!("{name} must not use {dependency}"));
            }
        }
    }
    for (name, _) in HOUSE {
        if !manifests.contains_key(*name) {
            wrong.push(format!("{name} is gone: take it out of HOUSE"));
        }
    }
    wrong
}

#[test]
fn dependencies_run_one_way() {
    let wrong = violations(&manifests(&root()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A rule that cannot be broken in the test's eyes would guard nothing.
#[test]
fn each_rule_can_be_broken() {
    let sound = manifests(&root());
    for (name, dependency) in [
        ("innkeeper-proto", "innkeeper-tree"),
        ("innkeeper-tree", "innkeeper-runtime"),
        ("innkeeper-tree", "tokio"),
        ("innkeeper-tree", "redb"),
        ("innkeeper-tree", "openraft"),
        ("innkeeper-tree", "wasmtime"),
        ("innkeeper-raft", "innkeeper-sandbox"),
        ("innkeeper-raft", "wasmtime"),
        ("innkeeper-sandbox", "innkeeper-raft"),
        ("innkeeper-sandbox", "redb"),
        ("innkeeper-auth", "innkeeper-raft"),
        ("innkeeper-auth", "innkeeper-server"),
        ("innkeeper-server", "openraft"),
        ("innkeeper-server", "innkeeper-sandbox"),
        ("innkeeper-server", "innkeeper-dispatch"),
        ("innkeeper-server", "wasmtime"),
        ("innkeeper-server", "axum"),
        ("innkeeper-server", "hyper"),
        ("innkeeper-dispatch", "innkeeper-admin"),
        ("innkeeper-dispatch", "hyper"),
        ("innkeeper-admin", "innkeeper-node"),
        ("innkeeper-admin", "wasmtime"),
        ("innkeeper-node", "innkeeper-cli"),
        ("innkeeper-demo", "innkeeper-tree"),
        ("innkeeper-server", "tokio-rustls"),
        ("innkeeper-runtime", "innkeeper-proto"),
        ("innkeeper-consumer", "innkeeper-proto"),
        ("innkeeper-tree", "dev innkeeper-raft"),
        ("innkeeper-raft", "dev tokio-rustls"),
    ] {
        let mut broken = sound.clone();
        let asked = broken.get_mut(name).expect("a crate of the house");
        asked.insert(dependency.to_owned());
        let wrong = violations(&broken);
        assert_eq!(wrong.len(), 1, "{name} on {dependency}: {wrong:?}");
    }
}

/// Guests share the contract in wit/ with the host, and no code.
#[test]
fn guests_use_nothing_of_the_host() {
    let guests = manifests(&root().join("guests"));
    assert!(guests.len() > 5, "the guests' workspace: {guests:?}");
    let host = manifests(&root());
    for (name, asked) in guests {
        let shared: Vec<_> = asked
            .iter()
            .filter(|marked| host.contains_key(marked.trim_start_matches(DEV)))
            .collect();
        assert!(shared.is_empty(), "{name} depends on {shared:?}");
    }
}
