//! Files that are no modules, and modules that import functions which do not exist: each is refused
//! with a sentence, whatever its content is.

use crate::arena::Arena;
use crate::bombs;
use crate::case::Case;
use crate::guests::guest;
use crate::wat::{Parts, parse, reacts, recipe};

const BINARY: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// These bytes behind a valid header.
fn behind(header: &[u8], bytes: &[u8]) -> Vec<u8> {
    [header, bytes].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_module_is_refused() {
    let mut arena = Arena::open().await;
    let good = guest("test-tally");
    let noise: Vec<u8> = (0_u32..100_000)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut cases = vec![
        Case::module("nothing", b"").refused(&["not WebAssembly"]),
        Case::module("a script", b"#!/bin/sh\nrm -rf /\n").refused(&["not WebAssembly"]),
        Case::module("a program of Linux", b"\x7fELF\x02\x01\x01\0").refused(&["not WebAssembly"]),
        Case::module("half a header", b"\0asm\x01").refused(&["not WebAssembly"]),
        Case::module("text in place of a module", b"(module)").refused(&["not WebAssembly"]),
        Case::module("a version that is none", b"\0asm\x02\0\0\0").refused(&["not WebAssembly"]),
        Case::module("an empty core module", BINARY).refused(&["world"]),
        Case::module("an empty component", COMPONENT).refused(&["exports nothing"]),
        Case::module(
            "noise behind a core module's header",
            behind(BINARY, &noise),
        )
        .refused(&["cannot be made into a component"]),
        Case::module(
            "noise behind a component's header",
            behind(COMPONENT, &noise),
        )
        .refused(&["not valid here"]),
        Case::module(
            "a section longer than the file",
            behind(BINARY, b"\x01\xff\xff\xff\xff\x0f"),
        )
        .refused(&["cannot be made into a component"]),
        Case::module(
            "a component's section longer than the file",
            behind(COMPONENT, b"\x07\xff\xff\xff\xff\x0f"),
        )
        .refused(&["not valid here"]),
        Case::module(
            "as many types as a number holds",
            behind(BINARY, b"\x01\x05\xff\xff\xff\xff\x0f"),
        )
        .refused(&["cannot be made into a component"]),
        Case::module("a section of 33 MiB", vec![0; 33 << 20]).refused(&["too long"]),
        Case::module(
            "a world that is noise",
            behind(
                BINARY,
                b"\0\x1a\x10component-type:x\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            ),
        )
        .refused(&["cannot be made into a component"]),
    ];
    // A good module that is cut off, or in which one byte is different: it is refused, or it is
    // harmless.
    for part in [2, 3, 5, 7, 11] {
        let cut = &good[..good.len() - good.len() / part];
        cases.push(
            Case::module(&format!("a module without its last 1/{part}"), cut).refused(&["module"]),
        );
    }
    arena.run_cases(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_gets_nothing_but_what_its_world_offers() {
    let mut arena = Arena::open().await;
    let import = |text: &str| {
        // Imports must come before the module's own definitions.
        let whole = format!(
            r#"(module {text} (memory (export "memory") 1)
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
                (func (export "react") (param i32 i32) (result i32) (i32.const 16)))"#
        );
        crate::wat::of_recipe(&whole)
    };
    let exports = |text: &str| parse(&format!("(component {text})"));
    let react = r#"(core module $m (func (export "f") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (func $f (result u32) (canon lift (core func $i "f")))"#;
    let mut cases = vec![
        Case::module(
            "WASI from before its first preview",
            import(
                r#"(import "wasi_unstable" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#,
            ),
        )
        .refused(&["wasi_unstable"]),
        Case::module(
            "an interface of WASI that is not stubbed",
            exports(&format!(
                r#"(import "wasi:keyvalue/store@0.2.0" (instance (export "open" (func)))) {react} (export "react" (func $f))"#
            )),
        )
        .refused(&["wasi:keyvalue/store@0.2.0"]),
        Case::module(
            "a function of nobody's",
            import(r#"(import "env" "system" (func (param i32) (result i32)))"#),
        )
        .refused(&["env"]),
        Case::module(
            "a function that the interface does not have",
            import(r#"(import "innkeeper:guest/transaction@0.1.0" "sudo" (func (param i32)))"#),
        )
        .refused(&["sudo"]),
        Case::module(
            "a function of another type",
            import(r#"(import "innkeeper:guest/transaction@0.1.0" "now-ms" (func (param i64) (result i64)))"#),
        )
        .refused(&["now-ms"]),
        Case::module(
            "the policy, which only an authorizer reads",
            import(r#"(import "innkeeper:guest/policy@0.1.0" "get" (func (param i32 i32 i32)))"#),
        )
        .refused(&["policy"]),
        Case::module("an import of a guest in Rust that no host has", guest("test-bad-import"))
            .refused(&["outside"]),
        Case::module(
            "a component that imports a function of nobody's",
            exports(&format!(
                r#"(import "shell" (func (param "line" string))) {react} (export "react" (func $f))"#
            )),
        )
        .refused(&["world"]),
        Case::module(
            "a react of another type",
            exports(&format!(r#"{react} (export "react" (func $f))"#)),
        )
        .refused(&["world"]),
        Case::module(
            "two worlds at once",
            exports(&format!(
                r#"{react} (export "react" (func $f)) (export "assign" (func $f))"#
            )),
        )
        .refused(&["world"]),
        Case::module(
            "half an authorizer",
            exports(&format!(r#"{react} (export "load" (func $f))"#)),
        )
        .refused(&["world"]),
        Case::module(
            "an export of no world",
            exports(&format!(r#"{react} (export "main" (func $f))"#)),
        )
        .refused(&["no world of wit/"]),
    ];
    let parts = Parts::default();
    for (name, items) in [
        ("shared memory", "(memory $s 1 1 shared)"),
        ("memory of 64 bits", "(memory $b i64 1)"),
        ("tail calls", "(func $t (return_call $t))"),
        ("exceptions", "(tag $e) (func $t (throw $e))"),
        ("garbage collection", "(type $s (struct (field i32)))"),
        (
            "relaxed SIMD",
            "(func (param v128) (drop (i32x4.relaxed_trunc_f32x4_s (local.get 0))))",
        ),
        ("pages of another size", "(memory $p 1 (pagesize 1))"),
        (
            "wide arithmetic",
            "(func (param i64 i64) (drop (drop (i64.mul_wide_u (local.get 0) (local.get 1)))))",
        ),
    ] {
        cases.push(
            Case::module(name, recipe(Parts { items, ..parts })).refused(&["not valid here"]),
        );
    }
    arena.run_cases(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modules_that_are_too_much_of_something_are_refused() {
    let mut arena = Arena::open().await;
    let many = |count: usize, text: &dyn Fn(usize) -> String| -> String {
        (0..count).map(text).collect::<Vec<_>>().join("\n")
    };
    let component = |text: &str| parse(&format!("(component {text})"));
    let function = r#"(core module $m (func (export "f")))
        (core instance $i (instantiate $m)) (func $f (canon lift (core func $i "f")))"#;
    let parts = Parts::default();
    let cases = vec![
        Case::module("a hundred thousand exports", bombs::crowd(1, 100_000))
            .refused(&["not valid here"]),
        Case::module("a hundred thousand imports", bombs::crowd(100_000, 0))
            .refused(&["exports nothing"]),
        Case::module(
            "a thousand instances",
            component(&format!(
                r#"{function} {} (export "react" (func $f))"#,
                many(1_000, &|_| "(core instance (instantiate $m))".to_owned())
            )),
        )
        .refused(&["not valid here"]),
        Case::module("components within components", bombs::components(500))
            .refused(&["components within each other"]),
        Case::module(
            "a type within a type, 1,000 deep",
            component(&many(1_000, &|at| match at {
                0 => "(type $t0 (list u8))".to_owned(),
                _ => format!("(type $t{at} (list $t{}))", at - 1),
            })),
        )
        .refused(&["type nesting is too deep"]),
        Case::module(
            "a type that doubles thirty times",
            component(&many(30, &|at| match at {
                0 => "(type $t0 (tuple u8 u8))".to_owned(),
                _ => format!("(type $t{at} (tuple $t{0} $t{0}))", at - 1),
            })),
        )
        .refused(&["not valid here"]),
        Case::module(
            "a function with more locals than any has",
            recipe(Parts {
                items: &format!("(func (local {}))", "i64 ".repeat(60_000)),
                ..parts
            }),
        )
        .refused(&["local variables"]),
        Case::module(
            "a function with more parameters than any has",
            recipe(Parts {
                items: &format!("(func (param {}))", "i64 ".repeat(2_000)),
                ..parts
            }),
        )
        .refused(&["param"]),
        Case::module(
            "a name of a megabyte",
            component(&format!(r#"(import "{}" (func))"#, "a".repeat(1 << 20))),
        )
        .refused(&["not valid here"]),
        Case::module(
            "a name that moves the terminal's cursor",
            component("(import \"\\1b[2Jx\" (func))"),
        )
        .refused(&["not valid here"]),
        // Code that is never called is compiled all the same, and harms nobody.
        Case::recipe(
            "two thousand functions",
            recipe(Parts {
                items: &many(2_000, &|at| {
                    format!("(func (result i32) (i32.add (i32.const {at}) (i32.const 1)))")
                }),
                ..parts
            }),
        ),
        Case::recipe("a recipe that does nothing", reacts("")),
    ];
    arena.run_cases(cases).await;
}
