//! Failures that repeat, or that another guest causes: they are remembered, and count only against
//! the guest at fault.

use crate::arena::{Arena, HOSTILE};
use crate::guests::guest;
use crate::support::{persistent, until};

/// An authorizer that fails under every policy opens its breaker, however often its policy changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_moves_closes_no_breaker() {
    let mut arena = Arena::open().await;
    let module = arena.node.push(&guest("test-hostile-authorizer"));
    let client = arena.client.clone();
    arena.node.bind(
        HOSTILE,
        &format!(
            r#"{{"world":"authorizer","module":"{module}","watch":["/guarded/**"],
                "policy":["/policy/**"],"config":{{"mode":"trap","in":"load"}}}}"#
        ),
    );
    let mut round = 0;
    until("an open breaker", async || {
        round += 1;
        client
            .set_data("/policy", format!("{round}").as_bytes(), None)
            .await
            .ok()?;
        assert!(client.get_data("/guarded/x").await.is_err(), "it is denied");
        (arena.node.status(HOSTILE)["breaker"] == "open").then_some(())
    })
    .await
    .unwrap();
    arena.check_bystanders().await.unwrap();
    // Once the breaker is open, a change of the policy does not close it.
    let failures = arena.status()["failures"].as_u64().unwrap();
    for number in 0..50 {
        client
            .set_data("/policy", format!("{number}").as_bytes(), None)
            .await
            .unwrap();
        assert!(client.get_data("/guarded/x").await.is_err(), "it is denied");
    }
    let status = arena.status();
    assert_eq!(status["breaker"], "open", "{status}");
    let more = status["failures"].as_u64().unwrap() - failures;
    assert!(more < 25, "it was tried {more} times for 50 requests");
    arena.check_node(384 << 20).unwrap();
}

/// An assignor that loops costs its callers a full budget of fuel only now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assignor_that_fails_again_and_again_has_a_breaker() {
    let mut arena = Arena::open().await;
    let module = arena.node.push(&guest("test-hostile-assignor"));
    arena.node.bind(
        HOSTILE,
        &format!(r#"{{"world":"assignor","module":"{module}","config":{{"mode":"trap"}}}}"#),
    );
    arena.node.bind(
        "caller",
        &format!(
            r#"{{"world":"recipe","module":"{}","watch":["/hostile/in/*"],"write":["/hostile/out/*"],
                "config":{{"out":"/hostile/out/told","steps":[
                    {{"assign":{{"name":"{HOSTILE}","resources":4,"members":2}}}}]}}}}"#,
            arena.script()
        ),
    );
    let client = arena.client.clone();
    let mut number = 0;
    until("an open breaker", async || {
        number += 1;
        let path = format!("/hostile/in/{number}");
        client.create(&path, b"", &persistent()).await.ok()?;
        (arena.node.status(HOSTILE)["breaker"] == "open").then_some(())
    })
    .await
    .unwrap();
    assert_eq!(arena.node.status("caller")["failures"], 0);
    // The fuel and the log of the failed calls are in the assignor's own status.
    let status = arena.status();
    assert!(status["last_fuel"].as_u64() > Some(0), "{status}");
    let logged = status["log"][0].as_str().expect("a line");
    assert!(logged.starts_with("panicked at "), "{status}");
    arena.check_bystanders().await.unwrap();
}

/// Two recipes that react to each other: the chain is cut, and the status says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cascade_that_is_cut_says_so() {
    let mut arena = Arena::open().await;
    let client = arena.client.clone();
    for path in ["/hostile/ping", "/hostile/pong"] {
        client.create(path, b"", &persistent()).await.unwrap();
    }
    for (name, stamp, from, to) in [
        ("ping", "test-stamp-1", "/hostile/ping", "/hostile/pong"),
        ("pong", "test-stamp-2", "/hostile/pong", "/hostile/ping"),
    ] {
        let module = arena.node.push(&guest(stamp));
        arena.node.bind(
            name,
            &format!(
                r#"{{"world":"recipe","module":"{module}","watch":["{from}/*"],"write":["{to}/**"],
                    "config":{{"out":"{to}"}}}}"#
            ),
        );
    }
    client
        .create("/hostile/ping/x", b"", &persistent())
        .await
        .unwrap();
    let cut = || {
        ["ping", "pong"]
            .iter()
            .map(|name| {
                arena.node.status(name)["cascades_cut"]
                    .as_u64()
                    .unwrap_or(0)
            })
            .sum::<u64>()
    };
    until("a status that tells of the cut", async || {
        (cut() > 0).then_some(())
    })
    .await
    .unwrap();
    let reactions: u64 = ["ping", "pong"]
        .iter()
        .map(|name| arena.node.status(name)["invocations"].as_u64().unwrap())
        .sum();
    // The longest chain, its last reaction, and the resync at the creation of each binding.
    assert!(reactions <= 32 + 1 + 2, "{reactions} reactions");
    arena.check_bystanders().await.unwrap();
    arena.check_node(384 << 20).unwrap();
}

/// A binding that is deleted while its guest runs takes its failure with it: the next binding of
/// the same name begins without a failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_failure_is_not_booked_on_a_successor() {
    let mut arena = Arena::open().await;
    let hostile = arena.node.push(&guest("test-hostile"));
    let document = |mode: &str| {
        format!(
            r#"{{"world":"recipe","module":"{hostile}","watch":["/hostile/in/*"],
                "write":["/hostile/out/*"],"config":{{"mode":"{mode}","out":"/hostile/out/n"}}}}"#
        )
    };
    for round in 0..5 {
        arena.node.bind(HOSTILE, &document("loop"));
        // The binding is deleted at once: its first reaction, to the resync of its creation, has
        // hardly begun.
        let (status, _) = arena.node.http("DELETE", "/v1/bindings/hostile", b"");
        assert_eq!(status, 200);
        arena.node.bind(HOSTILE, &document("none"));
        let status = until("the successor's reaction", async || {
            let status = arena.status();
            (status["invocations"] != 0).then_some(status)
        })
        .await
        .unwrap();
        assert_eq!(status["failures"], 0, "round {round}: {status}");
        assert!(status["last_error"].is_null(), "round {round}: {status}");
        let (status, _) = arena.node.http("DELETE", "/v1/bindings/hostile", b"");
        assert_eq!(status, 200);
        arena.check_bystanders().await.unwrap();
    }
}
