//! Guests that pass invalid pointers, lengths, numbers and text to the host.

use crate::arena::Arena;
use crate::case::Case;
use crate::wat::{Parts, assignor, authorizer, error, recipe};

const TRAPPED: &[&str] = &["trapped"];

/// A create of `/hostile/out/x` without data, as far as its ACL.
const CREATE: &str = "(i32.const 1024) (i32.const 14) (i32.const 0) (i32.const 0)";
const NAMES: &str =
    r#"(data (i32.const 1024) "/hostile/out/x") (data (i32.const 1040) "\ff\fe\c0\80")"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_guest_hands_over_is_not_believed() {
    let mut arena = Arena::open().await;
    let parts = Parts {
        items: NAMES,
        ..Parts::default()
    };
    let mut cases = Vec::new();
    for (name, body) in [
        ("an error beyond the memory", error(-16, 64)),
        ("an error over the memory's end", error(131_000, 1_000)),
        ("an error as long as a number holds", error(0, -1)),
        ("an error that is no text", error(1040, 4)),
        (
            "an answer that is neither ok nor an error",
            "(i32.store8 (i32.const 16) (i32.const 7))".into(),
        ),
        (
            "an answer beyond the memory",
            "(return (i32.const -64))".into(),
        ),
        (
            "an answer over the memory's end",
            "(return (i32.const 131068))".into(),
        ),
        (
            "an answer between two places",
            "(return (i32.const 17))".into(),
        ),
        (
            "a message beyond the memory",
            "(call $log (i32.const 1) (i32.const -16) (i32.const 99))".into(),
        ),
        (
            "a message that is no text",
            "(call $log (i32.const 1) (i32.const 1040) (i32.const 4))".into(),
        ),
        (
            "a message of a level that is none",
            "(call $log (i32.const 9) (i32.const 1024) (i32.const 4))".into(),
        ),
        (
            "a path beyond the memory",
            "(call $get (i32.const -16) (i32.const 99) (i32.const 64))".into(),
        ),
        (
            "a path that is no text",
            "(call $get (i32.const 1040) (i32.const 4) (i32.const 64))".into(),
        ),
        (
            "a result that goes beyond the memory",
            "(call $get (i32.const 1024) (i32.const 14) (i32.const -16))".into(),
        ),
        (
            "a result between two places",
            "(call $get (i32.const 1024) (i32.const 14) (i32.const 65))".into(),
        ),
        (
            "more paths than memory",
            "(call $get_many (i32.const 0) (i32.const 0x7fffffff) (i32.const 64))".into(),
        ),
        (
            "as many paths as a number holds",
            "(call $get_many (i32.const 0) (i32.const -1) (i32.const 64))".into(),
        ),
        (
            "more writes than memory",
            "(call $write_many (i32.const 0) (i32.const 0x0fffffff) (i32.const 64))".into(),
        ),
        (
            "a write of a kind that is none",
            "(i32.store8 (i32.const 2048) (i32.const 9))
            (call $write_many (i32.const 2048) (i32.const 1) (i32.const 64))"
                .into(),
        ),
        (
            "an option that is neither",
            format!(
                "(call $create {CREATE} (i32.const 5) (i32.const 0) (i32.const 0)
               (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 64))"
            ),
        ),
        (
            "an ACL beyond the memory",
            format!(
                "(call $create {CREATE} (i32.const 1) (i32.const -64) (i32.const 100)
               (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 64))"
            ),
        ),
    ] {
        let guest = recipe(Parts {
            first: &body,
            ..parts
        });
        cases.push(Case::recipe(name, guest).fails(TRAPPED));
    }
    for (name, realloc) in [
        ("memory for the events beyond the memory", "(i32.const -64)"),
        (
            "memory for the events over the memory's end",
            "(i32.const 131068)",
        ),
        ("memory for the events between two places", "(i32.const 1)"),
        (
            "a host call while the host asks for memory",
            "(call $log (i32.const 1) (i32.const 1024) (i32.const 4)) (i32.const 4096)",
        ),
        (
            "a host call with a result while the host asks for memory",
            "(call $get (i32.const 1024) (i32.const 14) (i32.const 64)) (i32.const 4096)",
        ),
    ] {
        let guest = recipe(Parts { realloc, ..parts });
        cases.push(Case::recipe(name, guest).fails(TRAPPED));
    }
    cases.extend([
        // The events overlap each other and the answer, and no other guest is harmed.
        Case::recipe(
            "the same memory for everything",
            recipe(Parts {
                realloc: "(i32.const 4096)",
                first: "(i64.store (i32.const 16) (i64.const 0))",
                ..parts
            }),
        ),
        Case::recipe(
            "a host call behind the answer, in post-return",
            recipe(Parts {
                items: &format!(
                    r#"{NAMES} (func (export "cabi_post_react") (param i32)
                        (call $log (i32.const 1) (i32.const 1024) (i32.const 4)))"#
                ),
                ..parts
            }),
        )
        .fails(TRAPPED),
        // Only one bit of a flag counts, and every number except zero means true.
        Case::recipe(
            "a truth that is neither 0 nor 1",
            recipe(Parts {
                first: &format!(
                    "(call $create {CREATE} (i32.const 0) (i32.const 0) (i32.const 0)
                       (i32.const 0) (i64.const 0) (i32.const 77) (i32.const 64))"
                ),
                ..parts
            }),
        ),
        Case::authorizer(
            "a verdict that is none",
            authorizer(Parts { decide: "(i32.store8 (i32.const 16) (i32.const 9))", ..parts }),
        )
        .denies(TRAPPED),
        Case::authorizer(
            "a reason beyond the memory",
            authorizer(Parts {
                decide: "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store8 (i32.const 20) (i32.const 1))
                         (i32.store (i32.const 24) (i32.const -16)) (i32.store (i32.const 28) (i32.const 99))",
                ..parts
            }),
        )
        .denies(TRAPPED),
        Case::authorizer(
            "a load that answers with what is no text",
            authorizer(Parts { first: &error(1040, 4), ..parts }),
        )
        .denies(TRAPPED),
        Case::assignor(
            "an assignment beyond the memory",
            assignor(Parts {
                first: "(i32.store (i32.const 20) (i32.const -16)) (i32.store (i32.const 24) (i32.const 4))",
                ..parts
            }),
        )
        .unassigned(&["trapped"], TRAPPED),
        Case::assignor(
            "an assignment as long as a number holds",
            assignor(Parts {
                first: "(i32.store (i32.const 20) (i32.const 0)) (i32.store (i32.const 24) (i32.const -1))",
                ..parts
            }),
        )
        .unassigned(&["trapped"], TRAPPED),
    ]);
    arena.run_cases(cases).await;
}

/// A few bytes of the guest's memory that are long lists: the host counts what it would make of
/// them against the guest's limit on output.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_that_lie_over_each_other_cost_no_memory() {
    let mut arena = Arena::open().await;
    // 60 MiB of zeros are 7.8 million empty paths.
    let empty = recipe(Parts {
        memory: "1000",
        first: "(call $get_many (i32.const 65536) (i32.const 7800000) (i32.const 64))",
        ..Parts::default()
    });
    // A million entries of 8 bytes that all name the same megabyte.
    let pointers = "(local $at i32) (local.set $at (i32.const 2097152))
        (loop $next
          (i32.store (local.get $at) (i32.const 65536))
          (i32.store offset=4 (local.get $at) (i32.const 1048576))
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (br_if $next (i32.lt_u (local.get $at) (i32.const 10485760))))";
    let same = recipe(Parts {
        memory: "1000",
        first: &format!(
            "{pointers} (call $get_many (i32.const 2097152) (i32.const 1000000) (i32.const 64))"
        ),
        ..Parts::default()
    });
    // Two hundred thousand entries of an ACL whose schemes are the same megabyte.
    let entries = "(local $at i32) (local.set $at (i32.const 2097152))
        (loop $next
          (i32.store offset=4 (local.get $at) (i32.const 65536))
          (i32.store offset=8 (local.get $at) (i32.const 1048576))
          (local.set $at (i32.add (local.get $at) (i32.const 20)))
          (br_if $next (i32.lt_u (local.get $at) (i32.const 6097152))))";
    let acl = recipe(Parts {
        memory: "1000",
        items: NAMES,
        first: &format!(
            "{entries} (call $create {CREATE} (i32.const 1) (i32.const 2097152) (i32.const 200000)
               (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 64))"
        ),
        ..Parts::default()
    });
    // One answer of 40 MiB.
    let answer = assignor(Parts {
        memory: "1000",
        first: "(i32.store (i32.const 20) (i32.const 65536)) (i32.store (i32.const 24) (i32.const 10000000))",
        ..Parts::default()
    });
    let message = recipe(Parts {
        memory: "1000",
        first: "(call $log (i32.const 3) (i32.const 65536) (i32.const 50000000))",
        ..Parts::default()
    });
    let reason = authorizer(Parts {
        memory: "400",
        decide: "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store8 (i32.const 20) (i32.const 1))
                 (i32.store (i32.const 24) (i32.const 65536)) (i32.store (i32.const 28) (i32.const 20000000))",
        ..Parts::default()
    });
    let text = recipe(Parts {
        memory: "1000",
        first: &error(65_536, 50_000_000),
        ..Parts::default()
    });
    arena
        .run_cases(vec![
            Case::recipe("millions of empty paths", empty).fails(TRAPPED),
            Case::recipe("a million times the same megabyte", same).fails(TRAPPED),
            Case::recipe("an ACL of the same megabyte", acl).fails(TRAPPED),
            Case::assignor("an assignment of 40 MB", answer).unassigned(&["assignor"], TRAPPED),
            Case::recipe("a message of 50 MB", message).fails(TRAPPED),
            Case::authorizer("a reason of 20 MB", reason).denies(TRAPPED),
            Case::recipe("an error of 50 MB", text).fails(TRAPPED),
        ])
        .await;
}
