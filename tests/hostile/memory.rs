//! Guests that ask for memory: each gets as much as its limit, and the node needs little more.

use crate::arena::Arena;
use crate::case::{Case, in_each_world};
use crate::wat::{Parts, assignor, authorizer, for_ever, recipe};

const MEMORY: &[&str] = &["passed its memory limit", "limits.memory_bytes"];
const FUEL: &[&str] = &["ran out of fuel"];

/// Allocates a page and writes to it, again and again.
const GROW: &str =
    "(i32.store (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)) (i32.const 1))";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_has_no_more_memory_than_its_limit() {
    let mut arena = Arena::open().await;
    let parts = Parts::default();
    let bomb = for_ever(GROW);
    let mut cases = Vec::new();
    cases.extend(in_each_world(
        "memory page by page",
        Parts {
            first: &bomb,
            ..parts
        },
        MEMORY,
        &["passed its memory limit"],
    ));
    cases.extend([
        Case::authorizer(
            "memory page by page in decide",
            authorizer(Parts {
                decide: &bomb,
                ..parts
            }),
        )
        .denies(MEMORY),
        Case::reacts("4 GiB at once", "(drop (memory.grow (i32.const 65535)))").fails(MEMORY),
        Case::reacts(
            "as many pages as a number holds",
            "(drop (memory.grow (i32.const -1)))",
        )
        .fails(MEMORY),
        Case::recipe(
            "a page more than the limit from the start",
            recipe(Parts {
                memory: "1025",
                ..parts
            }),
        )
        .fails(MEMORY),
        Case::assignor(
            "a page more than the limit from the start, assignor",
            assignor(Parts {
                memory: "1025",
                ..parts
            }),
        )
        .unassigned(&["passed its memory limit"], MEMORY),
        Case::recipe(
            "a page more than a small limit",
            recipe(Parts {
                memory: "17",
                ..parts
            }),
        )
        .with_limits(r#""memory_bytes":1048576"#)
        .fails(MEMORY),
        Case::recipe(
            "all that any limit allows",
            recipe(Parts {
                memory: "16",
                first: &bomb,
                ..parts
            }),
        )
        .with_limits(r#""memory_bytes":268435456"#)
        .within(640 << 20)
        .fails(MEMORY),
        Case::recipe(
            "memory in cabi_realloc",
            recipe(Parts {
                realloc: &format!("{bomb} (unreachable)"),
                ..parts
            }),
        )
        .fails(MEMORY),
        Case::recipe(
            "4 GiB from the start",
            recipe(Parts {
                memory: "65536",
                ..parts
            }),
        )
        .refused(&["not valid here", "memory"]),
        Case::recipe(
            "a page more than any limit allows from the start",
            recipe(Parts {
                memory: "4097",
                ..parts
            }),
        )
        .refused(&["not valid here", "memory"]),
        Case::misbehaving("test-hostile", "bomb").fails(MEMORY),
        Case::misbehaving("test-hostile-authorizer", "bomb").denies(MEMORY),
        Case::misbehaving("test-hostile-assignor", "bomb")
            .unassigned(&["passed its memory limit"], MEMORY),
    ]);
    arena.run_cases(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_has_no_more_tables_than_its_limit() {
    let mut arena = Arena::open().await;
    let parts = Parts::default();
    let segments: String = (0..20_000)
        .map(|at| format!(r#"(data (i32.const {}) "x")"#, 2_048 + at))
        .collect();
    let globals: String = (0..20_000)
        .map(|at| format!("(global (mut i64) (i64.const {at}))"))
        .collect();
    let growing = for_ever("(drop (table.grow $t (ref.null func) (i32.const 1000)))");
    let cases = vec![
        Case::recipe(
            "a table of ten million from the start",
            recipe(Parts {
                items: "(table 10000000 funcref)",
                ..parts
            }),
        )
        .refused(&["not valid here", "table"]),
        Case::recipe(
            "a table that grows for ever",
            recipe(Parts {
                items: "(table $t 1 funcref)",
                first: &growing,
                ..parts
            }),
        )
        .fails(FUEL),
        Case::recipe(
            "a table that grows by all there is",
            recipe(Parts {
                items: "(table $t 1 funcref)",
                first: "(drop (table.grow $t (ref.null func) (i32.const -1)))",
                ..parts
            }),
        )
        .fails(FUEL),
        Case::recipe(
            "twenty thousand segments of data",
            recipe(Parts {
                items: &segments,
                ..parts
            }),
        ),
        // An instance has room for a megabyte of global variables.
        Case::recipe(
            "twenty thousand variables",
            recipe(Parts {
                items: &globals,
                ..parts
            }),
        ),
        Case::recipe(
            "fifty tables",
            recipe(Parts {
                items: &"(table 1 funcref)".repeat(50),
                ..parts
            }),
        )
        .refused(&["not valid here", "table"]),
    ];
    arena.run_cases(cases).await;
}
