//! A hash map whose keys a client chooses has a random seed.
//!
//! FxHash has none: a client that knows the function can choose paths, names or addresses that
//! all fall into one place of the table, and each access then costs as much as the table is long.
//! So FxHash is allowed only for keys that the node itself gives out ([`GIVEN_BY_THE_NODE`]);
//! all other hash maps are hashbrown's or std's, which are seeded anew in each process.

mod support;

use support::{files, read};

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

#[test]
fn maps_keyed_by_what_clients_choose_are_seeded() {
    let (mut looked_at, mut wrong) = (0, Vec::new());
    for path in files() {
        if !path.starts_with("host/") || !path.contains("/src/") || !path.ends_with(".rs") {
            continue;
        }
        looked_at += 1;
        for line in unseeded(&read(&path)) {
            wrong.push(format!("{path}: {line}"));
        }
    }
    assert!(looked_at > 100, "only {looked_at} sources were looked at");
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
