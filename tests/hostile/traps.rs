//! Guests that trap: the status names the trap, and the next reaction runs in a fresh instance.

use crate::arena::Arena;
use crate::case::{Case, in_each_world};
use crate::wat::{Parts, recipe};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_is_named_and_ends_its_own_invocation() {
    let mut arena = Arena::open().await;
    let parts = Parts::default();
    let table = "(table $t 2 funcref) (elem $e func $other) (elem (i32.const 0) $other)
                 (type $none (func)) (func $other (param i64))";
    let mut cases = Vec::new();
    cases.extend(in_each_world(
        "unreachable",
        Parts {
            first: "(unreachable)",
            ..parts
        },
        &["trapped", "unreachable"],
        &["trapped"],
    ));
    for (name, body, needles) in [
        (
            "a division by zero",
            "(drop (i32.div_s (local.get $count) (i32.const 0)))",
            &["trapped", "divide by zero"][..],
        ),
        (
            "a remainder by zero",
            "(drop (i64.rem_u (i64.const 1) (i64.extend_i32_u (i32.sub (local.get $count) (local.get $count)))))",
            &["trapped", "divide by zero"],
        ),
        (
            "a quotient that is too great",
            "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))",
            &["trapped", "integer overflow"],
        ),
        (
            "a number out of NaN",
            "(drop (i32.trunc_f32_s (f32.const nan)))",
            &["trapped", "invalid conversion"],
        ),
        (
            "a load beyond the memory",
            "(drop (i64.load (i32.const -8)))",
            &["trapped", "out of bounds memory access"],
        ),
        (
            "a load at the greatest offset",
            "(drop (i32.load8_u offset=0xffffffff (i32.const -1)))",
            &["trapped", "out of bounds memory access"],
        ),
        (
            "a store over the memory's end",
            "(i64.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)) (i64.const 1))",
            &["trapped", "out of bounds memory access"],
        ),
        (
            "a fill beyond the memory",
            "(memory.fill (i32.const 131000) (i32.const 1) (i32.const 1000))",
            &["trapped", "out of bounds memory access"],
        ),
    ] {
        cases.push(Case::reacts(name, body).fails(needles));
    }
    for (name, body, needles) in [
        (
            "an indirect call of nothing",
            "(call_indirect $t (type $none) (i32.const 1))",
            &["trapped", "uninitialized element"][..],
        ),
        (
            "an indirect call of another type",
            "(call_indirect $t (type $none) (i32.const 0))",
            &["trapped", "indirect call type mismatch"],
        ),
        (
            "an indirect call beyond the table",
            "(call_indirect $t (type $none) (i32.const 2))",
            &["trapped", "out of bounds table access"],
        ),
        (
            "an element beyond the table",
            "(table.set $t (i32.const -1) (ref.null func))",
            &["trapped", "out of bounds table access"],
        ),
        (
            "elements beyond the table",
            "(table.init $t $e (i32.const 1) (i32.const 0) (i32.const 100))",
            &["trapped", "out of bounds table access"],
        ),
    ] {
        let guest = recipe(Parts {
            items: table,
            first: body,
            ..parts
        });
        cases.push(Case::recipe(name, guest).fails(needles));
    }
    cases.extend([
        Case::recipe(
            "data beyond the memory",
            recipe(Parts {
                items: r#"(data (i32.const 131071) "xx")"#,
                ..parts
            }),
        )
        .fails(&["trapped", "out of bounds memory access"]),
        Case::recipe(
            "elements of a table beyond its end",
            recipe(Parts {
                items: "(table 1 funcref) (func $f) (elem (i32.const 1) $f)",
                ..parts
            }),
        )
        .fails(&["trapped", "out of bounds table access"]),
        Case::recipe(
            "a trap behind the answer, in post-return",
            recipe(Parts {
                items: r#"(func (export "cabi_post_react") (param i32) (unreachable))"#,
                ..parts
            }),
        )
        .fails(&["trapped", "unreachable"]),
        Case::misbehaving("test-hostile", "trap").fails(&["trapped"]),
        Case::misbehaving("test-hostile-authorizer", "trap").denies(&["trapped"]),
        Case::misbehaving("test-hostile-assignor", "trap").unassigned(&["trapped"], &["trapped"]),
        Case::misbehaving("test-hostile", "fail").fails(&["returned an error", "I fail, as told"]),
    ]);
    arena.run_cases(cases).await;
}
