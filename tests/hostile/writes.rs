//! Transactions that hold too much, or that contradict themselves: no part of them is committed.

use crate::arena::Arena;
use crate::case::Case;

const OUTPUT: &[&str] = &["passed its output limit"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_makes_no_sense_is_told_so_and_the_rest_commits() {
    let mut arena = Arena::open().await;
    let cases = vec![
        Case::script(
            "sessions that nobody gave it",
            &[
                (
                    r#"{"create":{"path":"/hostile/out/a","ephemeral":0}}"#,
                    "session-expired",
                ),
                (
                    r#"{"create":{"path":"/hostile/out/a","ephemeral":1}}"#,
                    "session-expired",
                ),
                (
                    r#"{"create":{"path":"/hostile/out/a","ephemeral":72057594037927936}}"#,
                    "session-expired",
                ),
                (
                    r#"{"create":{"path":"/hostile/out/a","ephemeral":18446744073709551615}}"#,
                    "session-expired",
                ),
                (r#"{"create":{"path":"/hostile/out/a"}}"#, "ok"),
            ],
        ),
        Case::script(
            "ACLs that are none",
            &[
                (
                    r#"{"create":{"path":"/hostile/out/a","acl":[]}}"#,
                    "invalid-acl",
                ),
                (
                    r#"{"create":{"path":"/hostile/out/a","acl":[{"scheme":"","id":""}]}}"#,
                    "invalid-acl",
                ),
                (
                    r#"{"create":{"path":"/hostile/out/a","acl":[{"scheme":"wizard","id":"x"}]}}"#,
                    "invalid-acl",
                ),
                (
                    r#"{"create":{"path":"/hostile/out/a","acl":[{"scheme":"world","id":"nobody"}]}}"#,
                    "invalid-acl",
                ),
                (
                    r#"{"create":{"path":"/hostile/out/a","acl":[{"scheme":"ip","id":"999.1.1.1"}]}}"#,
                    "invalid-acl",
                ),
                (
                    r#"{"create":{"path":"/hostile/out/a","acl":[{"scheme":"digest","id":"no colon"}]}}"#,
                    "invalid-acl",
                ),
                (
                    r#"{"create":{"path":"/hostile/out/a","acl":[{"scheme":"auth","id":""}]}}"#,
                    "invalid-acl",
                ),
                (
                    r#"{"create":{"path":"/hostile/out/a","acl":[{"scheme":"world","id":"anyone"}]}}"#,
                    "ok",
                ),
            ],
        ),
        Case::script(
            "versions and places that do not fit",
            &[
                (r#"{"set":{"path":"/hostile/out/a","bytes":1}}"#, "no-node"),
                (r#"{"delete":{"path":"/hostile/out/a"}}"#, "no-node"),
                (r#"{"create":{"path":"/hostile/out/a/b/c"}}"#, "no-node"),
                (r#"{"create":{"path":"/hostile/out/a"}}"#, "ok"),
                (r#"{"create":{"path":"/hostile/out/a"}}"#, "node-exists"),
                (
                    r#"{"set":{"path":"/hostile/out/a","version":7}}"#,
                    "bad-version",
                ),
                (
                    r#"{"set":{"path":"/hostile/out/a","version":-2147483648}}"#,
                    "bad-version",
                ),
                (
                    r#"{"delete":{"path":"/hostile/out/a","version":2147483647}}"#,
                    "bad-version",
                ),
                (r#"{"create":{"path":"/hostile/out/a/b"}}"#, "ok"),
                (r#"{"delete":{"path":"/hostile/out/a"}}"#, "not-empty"),
                (r#"{"delete":{"path":"/hostile/out/a/b"}}"#, "ok"),
                (r#"{"delete":{"path":"/hostile/out/a","version":0}}"#, "ok"),
                (
                    r#"{"delete":{"path":"/hostile/out/a","version":0}}"#,
                    "no-node",
                ),
            ],
        ),
        Case::script(
            "a bulk of writes of which one is not its own",
            &[
                (
                    r#"{"write-many":[{"path":"/hostile/out/a"},{"path":"/guarded/y"},{"path":"/hostile/out/b"}]}"#,
                    "no-auth",
                ),
                (r#"{"get":{"path":"/hostile/out/a"}}"#, "ok"),
                (r#"{"get":{"path":"/hostile/out/b"}}"#, "none"),
            ],
        ),
    ];
    arena.run_cases(cases).await;
    assert!(
        arena.client.get_data("/guarded/y").await.is_err(),
        "nothing was written where nothing is granted"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_holds_no_more_than_its_limits() {
    let mut arena = Arena::open().await;
    let cases = vec![
        Case::script(
            "eight megabytes by default, in pieces",
            &[(
                r##"{"repeat":{"times":20,"step":{"create":{"path":"/hostile/out/a#","bytes":500000}}}}"##,
                "",
            )],
        )
        .fails(&["passed its output limit", "limits.transaction_bytes"]),
        Case::script(
            "more writes than allowed",
            &[(
                r##"{"repeat":{"times":200,"step":{"create":{"path":"/hostile/out/a#"}}}}"##,
                "",
            )],
        )
        .with_limits(r#""transaction_ops":100"#)
        .fails(&["passed its output limit", "limits.transaction_ops"]),
        Case::script(
            "more bytes than a small limit",
            &[(r#"{"create":{"path":"/hostile/out/a","bytes":2000}}"#, "")],
        )
        .with_limits(r#""transaction_bytes":1024"#)
        .fails(&["passed its output limit", "limits.transaction_bytes"]),
        Case::script(
            "more calls than allowed",
            &[(
                r#"{"repeat":{"times":1000,"step":{"get":{"path":"/hostile/in"}}}}"#,
                "",
            )],
        )
        .with_limits(r#""host_calls":100"#)
        .fails(&["passed its limit of host calls", "limits.host_calls"]),
        Case::script(
            "one znode, set again and again",
            &[(
                r#"{"repeat":{"times":100000,"step":{"set":{"path":"/hostile/out","bytes":400000}}}}"#,
                "",
            )],
        )
        .fails(OUTPUT),
        Case::misbehaving("test-hostile", "writes").fails(OUTPUT),
        Case::misbehaving("test-hostile", "reads").fails(&["the guest"]),
        Case::misbehaving("test-hostile", "forbidden").fails(&["returned an error", "no-auth"]),
    ];
    arena.run_cases(cases).await;
    assert!(
        arena
            .client
            .list_children("/hostile/out")
            .await
            .unwrap()
            .is_empty(),
        "nothing of them was committed"
    );
}
