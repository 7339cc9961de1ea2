//! A hash map whose keys a client chooses has a random seed.
//!
//! FxHash has none: a client that knows the function can choose paths, names or addresses that
//! all fall into one place of the table, and each access then costs as much as the table is long.
//! So FxHash is allowed only for keys that the node itself gives out ([`GIVEN_BY_THE_NODE`]);
//! all other hash maps are hashbrown's or std's, which are seeded anew in each process.

use std::fs;
use std::path::{Path, PathBuf};

/// Types of keys that no client can choose.
const GIVEN_BY_THE_NODE: [&str; 5] = [
    // Numbers of watched paths.
    "PathId",
    // Drawn at random when a session is created; a client's own number is only looked up.
    "SessionId",
    "Ticket",
    // SHA-256: nobody can choose one.
    "Digest",
    // Numbers of connections, and hashes under a seed.
    "u64",
];

/// The uses of FxHash in a source text that are not allowed.
fn unseeded(source: &str) -> Vec<&str> {
    source
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//") && !line.starts_with("use "))
        .filter(|line| {
            let is_allowed = |after: &str| {
                let key = after.split([',', '>']).next().unwrap_or_default();
                GIVEN_BY_THE_NODE.contains(&key)
            };
            line.contains("FxHasher")
                || line.contains("FxBuildHasher")
                || ["FxHashMap<", "FxHashSet<"]
                    .iter()
                    .any(|name| line.split(name).skip(1).any(|after| !is_allowed(after)))
        })
        .collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn maps_keyed_by_what_clients_choose_are_seeded() {
    // This crate's manifest lies in host/cli.
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for entry in fs::read_dir(&host).expect("the folder host") {
        let folder = entry.expect("an entry").path().join("src");
        if folder.is_dir() {
            sources(&folder, &mut found);
        }
    }
    assert!(found.len() > 100, "only {} sources", found.len());
    let mut wrong = Vec::new();
    for path in found {
        let source = fs::read_to_string(&path).expect("a source");
        for line in unseeded(&source) {
            wrong.push(format!("{}: {line}", path.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "use hashbrown::HashMap, or say in GIVEN_BY_THE_NODE why no client can choose the keys: \
         {wrong:#?}"
    );
}

#[test]
fn each_way_of_leaving_the_seed_out_is_found() {
    for wrong in [
        "    ids: FxHashMap<Arc<str>, PathId>,",
        "    told: Mutex<FxHashSet<String>>,",
        "    per_ip: FxHashMap<IpAddr, usize>,",
        "    decisions: HashMap<Question, bool, FxBuildHasher>,",
        "    let mut hasher = FxHasher::default();",
    ] {
        assert_eq!(unseeded(wrong), [wrong.trim()]);
    }
    let right = "    sessions: FxHashMap<SessionId, Arc<Heartbeat>>,\n    // FxHasher";
    assert!(unseeded(right).is_empty());
}
