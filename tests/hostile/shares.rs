//! Many hostile guests at a time: a harmless one still reacts, and clients are still answered.

use crate::arena::{Arena, HOSTILE, TOLD};
use crate::guests::guest;
use crate::support::until;
use crate::wat::reacts;

/// The number of loops at a time: fifty for each guest thread.
const LOOPS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_loops_do_not_stop_a_harmless_binding() {
    let mut arena = Arena::open().await;
    let module = arena.node.push(&reacts("(loop $again (br $again))"));
    for number in 0..LOOPS {
        arena.node.bind(
            &format!("loop-{number}"),
            &format!(
                r#"{{"world":"recipe","module":"{module}","watch":["/hostile/in/*"],
                    "limits":{{"fuel":100000000}}}}"#
            ),
        );
    }
    for _ in 0..20 {
        arena.check_bystanders().await.unwrap();
    }
    // Each of them gets its turn, and its status shows the fuel that it used.
    until("every loop's failure", async || {
        (0..LOOPS)
            .all(|number| {
                let status = arena.node.status(&format!("loop-{number}"));
                status["last_error"]
                    .as_str()
                    .is_some_and(|error| error.contains("ran out of fuel"))
            })
            .then_some(())
    })
    .await
    .unwrap();
    // They used processor time that others left over. How much there is depends on what else the
    // machine does.
    let spare = arena.node.thread_seconds("spare");
    assert!(spare > 0.0, "{spare} s");
    arena.check_bystanders().await.unwrap();
    for number in 0..LOOPS {
        let (status, _) = arena
            .node
            .http("DELETE", &format!("/v1/bindings/loop-{number}"), b"");
        assert_eq!(status, 200);
    }
    arena.check_node(512 << 20).unwrap();
}

/// Twenty guests that each want all the memory that a document may grant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_side_by_side_have_no_more_than_their_places() {
    let mut arena = Arena::open().await;
    let module = arena.node.push(&guest("test-hostile"));
    for number in 0..20 {
        arena.node.bind(
            &format!("bomb-{number}"),
            &format!(
                r#"{{"world":"recipe","module":"{module}","watch":["/hostile/in/*"],
                    "write":["/hostile/out/*"],
                    "config":{{"mode":"bomb","out":"/hostile/out/{number}"}}}}"#
            ),
        );
    }
    arena.check_bystanders().await.unwrap();
    until("every bomb's failure", async || {
        (0..20)
            .all(|number| {
                let status = arena.node.status(&format!("bomb-{number}"));
                status["last_error"]
                    .as_str()
                    .is_some_and(|error| error.contains("passed its memory limit"))
            })
            .then_some(())
    })
    .await
    .unwrap();
    arena.check_bystanders().await.unwrap();
    // Sixteen places of 64 MiB each, and the node itself.
    arena.check_node((16 * 64 + 384) << 20).unwrap();
}

/// A recipe that writes the most that a transaction may hold by default, for every event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn megabytes_for_every_event_stop_nobody() {
    let mut arena = Arena::open().await;
    let each =
        |step: &str| format!(r#"{{"repeat":{{"times":15,"regardless":true,"step":{step}}}}}"#);
    arena.node.bind(
        HOSTILE,
        &format!(
            r#"{{"world":"recipe","module":"{}","watch":["/in/*"],"write":["/hostile/out/**"],
                "config":{{"out":"{TOLD}","steps":[{},{}]}}}}"#,
            arena.script(),
            each(r##"{"create":{"path":"/hostile/out/a#"}}"##),
            each(r##"{"set":{"path":"/hostile/out/a#","bytes":500000}}"##),
        ),
    );
    for _ in 0..20 {
        arena.check_bystanders().await.unwrap();
    }
    let status = until("two of its reactions", async || {
        let status = arena.node.status(HOSTILE);
        (status["invocations"].as_u64() >= Some(2)).then_some(status)
    })
    .await
    .unwrap();
    assert_eq!(status["failures"], 0, "{status}");
    arena.check_node(768 << 20).unwrap();
}

/// The most authorizers that a node runs, each with an instance on each of its workers: recipes and
/// assignors keep their own places, and one more authorizer is refused a place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_authorizers_that_a_node_takes_leave_the_others_their_places() {
    let mut arena = Arena::open().await;
    let module = arena.node.push(&guest("test-hostile-authorizer"));
    let document = format!(
        r#"{{"world":"authorizer","module":"{module}","watch":["/guarded/**"],"policy":["/policy"],
            "config":{{"mode":"none"}}}}"#
    );
    for number in 0..32 {
        arena.node.bind(&format!("guard-{number}"), &document);
    }
    for _ in 0..10 {
        arena.client.get_data("/guarded/x").await.unwrap();
        arena
            .client
            .set_data("/policy", b"moved", None)
            .await
            .unwrap();
        arena.check_bystanders().await.unwrap();
    }
    let (status, answer) = arena.node.http(
        "PUT",
        "/v1/bindings/guard-32?wait=activated",
        document.as_bytes(),
    );
    assert_eq!(status, 422, "{answer}");
    let sentence = answer["error"].as_str().unwrap_or_default();
    assert!(sentence.contains("32 authorizers are active"), "{sentence}");
    arena.client.get_data("/guarded/x").await.unwrap();
    for number in 0..32 {
        let status = arena.node.status(&format!("guard-{number}"));
        assert_eq!(status["failures"], 0, "{status}");
    }
    arena.check_node(640 << 20).unwrap();
}
