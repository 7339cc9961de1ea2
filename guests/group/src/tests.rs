//! The recipe over a tree in memory, with the real strategies.

use innkeeper_guest::testing::Memory;
use innkeeper_recipe::prelude::*;
use serde_json::{Value, json};

use crate::{Config, Group, concerned};

const RESYNC: [Event; 1] = [Event::Resync];

fn config() -> Config {
    Config {
        groups: Some("/groups".to_owned()),
        group: None,
        strategy: None,
    }
}

fn changed(path: &str) -> Event {
    Event::Changed(Change {
        path: path.to_owned(),
        kinds: Kinds::CREATED,
        zxid: 1,
    })
}

/// A tree with the three strategies bound and the group `/groups/g` of 6 + 6 partitions.
fn tree(strategy: &str) -> Memory {
    let mut tree = Memory::new();
    tree.bind_assignor("range", |request| Ok(innkeeper_assign::range(request)))
        .bind_assignor("round-robin", |request| {
            Ok(innkeeper_assign::round_robin(request))
        })
        .bind_assignor("sticky", |request| Ok(innkeeper_assign::sticky(request)))
        .bind_assignor("broken", |_| Err("I am broken".into()))
        .make("/groups/g/members", b"")
        .make(
            "/groups/g/config",
            json!({ "strategy": strategy }).to_string().as_bytes(),
        );
    resources(&mut tree, &[("a", 6), ("b", 6)]);
    tree
}

fn resources(tree: &mut Memory, topics: &[(&str, u32)]) {
    let topics: Vec<Value> = topics
        .iter()
        .map(|(name, partitions)| json!({ "name": name, "partitions": partitions }))
        .collect();
    tree.make(
        "/groups/g/resources",
        json!({ "topics": topics }).to_string().as_bytes(),
    );
}

fn join(tree: &mut Memory, id: &str, data: &str) {
    tree.make_ephemeral(&format!("/groups/g/members/{id}"), data.as_bytes(), 1);
}

fn react(tree: &mut Memory) {
    tree.attempt(|tx| Group::react(config(), tx, &RESYNC))
        .expect("a reaction");
}

fn read(tree: &Memory, path: &str) -> Option<Value> {
    let data = tree.data(&format!("/groups/g/{path}"))?;
    Some(serde_json::from_slice(data).expect("JSON"))
}

fn members(tree: &Memory) -> Vec<String> {
    Transaction::children(tree, "/groups/g/assignments").unwrap_or_default()
}

/// Checks what must hold at every zxid, and says the generation.
fn assert_whole(tree: &Memory, topics: &[(&str, u32)]) -> u64 {
    let generation = read(tree, "generation").map_or(0, |g| g.as_u64().expect("a number"));
    let mut owned: Vec<(String, u64)> = Vec::new();
    for member in members(tree) {
        let assignment = read(tree, &format!("assignments/{member}")).expect("a child");
        assert_eq!(assignment["generation"], generation, "of {member}");
        for (topic, partitions) in assignment["topics"].as_object().expect("topics") {
            for partition in partitions.as_array().expect("a list") {
                owned.push((topic.clone(), partition.as_u64().expect("a number")));
            }
        }
    }
    owned.sort();
    let all = topics
        .iter()
        .flat_map(|&(topic, count)| (0..u64::from(count)).map(move |p| (topic.to_owned(), p)));
    let expected: Vec<_> = if members(tree).is_empty() {
        Vec::new()
    } else {
        all.collect()
    };
    assert_eq!(owned, expected);
    generation
}

const BOTH: [(&str, u32); 2] = [("a", 6), ("b", 6)];

#[test]
fn members_get_their_share_and_one_generation() {
    let mut tree = tree("range");
    join(&mut tree, "m2", "");
    join(&mut tree, "m1", "");
    react(&mut tree);
    assert_eq!(
        read(&tree, "assignments/m1"),
        Some(json!({ "generation": 1, "topics": { "a": [0, 1, 2], "b": [0, 1, 2] } }))
    );
    assert_eq!(
        read(&tree, "assignments/m2"),
        Some(json!({ "generation": 1, "topics": { "a": [3, 4, 5], "b": [3, 4, 5] } }))
    );
    assert_eq!(tree.data("/groups/g/generation"), Some(b"1".as_slice()));
}

#[test]
fn nothing_is_written_when_nothing_changed() {
    let mut tree = tree("sticky");
    react(&mut tree);
    assert_eq!(tree.writes(), 0, "a group without members needs no result");
    join(&mut tree, "m1", "");
    react(&mut tree);
    let writes = tree.writes();
    react(&mut tree);
    // Data of a member that changes nothing about who owns what.
    join(&mut tree, "m1", r#"{"topics": ["a", "b"]}"#);
    react(&mut tree);
    assert_eq!(tree.writes(), writes);
    assert_eq!(assert_whole(&tree, &BOTH), 1);
}

#[test]
fn each_change_is_one_generation() {
    let mut tree = tree("sticky");
    for (nth, id) in (1..).zip(["m1", "m2", "m3"]) {
        join(&mut tree, id, "");
        react(&mut tree);
        assert_eq!(assert_whole(&tree, &BOTH), nth);
    }
    tree.remove("/groups/g/members/m2");
    react(&mut tree);
    assert_eq!(assert_whole(&tree, &BOTH), 4);
    assert_eq!(members(&tree), ["m1", "m3"]);
    resources(&mut tree, &[("a", 7)]);
    react(&mut tree);
    assert_eq!(assert_whole(&tree, &[("a", 7)]), 5);
    tree.remove("/groups/g/members/m1")
        .remove("/groups/g/members/m3");
    react(&mut tree);
    assert_eq!(assert_whole(&tree, &[]), 6);
    assert_eq!(members(&tree), [] as [&str; 0]);
    join(&mut tree, "m1", "");
    react(&mut tree);
    assert_eq!(assert_whole(&tree, &[("a", 7)]), 7);
}

#[test]
fn a_member_that_joins_moves_little_with_sticky_and_more_with_range() {
    let moved = |strategy: &str| {
        let mut tree = tree(strategy);
        join(&mut tree, "m1", "");
        join(&mut tree, "m2", "");
        react(&mut tree);
        let before: Vec<_> = ["m1", "m2"]
            .map(|id| read(&tree, &format!("assignments/{id}")).unwrap()["topics"].clone())
            .to_vec();
        join(&mut tree, "m0", "");
        react(&mut tree);
        assert_whole(&tree, &BOTH);
        let mut stayed = 0;
        for (id, before) in ["m1", "m2"].iter().zip(before) {
            let after = read(&tree, &format!("assignments/{id}")).unwrap()["topics"].clone();
            for topic in ["a", "b"] {
                let list = |of: &Value| of[topic].as_array().cloned().unwrap_or_default();
                let after = list(&after);
                stayed += list(&before).iter().filter(|p| after.contains(p)).count();
            }
        }
        12 - stayed
    };
    assert_eq!(moved("sticky"), 4);
    assert!(moved("range") > 4);
}

#[test]
fn swapping_the_strategy_is_a_change_only_if_owners_change() {
    let mut tree = tree("range");
    join(&mut tree, "m1", "");
    join(&mut tree, "m2", "");
    react(&mut tree);
    tree.make("/groups/g/config", br#"{"strategy": "sticky"}"#);
    react(&mut tree);
    assert_eq!(assert_whole(&tree, &BOTH), 1);
    tree.make("/groups/g/config", br#"{"strategy": "round-robin"}"#);
    react(&mut tree);
    assert_eq!(assert_whole(&tree, &BOTH), 2);
}

#[test]
fn subscriptions_and_what_the_assignor_is_told() {
    let mut tree = tree("probe");
    tree.bind_assignor("probe", |request| {
        assert_eq!(request.strategy_config, r#"{"x": 1}"#);
        assert_eq!(request.weights.as_deref(), Some([3, 3, 1].as_slice()));
        let [m1, m2] = request.members.as_slice() else {
            return Err("two members were expected".into());
        };
        assert_eq!(
            (m1.id.as_str(), m1.rack.as_deref(), m1.capacity),
            ("m1", Some("r"), Some(5))
        );
        assert_eq!(m1.subscribed, [1]);
        assert_eq!(m2.subscribed, [0, 1]);
        Ok(vec![1, 1, 0])
    });
    tree.make("/groups/g/config", br#"{"strategy": "probe", "options": {"x": 1}}"#)
        .make(
            "/groups/g/resources",
            br#"{"topics": [{"name": "a", "partitions": 2, "weight": 3}, {"name": "b", "partitions": 1}]}"#,
        );
    join(
        &mut tree,
        "m1",
        r#"{"topics": ["b", "unknown"], "rack": "r", "capacity": 5}"#,
    );
    join(&mut tree, "m2", "");
    react(&mut tree);
    assert_eq!(assert_whole(&tree, &[("a", 2), ("b", 1)]), 1);
    assert_eq!(
        read(&tree, "assignments/m1").unwrap()["topics"],
        json!({ "b": [0] })
    );
}

#[test]
fn the_assignor_is_told_who_owns_what() {
    let mut tree = tree("sticky");
    join(&mut tree, "m1", "");
    join(&mut tree, "m2", "");
    tree.make(
        "/groups/g/assignments/m2",
        br#"{"generation": 4, "topics": {"a": [0, 1, 9], "gone": [1], "b": [5]}}"#,
    );
    react(&mut tree);
    // The number goes on from the greatest seen, though `generation` was missing.
    assert_eq!(assert_whole(&tree, &BOTH), 5);
    let m2 = read(&tree, "assignments/m2").unwrap()["topics"].clone();
    assert_eq!(m2["a"].as_array().unwrap()[..2], [json!(0), json!(1)]);
    assert!(m2["b"].as_array().unwrap().contains(&json!(5)));
}

#[test]
fn whatever_is_missing_or_wrong_leaves_the_last_result() {
    let breakages: [fn(&mut Memory); 8] = [
        |tree| {
            tree.remove("/groups/g/config");
        },
        |tree| {
            tree.make("/groups/g/config", b"{");
        },
        |tree| {
            tree.make("/groups/g/config", b"{}");
        },
        |tree| {
            tree.make("/groups/g/config", br#"{"strategy": "nobody"}"#);
        },
        |tree| {
            tree.make("/groups/g/config", br#"{"strategy": "broken"}"#);
        },
        |tree| {
            tree.remove("/groups/g/resources");
        },
        |tree| {
            tree.make("/groups/g/resources", b"[]");
        },
        |tree| resources(tree, &[("a", 1), ("a", 2)]),
    ];
    for (nth, breakage) in breakages.into_iter().enumerate() {
        let mut tree = tree("range");
        join(&mut tree, "m1", "");
        react(&mut tree);
        let writes = tree.writes();
        breakage(&mut tree);
        join(&mut tree, "m2", "");
        react(&mut tree);
        assert_eq!(tree.writes(), writes, "breakage {nth}");
        assert_eq!(assert_whole(&tree, &BOTH), 1);
    }
}

#[test]
fn a_default_strategy_serves_groups_that_name_none() {
    let mut tree = tree("range");
    tree.remove("/groups/g/config");
    join(&mut tree, "m1", "");
    let config = Config {
        strategy: Some("sticky".to_owned()),
        ..config()
    };
    tree.attempt(|tx| Group::react(config, tx, &RESYNC))
        .expect("a reaction");
    assert_eq!(assert_whole(&tree, &BOTH), 1);
}

#[test]
fn a_member_with_broken_data_harms_itself_alone() {
    let mut tree = tree("range");
    join(&mut tree, "m1", "");
    join(&mut tree, "m2", "}");
    react(&mut tree);
    assert_eq!(assert_whole(&tree, &BOTH), 1);
    assert_eq!(read(&tree, "assignments/m2").unwrap()["topics"], json!({}));
}

#[test]
fn damage_to_the_result_is_repaired() {
    let damages: [fn(&mut Memory); 5] = [
        |tree| {
            tree.make("/groups/g/assignments/m1", b"?");
        },
        |tree| {
            tree.remove("/groups/g/assignments/m1");
        },
        |tree| {
            tree.make("/groups/g/assignments/stranger/child", b"");
        },
        |tree| {
            tree.make("/groups/g/generation", b"?");
        },
        |tree| {
            tree.remove("/groups/g/assignments");
        },
    ];
    for (nth, damage) in damages.into_iter().enumerate() {
        let mut tree = tree("range");
        join(&mut tree, "m1", "");
        join(&mut tree, "m2", "");
        react(&mut tree);
        damage(&mut tree);
        react(&mut tree);
        assert_eq!(assert_whole(&tree, &BOTH), 2, "damage {nth}");
        assert_eq!(members(&tree), ["m1", "m2"]);
    }
}

#[test]
fn a_failed_write_fails_the_reaction() {
    let mut tree = tree("range");
    join(&mut tree, "m1", "");
    // Nothing can be created below an ephemeral.
    tree.make_ephemeral("/groups/g/assignments", b"", 9);
    assert!(
        tree.attempt(|tx| Group::react(config(), tx, &RESYNC))
            .is_err()
    );
}

#[test]
fn events_name_the_groups() {
    let mut tree = Memory::new();
    tree.make("/groups/x/members", b"").make("/groups/y", b"");
    let names = |config: &Config, events: &[Event]| concerned(config, &tree, events).unwrap();
    let one = changed("/groups/b/members/m1");
    assert_eq!(
        names(
            &config(),
            &[one.clone(), changed("/groups/a/config"), one.clone()]
        ),
        ["/groups/a", "/groups/b"]
    );
    assert_eq!(
        names(&config(), &[changed("/groups"), changed("/elsewhere/a")]),
        [] as [&str; 0]
    );
    assert_eq!(
        names(&config(), &[Event::Resync, changed("/groups/x/resources")]),
        ["/groups/x", "/groups/y"]
    );
    let single = Config {
        groups: None,
        group: Some("/only/this".to_owned()),
        strategy: None,
    };
    assert_eq!(names(&single, &[Event::Resync, one]), ["/only/this"]);
    let nowhere = Config {
        groups: Some("/nowhere".to_owned()),
        ..config()
    };
    assert_eq!(names(&nowhere, &RESYNC), [] as [&str; 0]);
}

#[test]
fn the_config_is_strict() {
    let parse = innkeeper_guest::parse_config::<Config>;
    assert!(parse(r#"{"groups": "/groups"}"#).is_ok());
    assert!(parse(r#"{"goups": "/groups"}"#).is_err());
    let neither = parse("{}").unwrap();
    assert!(concerned(&neither, &Memory::new(), &RESYNC).is_err());
}

/// Members come and go, topics grow, strategies change: at each step the result is whole,
/// and the generation goes up by one if and only if something was written.
#[test]
fn a_long_life() {
    let mut tree = tree("range");
    let mut topics = vec![("a", 6_u32), ("b", 6)];
    let mut random = 12_345_u64;
    let mut generation = 0;
    for _ in 0..500 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let id = format!("m{}", random >> 40 & 7);
        match random >> 60 {
            0..6 => join(&mut tree, &id, ""),
            6..11 if tree.data(&format!("/groups/g/members/{id}")).is_some() => {
                tree.remove(&format!("/groups/g/members/{id}"));
            }
            11..13 => {
                topics[0].1 = u32::try_from(random >> 44 & 31).unwrap();
                resources(&mut tree, &topics);
            }
            13.. => {
                let strategy = ["range", "round-robin", "sticky"][(random >> 50) as usize % 3];
                let config = json!({ "strategy": strategy }).to_string();
                tree.make("/groups/g/config", config.as_bytes());
            }
            _ => {}
        }
        let writes = tree.writes();
        react(&mut tree);
        let wrote = tree.writes() > writes;
        let now = assert_whole(&tree, &topics);
        assert_eq!(now, generation + u64::from(wrote));
        generation = now;
    }
    assert!(generation > 100);
}
