//! Guests that never end: each is stopped by its limit on fuel or stack, wherever it loops.

use crate::arena::Arena;
use crate::case::{Case, in_each_world};
use crate::wat::{Parts, authorizer, for_ever, recipe};

const FUEL: &[&str] = &["ran out of fuel", "limits.fuel"];
const STACK: &[&str] = &["trapped", "call stack exhausted"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_never_end_end_at_their_fuel() {
    let mut arena = Arena::open().await;
    let parts = Parts::default();
    let endless = for_ever("");
    let mut cases = Vec::new();
    // With the default limits of a document.
    cases.extend(in_each_world(
        "a loop",
        Parts {
            first: &endless,
            ..parts
        },
        FUEL,
        &["ran out of fuel"],
    ));
    cases.extend(in_each_world(
        "a loop in the start function",
        Parts {
            items: "(func $start (loop $again (br $again))) (start $start)",
            ..parts
        },
        FUEL,
        &["ran out of fuel"],
    ));
    cases.extend([
        Case::recipe(
            "a loop in cabi_realloc",
            recipe(Parts { realloc: "(loop $again (br $again)) (unreachable)", ..parts }),
        )
        .fails(FUEL),
        Case::recipe(
            "a loop behind the answer, in post-return",
            recipe(Parts {
                items: r#"(func (export "cabi_post_react") (param i32) (loop $again (br $again)))"#,
                ..parts
            }),
        )
        .fails(FUEL),
        Case::authorizer(
            "a loop in decide",
            authorizer(Parts { decide: &endless, ..parts }),
        )
        .denies(FUEL),
        Case::reacts("a branch table that leads to itself", "(loop $a (br_table $a $a (i32.const 0)))")
            .fails(FUEL),
        Case::recipe(
            "two functions that never stop calling a third",
            recipe(Parts {
                items: "(func $leaf) (func $f (call $leaf)) (func $g (call $f) (call $leaf))",
                first: &for_ever("(call $g)"),
                ..parts
            }),
        )
        .fails(FUEL),
        Case::reacts("a loop of memory.fill", &for_ever(
            "(memory.fill (i32.const 1024) (i32.const 7) (i32.const 60000))",
        ))
        .fails(FUEL),
        Case::recipe(
            "a loop of memory.fill over 32 MiB",
            recipe(Parts {
                memory: "513",
                first: &for_ever("(memory.fill (i32.const 1024) (i32.const 7) (i32.const 33554432))"),
                ..parts
            }),
        )
        .fails(FUEL),
        Case::recipe(
            "a loop of memory.copy over 32 MiB",
            recipe(Parts {
                memory: "513",
                first: &for_ever("(memory.copy (i32.const 0) (i32.const 64) (i32.const 33554432))"),
                ..parts
            }),
        )
        .fails(FUEL),
        Case::recipe(
            "a loop of table.fill",
            recipe(Parts {
                items: "(table $t 100000 funcref)",
                first: &for_ever("(table.fill $t (i32.const 0) (ref.null func) (i32.const 100000))"),
                ..parts
            }),
        )
        .fails(FUEL),
        Case::reacts(
            "a loop of divisions and square roots",
            &for_ever(
                "(drop (f64.sqrt (f64.convert_i32_u (i32.div_u (local.get $count) (i32.const 3)))))",
            ),
        )
        .fails(FUEL),
        Case::misbehaving("test-hostile", "loop").fails(FUEL),
        Case::misbehaving("test-hostile-authorizer", "loop").denies(FUEL),
        Case::misbehaving("test-hostile-assignor", "loop").unassigned(&["ran out of fuel"], FUEL),
    ]);
    arena.run_cases(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_never_stop_calling_end_at_their_stack() {
    let mut arena = Arena::open().await;
    let parts = Parts::default();
    let locals = "i64 ".repeat(1_000);
    let many = format!(
        "(func $f (param $n i64) (local {locals}) (call $f (i64.add (local.get $n) (i64.const 1))))"
    );
    let mut cases = Vec::new();
    cases.extend(in_each_world(
        "a function that calls itself",
        Parts {
            items: "(func $f (call $f))",
            first: "(call $f)",
            ..parts
        },
        STACK,
        &["trapped", "call stack exhausted"],
    ));
    cases.extend([
        Case::recipe(
            "a function that calls itself through a table",
            recipe(Parts {
                items: "(table 1 funcref) (elem (i32.const 0) $f) (type $t (func))
                        (func $f (call_indirect (type $t) (i32.const 0)))",
                first: "(call $f)",
                ..parts
            }),
        )
        .fails(STACK),
        Case::recipe(
            "a function with a thousand locals that calls itself",
            recipe(Parts {
                items: &many,
                first: "(call $f (i64.const 0))",
                ..parts
            }),
        )
        .fails(STACK),
        Case::recipe(
            "a start function that calls itself",
            recipe(Parts {
                items: "(func $start (call $start)) (start $start)",
                ..parts
            }),
        )
        .fails(STACK),
        Case::recipe(
            "cabi_realloc that calls itself",
            recipe(Parts {
                items: "(func $f (param i32) (result i32) (call $f (local.get 0)))",
                realloc: "(call $f (local.get $size))",
                ..parts
            }),
        )
        .fails(STACK),
        Case::misbehaving("test-hostile", "stack").fails(STACK),
    ]);
    arena.run_cases(cases).await;
}
