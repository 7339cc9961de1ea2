//! Transactions that are too large for a record of the log: no part of them is written, and
//! everything that is written is read back by a node that starts again.

use crate::arena::Arena;
use crate::case::Case;
use crate::support::{create_surely, until};

const OUTPUT: &[&str] = &["passed its output limit", "limits.transaction_bytes"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_back_is_never_written() {
    let mut arena = Arena::open().await;
    let most = r#""transaction_bytes":16711680,"output_bytes":268435456"#;
    let cases = vec![
        Case::script(
            "as much as a transaction may hold",
            &[(
                r##"{"repeat":{"times":15,"step":{"create":{"path":"/hostile/out/a#","bytes":1000000}}}}"##,
                "ok",
            )],
        )
        .with_limits(most),
        // Each ACL entry is one that a client may write, and 4,400 of them are 4 GiB.
        Case::script(
            "4,400 creates with a megabyte of ACL each",
            &[(
                r##"{"repeat":{"times":4400,"step":{"create":{"path":"/hostile/out/a#",
                    "acl":[{"scheme":"digest","id":"u:","pad":1000000}]}}}}"##,
                "",
            )],
        )
        .fails(OUTPUT),
        Case::script(
            "the same with the greatest limits",
            &[(
                r##"{"repeat":{"times":60,"step":{"create":{"path":"/hostile/out/a#",
                    "acl":[{"scheme":"digest","id":"u:","pad":1000000}]}}}}"##,
                "",
            )],
        )
        .with_limits(most)
        .fails(OUTPUT),
        Case::script(
            "60 MB of data with the greatest limits",
            &[(
                r##"{"repeat":{"times":60,"step":{"create":{"path":"/hostile/out/a#","bytes":1000000}}}}"##,
                "",
            )],
        )
        .with_limits(most)
        .fails(OUTPUT),
        Case::script(
            "reads of twenty thousand long paths",
            &[(
                r##"{"repeat":{"times":20000,"step":{"get":{"path":"/hostile/#","pad":1000}}}}"##,
                "",
            )],
        )
        .fails(OUTPUT),
        Case::script(
            "calls of ten thousand assignors with long names",
            &[(
                r##"{"repeat":{"times":10000,"regardless":true,"step":{"assign":
                    {"name":"#","pad":1000,"resources":1,"members":1}}}}"##,
                "",
            )],
        )
        .fails(OUTPUT),
        Case::script(
            "deletes of what has a long path",
            &[
                (r#"{"create":{"path":"/hostile/out/","pad":1000000}}"#, ""),
                (r#"{"repeat":{"times":100,"regardless":true,"step":{"set":{"path":"/hostile/out/","pad":1000000}}}}"#, ""),
            ],
        )
        .fails(OUTPUT),
    ];
    arena.run_cases(cases).await;
    start_again(&mut arena).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_is_held_to_what_a_client_may_write() {
    let mut arena = Arena::open().await;
    let cases = vec![
        Case::script(
            "data of jute.maxbuffer and a byte",
            &[
                (
                    r#"{"create":{"path":"/hostile/out/a","bytes":1048577}}"#,
                    "bad-arguments",
                ),
                (r#"{"create":{"path":"/hostile/out/a"}}"#, "ok"),
                (
                    r#"{"set":{"path":"/hostile/out/a","bytes":1048577}}"#,
                    "bad-arguments",
                ),
                (
                    r#"{"write-many":[{"path":"/hostile/out/b","bytes":1048577}]}"#,
                    "bad-arguments",
                ),
                (r#"{"set":{"path":"/hostile/out/a","bytes":1000000}}"#, "ok"),
            ],
        ),
        Case::script(
            "an ACL longer than a client's may be",
            &[
                (
                    r#"{"create":{"path":"/hostile/out/a","acl":[{"scheme":"world","id":"anyone","times":20000}]}}"#,
                    "ok",
                ),
                (
                    r#"{"create":{"path":"/hostile/out/b","acl":[{"scheme":"digest","id":"u:","pad":1100000}]}}"#,
                    "invalid-acl",
                ),
                (
                    r#"{"create":{"path":"/hostile/out/b","acl":[{"scheme":"digest","id":"u:","pad":100,"times":12000}]}}"#,
                    "invalid-acl",
                ),
            ],
        ),
    ];
    arena.run_cases(cases).await;
    start_again(&mut arena).await;
}

/// What was acknowledged is there after a crash, and the node serves.
async fn start_again(arena: &mut Arena) {
    let client = arena.client.clone();
    for number in 0..10 {
        create_surely(&client, &format!("/plain/{number}"), b"kept").await;
    }
    arena.node.kill_and_restart();
    for number in 0..10 {
        let (data, _) = until("the node that was started again", async || {
            client.get_data(&format!("/plain/{number}")).await.ok()
        })
        .await
        .unwrap();
        assert_eq!(data, b"kept");
    }
    arena.check_bystanders().await.unwrap();
}
