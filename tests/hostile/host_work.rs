//! Guests that make the host work: the work costs the guest fuel, and holds up no other guest.

use zookeeper_client as zk;

use crate::arena::{Arena, HOSTILE};
use crate::case::Case;
use crate::guests::guest;
use crate::support::{persistent, until};

/// The number of children of the znode that hostile guests read.
const CHILDREN: usize = 20_000;

/// `/hostile/big`, with many children.
async fn grow_big(client: &zk::Client) {
    client
        .create("/hostile/big", b"", &persistent())
        .await
        .unwrap();
    for chunk in 0..CHILDREN / 1_000 {
        let mut writer = client.new_multi_writer();
        for number in 0..1_000 {
            let path = format!("/hostile/big/{:06}", chunk * 1_000 + number);
            writer.add_create(&path, b"", &persistent()).unwrap();
        }
        writer.commit().await.unwrap();
    }
}

/// Repeats a step without end, and ignores its results.
fn for_ever(step: &str) -> String {
    format!(r#"{{"repeat":{{"times":1000000000,"regardless":true,"step":{step}}}}}"#)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_host_does_for_a_guest_is_charged_to_it() {
    let mut arena = Arena::open().await;
    grow_big(&arena.client).await;
    let mut cases = Vec::new();
    for (name, step) in [
        (
            "deletes of a parent of many",
            r#"{"delete":{"path":"/hostile/out"}}"#,
        ),
        (
            "stats of a parent of many",
            r#"{"exists":{"path":"/hostile/big"}}"#,
        ),
        (
            "lists of many children",
            r#"{"children":{"path":"/hostile/big"}}"#,
        ),
        ("scans of everything", r#"{"scan":{"path":"/hostile"}}"#),
        (
            "gets of what is not there",
            r#"{"get":{"path":"/hostile/nowhere"}}"#,
        ),
        (
            "owners of what is not ephemeral",
            r#"{"owner":{"path":"/hostile/big"}}"#,
        ),
        (
            "sequential creates below a parent of many",
            r#"{"create":{"path":"/hostile/big/","sequential":true}}"#,
        ),
        (
            "calls of an assignor that is not there",
            r#"{"assign":{"name":"none","resources":1,"members":1}}"#,
        ),
        (
            "questions of a hundred thousand resources",
            r#"{"assign":{"name":"none","resources":100000,"members":10000}}"#,
        ),
    ] {
        let step = for_ever(step).replace("/hostile/out", "/hostile/big");
        let mut case = Case::script(name, &[(&step, "")]).fails(&["the guest"]);
        case.more = case.more.replace(
            r#""/hostile/out/**""#,
            r#""/hostile/out/**","/hostile/big/**""#,
        );
        cases.push(case);
    }
    // The fuel that a document may grant would last for minutes; the limit on time stops the guest
    // earlier.
    cases.push(
        Case::misbehaving("test-hostile", "loop")
            .with_limits(r#""fuel":100000000000,"time_ms":300"#)
            .fails(&["took too long", "limits.time_ms"]),
    );
    arena.run_cases(cases).await;
}

/// One more at a time than there are guest threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hosts_work_for_some_guests_holds_up_no_other() {
    let mut arena = Arena::open().await;
    grow_big(&arena.client).await;
    let document = format!(
        r#"{{"world":"recipe","module":"{}","watch":["/hostile/in/*"],"write":["/hostile/big/**"],
            "config":{{"out":"/hostile/big/told","steps":[{}]}}}}"#,
        arena.script(),
        for_ever(r#"{"delete":{"path":"/hostile/big"}}"#)
    );
    for number in 0..3 {
        arena.node.bind(&format!("hostile-{number}"), &document);
    }
    for _ in 0..10 {
        arena.check_bystanders().await.unwrap();
    }
    for number in 0..3 {
        let name = format!("hostile-{number}");
        until("a failure that is named", async || {
            arena.node.status(&name)["last_error"]
                .as_str()
                .is_some_and(|error| error.contains("the guest"))
                .then_some(())
        })
        .await
        .unwrap();
    }
    arena.check_node(512 << 20).unwrap();
}

/// An authorizer that reads everything in `load`, since its policy is everything: a client that
/// asks for a guarded znode waits for its verdict, and no other client does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_reads_everything_holds_up_no_client() {
    let mut arena = Arena::open().await;
    grow_big(&arena.client).await;
    let module = arena.node.push(&guest("test-hostile-authorizer"));
    arena.node.bind(
        HOSTILE,
        &format!(
            r#"{{"world":"authorizer","module":"{module}","watch":["/guarded/**"],"policy":["/**"],
                "config":{{"mode":"reads","in":"load","scan":"/"}}}}"#
        ),
    );
    let asking = arena.node.client().await;
    let (asked, told) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let mut denials = 0;
        while denials < 5 {
            match asking.get_data("/guarded/x").await {
                Err(zk::Error::NoAuth) => denials += 1,
                other => panic!("it was answered with {other:?}"),
            }
        }
        // The test may have failed and ended.
        let _ = asked.send(denials);
    });
    for _ in 0..20 {
        arena.check_bystanders().await.unwrap();
    }
    assert_eq!(told.await.unwrap(), 5);
    task.await.unwrap();
    let error = arena.last_error().await.unwrap();
    assert!(error.contains("the guest"), "{error}");
    arena.check_node(512 << 20).unwrap();
}
