//! What each scene's figures have to agree with, as a [`Witness`] reads it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use zookeeper_client as zk;

use crate::support::{Owners, Witness, is_running, moved};

/// The partitions of the demo that is checked.
pub const PARTITIONS: u32 = 53;

/// A whole number among the figures.
pub fn figure(value: &Value) -> u32 {
    value
        .as_u64()
        .and_then(|number| number.try_into().ok())
        .unwrap_or_else(|| panic!("{value} is no figure"))
}

/// The nodes' processes, in the order of the nodes.
pub fn node_pids(scene: &Value) -> Vec<u32> {
    let nodes = scene["nodes"].as_array().expect("nodes");
    nodes.iter().map(|node| figure(&node["pid"])).collect()
}

pub async fn check_start(scene: &Value, witness: &Witness) {
    assert!(node_pids(scene).into_iter().all(is_running));
    let status = witness.get("/v1/status");
    assert_eq!(status["leader"], scene["leader"]);
    assert_eq!(status["term"], scene["term"]);
    assert!(Path::new(scene["folder"].as_str().unwrap()).is_dir());
    assert_eq!(witness.assignment().await, (0, Owners::new()));
    assert_eq!(scene["generation"], 0);
    let modules = witness.get("/v1/modules")["modules"].clone();
    let pushed = scene["pushed"].as_object().unwrap();
    assert_eq!(modules.as_array().unwrap().len(), pushed.len());
    let mut named: Vec<_> = modules
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["module"])
        .collect();
    named.sort_by_key(|name| name.as_str());
    let mut shown: Vec<_> = pushed.values().collect();
    shown.sort_by_key(|name| name.as_str());
    assert_eq!(named, shown);
    let bindings = scene["bindings"].as_array().unwrap();
    assert_eq!(
        witness.get("/v1/bindings")["bindings"]
            .as_array()
            .unwrap()
            .len(),
        bindings.len()
    );
    for binding in bindings {
        witness.check_binding(binding);
        assert_eq!(
            binding["module"],
            pushed[binding["guest"].as_str().unwrap()]
        );
    }
}

/// A scene after which the group has another assignment; the consumers' processes, and how many
/// partitions moved as recomputed here. `before` becomes what the tree says now.
pub async fn check_dealt(
    scene: &Value,
    witness: &Witness,
    before: &mut Owners,
    members: usize,
    strategy: &str,
) -> (BTreeMap<String, u32>, usize) {
    let (generation, now) = witness.assignment().await;
    assert_eq!(scene["generation"], generation);
    assert!(scene["generation_before"].as_u64().unwrap() < generation);
    assert_eq!(scene["assignment"], serde_json::to_value(&now).unwrap());
    assert_eq!(scene["strategy"], strategy);
    assert_eq!(now.len(), members);
    assert_eq!(
        witness.members().await,
        now.keys().cloned().collect::<Vec<_>>()
    );
    let mut all: Vec<u32> = now.values().flatten().copied().collect();
    all.sort_unstable();
    assert!(
        all.into_iter().eq(0..PARTITIONS),
        "not every partition is owned once: {now:?}"
    );
    let counts = now.values().map(Vec::len);
    assert!(
        counts.clone().max().unwrap() - counts.min().unwrap() <= 1,
        "uneven: {now:?}"
    );
    if strategy == "range" {
        let is_run = |owned: &Vec<u32>| owned.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        assert!(now.values().all(is_run), "no contiguous runs: {now:?}");
    }
    let moved = moved(before, &now);
    assert_eq!(scene["moved"], moved);
    assert!(scene["told_after_ms"].as_f64().unwrap() >= 0.0);
    let pids: BTreeMap<String, u32> =
        serde_json::from_value(scene["consumer_pids"].clone()).unwrap();
    assert!(pids.keys().eq(now.keys()));
    for pid in pids.values() {
        assert!(is_running(*pid), "the consumer {pid} does not run");
    }
    if scene["who"].as_array().unwrap().len() == 1 {
        assert!(scene["reassigned_after_ms"].as_f64().unwrap() < 10_000.0);
    }
    *before = now;
    (pids, moved)
}

/// It was killed, and its session lasted about as long as it had to.
pub fn check_expiry(scene: &Value, victim: u32) {
    assert!(!is_running(victim));
    let expired_after_ms = scene["expired_after_ms"].as_f64().unwrap();
    assert!(
        (1_000.0..30_000.0).contains(&expired_after_ms),
        "{expired_after_ms} ms"
    );
}

/// The leader died, another node leads, and each order was reacted to once. Returns the process of
/// the node that was started again.
pub async fn check_failover(scene: &Value, witness: &Witness, nodes: &[u32]) -> u32 {
    let killed = figure(&scene["killed"]);
    assert!(!is_running(nodes[killed as usize - 1]));
    assert_ne!(scene["leader"], scene["killed"]);
    let status = witness.get("/v1/status");
    assert_eq!(status["leader"], scene["leader"]);
    assert_eq!(status["term"], scene["term"]);
    assert!(scene["term"].as_u64().unwrap() > scene["term_before"].as_u64().unwrap());
    witness.check_binding(&scene["balance"]);
    witness.check_binding(&scene["confirm"]);
    let confirmed = witness.numbers_below("/confirmed").await;
    let orders = witness.children("/orders").await;
    assert!(confirmed.keys().eq(&orders), "an order was not reacted to");
    assert!(confirmed.values().all(|count| *count == 1));
    assert_eq!(scene["orders"], orders.len());
    assert_eq!(scene["confirmed_once"], orders.len());
    assert_eq!(scene["confirmed_otherwise"], 0);
    let ms = |name: &str| scene[name].as_f64().unwrap();
    assert!(ms("no_write_for_ms") > ms("write_p50_ms"));
    assert!(ms("two_owners_ms") >= 0.0 && ms("no_owner_ms") >= 0.0);
    figure(&scene["restarted_pid"])
}

pub async fn check_swap(scene: &Value, witness: &Witness, dealt: &Owners, reactions: u64) -> usize {
    let (generation, now) = witness.assignment().await;
    assert_eq!(scene["assignment"], serde_json::to_value(&now).unwrap());
    assert_eq!(scene["generation"], generation);
    let moved = moved(dealt, &now);
    assert_eq!(scene["moved"], moved);
    assert_eq!(moved, 0, "an even assignment is kept");
    assert_eq!(scene["generation_before"], generation);
    let balance = witness.binding("balance");
    assert_eq!(balance["active"], scene["to_module"]);
    assert_eq!(balance["wished"], scene["to_module"]);
    assert_ne!(balance["active"], scene["from_module"]);
    assert_eq!(balance["activation"], scene["activation"]);
    assert!(scene["active_after_ms"].as_f64().unwrap() > 0.0);
    let after = witness.binding("group")["invocations"].as_u64().unwrap();
    // A leader counts from its own beginning; on a busy machine another node may lead by now.
    if let Some(reacted) = after.checked_sub(reactions) {
        assert_eq!(scene["reactions"], reacted);
        assert!(reacted > 0, "the activation caused no reaction");
    }
    moved
}

/// The scenes about other guests leave the group alone.
pub async fn check_untouched(scene: &Value, witness: &Witness, dealt: &Owners) {
    let (generation, now) = witness.assignment().await;
    assert_eq!(scene["generation"], generation);
    assert_eq!(now, *dealt);
}

pub async fn check_refusal(scene: &Value, witness: &Witness, dealt: &Owners) -> i64 {
    check_untouched(scene, witness, dealt).await;
    witness.check_binding(&scene["binding"]);
    assert_eq!(scene["binding"]["world"], "authorizer");
    let path = scene["path"].as_str().unwrap();
    assert_eq!(
        witness.client.set_data(path, b"mine", None).await,
        Err(zk::Error::NoAuth)
    );
    assert_eq!(scene["error"], "NoAuth");
    assert_eq!(rules(scene, witness).await, 1);
    let (_, stat) = witness.client.get_data(path).await.unwrap();
    assert_eq!(scene["may_read"], true);
    assert_eq!(scene["version"], stat.version);
    i64::from(stat.version)
}

pub async fn check_flips(scene: &Value, witness: &Witness, version: i64, dealt: &Owners) {
    check_untouched(scene, witness, dealt).await;
    let stat = witness
        .client
        .check_stat(scene["policy"].as_str().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(scene["policy_version"], stat.version);
    assert_eq!(scene["changes"], stat.version);
    assert_eq!(scene["last_change_zxid"], stat.mzxid);
    let path = scene["path"].as_str().unwrap();
    let (_, written) = witness.client.get_data(path).await.unwrap();
    assert_eq!(scene["version"], written.version);
    assert_eq!(scene["last_write_zxid"], written.mzxid);
    assert!(written.mzxid > stat.mzxid);
    let (allowed, refused) = (
        scene["allowed"].as_i64().unwrap(),
        scene["refused"].as_i64().unwrap(),
    );
    // Of the demo's writes exactly those that it counts as allowed were done.
    assert_eq!(i64::from(written.version), version + allowed);
    assert_eq!(allowed + refused, i64::from(stat.version));
    assert!(allowed > 0 && refused > 0);
    assert!(scene["slowest_ms"].as_f64().unwrap() > 0.0);
    // What the second client was refused before, it may do now.
    assert_eq!(rules(scene, witness).await, 0);
    witness.client.set_data(path, b"mine", None).await.unwrap();
}

/// How many rules the policy has.
async fn rules(scene: &Value, witness: &Witness) -> usize {
    let policy = scene["policy"].as_str().unwrap();
    let (data, _) = witness.client.get_data(policy).await.unwrap();
    let policy: Value = serde_json::from_slice(&data).unwrap();
    policy["rules"].as_array().unwrap().len()
}

pub async fn check_loop(scene: &Value, witness: &Witness, dealt: &Owners) {
    check_untouched(scene, witness, dealt).await;
    witness.check_binding(&scene["binding"]);
    let status = witness.binding("runaway");
    assert_eq!(status["document"]["config"]["loops"], true);
    assert_eq!(status["document"]["limits"]["fuel"], scene["fuel"]);
    assert_eq!(status["breaker"], "open");
    assert_eq!(scene["breaker"], "open");
    // An open breaker is tried again now and then.
    let failures = scene["failures"].as_u64().unwrap();
    assert!(failures >= 5 && status["failures"].as_u64().unwrap() >= failures);
    assert_eq!(status["invocations"], 0);
    assert_eq!(status["last_error"], scene["error"]);
    assert!(scene["error"].as_str().unwrap().contains("fuel"));
    let out = witness
        .client
        .check_stat(scene["out"].as_str().unwrap())
        .await
        .unwrap();
    assert_eq!((&scene["out_exists"], out), (&false.into(), None));

    // The writes that the demo counts were done: it may have been cut off in one per span.
    let count = |span: &str, kind: &str| scene[span][kind]["requests"].as_i64().unwrap();
    let served = scene["served"].as_i64().unwrap();
    let counted = count("before", "writes") + (served + 1) / 2;
    let done = i64::from(
        witness
            .client
            .check_stat("/probe")
            .await
            .unwrap()
            .unwrap()
            .version,
    );
    assert!(
        (counted..=counted + 2).contains(&done),
        "{counted} writes counted, {done} done"
    );
    assert!(count("during", "writes") + count("during", "reads") <= served);
    assert!(count("during", "writes") > 0 && count("during", "reads") > 0);
    for span in ["before", "during"] {
        for kind in ["writes", "reads"] {
            let [p50, p99, max] =
                ["p50_ms", "p99_ms", "max_ms"].map(|it| scene[span][kind][it].as_f64().unwrap());
            assert!(
                0.0 < p50 && p50 <= p99 && p99 <= max,
                "{span} {kind}: {p50} {p99} {max}"
            );
            // One request after the other: their sum is no more than the span.
            if span == "during" {
                let stopped_after_ms = scene["stopped_after_ms"].as_f64().unwrap();
                assert!(
                    max <= stopped_after_ms + 1_000.0,
                    "{max} ms of {stopped_after_ms}"
                );
            }
        }
    }
}

pub async fn check_mending(scene: &Value, witness: &Witness, dealt: &Owners, failures: u64) {
    check_untouched(scene, witness, dealt).await;
    witness.check_binding(&scene["binding"]);
    let status = witness.binding("runaway");
    assert_eq!(scene["breaker"], "closed");
    for figure in ["breaker", "failures", "invocations"] {
        assert_eq!(scene[figure], status[figure], "{figure}");
    }
    assert!(status["failures"].as_u64().unwrap() >= failures);
    assert!(status["invocations"].as_u64().unwrap() > 0);
    witness.client.sync("/").await.unwrap();
    let (data, _) = witness
        .client
        .get_data(scene["out"].as_str().unwrap())
        .await
        .unwrap();
    assert_eq!(scene["written"].as_str().unwrap().as_bytes(), data);
}
