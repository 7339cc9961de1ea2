//! Sizes that are just within the limits: the largest write of a guest is there after a crash, and
//! the longest names that clients can make stop no recipe.

use crate::arena::Arena;
use crate::guests::guest;
use crate::support::{number, persistent, until};

/// Nearly the greatest transaction, 15 of 16 MiB, all of it ACLs.
const STEP: &str = r##"{"repeat":{"times":15,"step":{"create":{"path":"/hostile/out/a#","acl":[
    {"scheme":"world","id":"anyone"},{"scheme":"digest","id":"a:","pad":1000000}]}}}}"##;

/// The largest limits that a document may set, as far as this test needs them.
const GREATEST: &str = r#""transaction_bytes":16711680,"output_bytes":268435456"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_greatest_transaction_is_there_after_a_crash() {
    let mut arena = Arena::open().await;
    let module = arena.script().to_owned();
    arena.node.bind(
        "large",
        &format!(
            r#"{{"world":"recipe","module":"{module}","watch":["/hostile/in/*"],
                "write":["/hostile/out/**"],"limits":{{{GREATEST}}},
                "config":{{"out":"/hostile/out/large","steps":[{STEP}]}}}}"#
        ),
    );
    let told = until("a large transaction", async || {
        let status = arena.node.status("large");
        let error = status["last_error"].as_str().map(str::to_owned);
        match arena.client.get_data("/hostile/out/large").await {
            Ok((data, _)) => Some(Ok(data)),
            Err(_) => error.map(Err),
        }
    });
    assert_eq!(told.await.unwrap().unwrap(), br#"["ok"]"#);
    arena.node.kill_and_restart();
    arena.client = arena.node.client().await;
    for number in 0..15 {
        let path = format!("/hostile/out/a{number}");
        let (acl, _) = arena.client.get_acl(&path).await.expect("it is there");
        let lengths: Vec<usize> = acl.iter().map(|entry| entry.id().len()).collect();
        assert_eq!(lengths, ["anyone".len(), "a:".len() + 1_000_000], "{path}");
    }
    arena.check_bystanders().await.expect("the node goes on");
}

/// Each reaction acknowledges its events by their paths, whatever the guest does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_a_client_makes_long_stop_no_recipe() {
    const ZNODES: u64 = 30;
    let mut arena = Arena::open().await;
    let folder = arena.client.create("/long", b"", &persistent()).await;
    folder.expect("created");
    let tally = arena.node.push(&guest("test-tally"));
    arena.node.bind(
        "long",
        &format!(
            r#"{{"world":"recipe","module":"{tally}","watch":["/long/*"],
                "write":["/long-tally","/long-resyncs"],
                "config":{{"counter":"/long-tally","resyncs":"/long-resyncs"}}}}"#
        ),
    );
    // All are created in one batch, so that their events are queued together.
    let mut creating = tokio::task::JoinSet::new();
    for znode in 0..ZNODES {
        let client = arena.client.clone();
        creating.spawn(async move {
            let path = format!("/long/{znode}{}", "x".repeat(900_000));
            client.create(&path, b"", &persistent()).await.map(drop)
        });
    }
    while let Some(created) = creating.join_next().await {
        created.expect("it ran").expect("created");
    }
    let client = arena.client.clone();
    let counted = until("every event", async || {
        (number(&client, "/long-tally").await? == ZNODES).then_some(())
    });
    counted.await.unwrap();
    let status = arena.node.status("long");
    assert_eq!(status["failures"], 0, "{status}");
    arena.node.kill_and_restart();
    arena.client = arena.node.client().await;
    assert_eq!(
        number(&arena.client, "/long-tally").await,
        Some(ZNODES),
        "what was counted is not forgotten"
    );
    arena.check_bystanders().await.expect("the node goes on");
}
