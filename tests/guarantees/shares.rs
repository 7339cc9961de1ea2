//! The share of one binding: other bindings cost it little, and a failure is counted against the
//! binding that caused it.

#![allow(clippy::disallowed_methods, reason = "a test is a client, not a node")]

#[path = "../guests.rs"]
mod guests;
mod support;

use guests::guest;
use serde_json::{Value, json};
use support::{NodeProcess, eventually, number, persistent};
use zookeeper_client as zk;

const LOOPS: usize = 100;
const REACTIONS: u64 = 200;

/// Where everybody waits in one line, each reaction of the good recipe waits for all loops: these
/// take the whole patience of the test several times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_recipe_goes_on_beside_a_hundred_endless_loops() {
    let (hostile, tally) = (guest("test-hostile"), guest("test-tally"));
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    let (hostile, tally) = (node.push(&hostile), node.push(&tally));
    let client = node.client().await;
    client.create("/in", b"", &persistent()).await.unwrap();
    bind_tally(&node, "good", &tally, "/in/*", "/count");
    eventually("the first resync", async || {
        (number(&client, "/count-resyncs").await == Some(1)).then_some(())
    })
    .await;
    for index in 0..LOOPS {
        let document = json!({
            "world": "recipe", "module": hostile, "watch": ["/in/*"], "write": ["/out"],
            "config": {"mode": "loop", "out": "/out"},
        });
        node.bind(&format!("loop-{index}"), &document.to_string());
    }
    for event in 1..=REACTIONS {
        let path = format!("/in/{event}");
        client.create(&path, b"", &persistent()).await.unwrap();
        eventually("the good recipe's reaction", async || {
            (number(&client, "/count").await == Some(event)).then_some(())
        })
        .await;
    }
    let good = node.status("good");
    assert_eq!(good["failures"], 0, "{good}");
    assert_eq!(good["breaker"], "closed", "{good}");
    // The loops are invoked beside it, and end at their fuel, not at the time that they waited.
    let failed = eventually("a loop's end", async || {
        let all = (0..LOOPS).map(|index| node.status(&format!("loop-{index}")));
        all.into_iter().find(|status| status["failures"] != 0)
    })
    .await;
    let error = failed["last_error"].as_str().unwrap();
    assert!(error.contains("fuel"), "{error}");
}

fn bind_tally(node: &NodeProcess, name: &str, module: &str, watch: &str, counter: &str) {
    let resyncs = format!("{counter}-resyncs");
    let document = json!({
        "world": "recipe", "module": module, "watch": [watch], "write": [counter, resyncs],
        "config": {"counter": counter, "resyncs": resyncs},
    });
    node.bind(name, &document.to_string());
}

/// What it wrote in one transaction is a quarter of an hour's worth: the next document of that name
/// has not written it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_does_not_wait_for_what_the_old_module_wrote() {
    let (script, tally) = (guest("test-script"), guest("test-tally"));
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    let (script, tally) = (node.push(&script), node.push(&tally));
    let client = node.client().await;
    client.create("/in", b"", &persistent()).await.unwrap();
    let document = json!({
        "world": "recipe", "module": script, "watch": ["/in/*"], "write": ["/much", "/out"],
        "config": {"out": "/out", "steps": [{"create": {"path": "/much", "bytes": 1_000_000}}]},
        "limits": {"bytes_per_second": 1_024},
    });
    node.bind("writer", &document.to_string());
    eventually("the large transaction", async || {
        client.get_data("/much").await.ok()
    })
    .await;
    client.create("/in/a", b"", &persistent()).await.unwrap();
    bind_tally(&node, "writer", &tally, "/in/b", "/count");
    eventually("the new module's resync", async || {
        (number(&client, "/count-resyncs").await == Some(1)).then_some(())
    })
    .await;
}

/// The authorizer traps in `load`, and its policy moves with every write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_moves_with_every_write_closes_no_breaker() {
    let hostile = guest("test-hostile-authorizer");
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    let module = node.push(&hostile);
    let client = node.client().await;
    for path in ["/policy", "/data"] {
        client.create(path, b"none", &persistent()).await.unwrap();
    }
    let document = json!({
        "world": "authorizer", "module": module, "watch": ["/data"], "policy": ["/policy"],
        "config": {"policy": "/policy", "in": "load"},
    });
    node.bind("rules", &document.to_string());
    client.get_data("/data").await.unwrap();
    eventually("the breaker opens", async || {
        client.set_data("/policy", b"trap", None).await.unwrap();
        let denied = client.get_data("/data").await;
        assert!(matches!(denied, Err(zk::Error::NoAuth)), "{denied:?}");
        (node.status("rules")["breaker"] == "open").then_some(())
    })
    .await;
    // It stays open while the policy goes on to move.
    for _ in 0..200 {
        client.set_data("/policy", b"trap", None).await.unwrap();
        assert!(client.get_data("/data").await.is_err());
    }
    assert_eq!(node.status("rules")["breaker"], "open");
    // A repaired policy is taken up.
    client.set_data("/policy", b"none", None).await.unwrap();
    eventually("the repaired policy", async || {
        client.get_data("/data").await.ok()
    })
    .await;
    assert_eq!(node.status("rules")["breaker"], "closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assignor_that_keeps_failing_is_kept_back() {
    let (group, hostile) = (guest("group"), guest("test-hostile-assignor"));
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    let (group, hostile) = (node.push(&group), node.push(&hostile));
    let client = node.client().await;
    for (path, data) in [
        ("/groups", ""),
        ("/groups/orders", ""),
        ("/groups/orders/members", ""),
        ("/groups/orders/members/a", ""),
        ("/groups/orders/assignments", ""),
        (
            "/groups/orders/resources",
            r#"{"topics": [{"name": "orders", "partitions": 4}]}"#,
        ),
        ("/groups/orders/config", r#"{"strategy": "broken"}"#),
    ] {
        let options = persistent();
        client
            .create(path, data.as_bytes(), &options)
            .await
            .unwrap();
    }
    let assignor = |mode: &str| {
        json!({"world": "assignor", "module": hostile, "config": {"mode": mode}}).to_string()
    };
    node.bind("broken", &assignor("trap"));
    let document = json!({
        "world": "recipe", "module": group, "watch": ["/groups/*/members/*"], "read": ["/groups/**"],
        "write": ["/groups/*/assignments/*", "/groups/*/generation"],
        "config": {"groups": "/groups", "strategy": "broken"},
    });
    node.bind("group", &document.to_string());
    // Its recipe is asked again and again: each member that comes is an event.
    let mut member = 0;
    let broken = eventually("the assignor's breaker", async || {
        member += 1;
        let path = format!("/groups/orders/members/m{member}");
        client.create(&path, b"", &persistent()).await.unwrap();
        let status = node.status("broken");
        (status["breaker"] == "open").then_some(status)
    })
    .await;
    assert!(broken["failures"].as_u64().unwrap() >= 5, "{broken}");
    let error = broken["last_error"].as_str().unwrap();
    assert!(error.contains("trapped"), "{error}");
    // A new activation starts anew, and its callers are told.
    node.bind("broken", &assignor("none"));
    eventually("an assignment", async || {
        let status: Value = node.status("broken");
        (status["invocations"] != 0 && status["breaker"] == "closed").then_some(())
    })
    .await;
}

/// Two recipes that answer each other come to rest, and it can be seen that they were cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cascade_that_is_cut_is_counted_in_the_bindings_status() {
    let tally = guest("test-tally");
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    let tally = node.push(&tally);
    let client = node.client().await;
    bind_tally(&node, "ping", &tally, "/pong", "/ping");
    bind_tally(&node, "pong", &tally, "/ping", "/pong");
    client.create("/ping", b"0", &persistent()).await.unwrap();
    let cut = eventually("the cut", async || {
        let all = ["ping", "pong"].map(|name| node.status(name));
        all.into_iter().find(|status| status["cascades_cut"] != 0)
    })
    .await;
    assert_eq!(cut["cascades_cut"], 1, "{cut}");
    let (_, metrics) = node.http("GET", "/v1/bindings", b"");
    assert!(metrics.to_string().contains("cascades_cut"), "{metrics}");
}
