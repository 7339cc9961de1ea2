//! What is taken for a module and what is not, and calls of assignors.

mod common;
#[path = "../../../tests/guests.rs"]
mod guests;

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use innkeeper_sandbox::{
    Clock, FailureKind, Member, ModuleError, NOBODY, Request, Sandbox, Settings, Topic,
};
use innkeeper_tree::World;

use common::{assignor, block_on, block_on_counting, definition, sandbox, sandbox_with};
use guests::guest;

fn request(topics: &[u32], members: &[(&str, &[u32])]) -> Request {
    let mut first = 0;
    Request {
        topics: topics
            .iter()
            .enumerate()
            .map(|(index, count)| {
                let topic = Topic {
                    name: format!("t{index}"),
                    first,
                    count: *count,
                };
                first += count;
                topic
            })
            .collect(),
        members: members
            .iter()
            .map(|(id, owned)| Member {
                id: (*id).to_string(),
                rack: None,
                capacity: None,
                subscribed: (0..topics.len() as u32).collect(),
                owned: owned.to_vec(),
            })
            .collect(),
        weights: None,
        strategy_config: "null".to_string(),
    }
}

#[test]
fn what_is_no_module_is_refused_with_the_reason() {
    let sandbox = Sandbox::new(Settings {
        component_bytes_max: 1_000,
        ..Settings::default()
    });
    let refused = |bytes: &[u8]| sandbox.accept(bytes).expect_err("refused");
    assert!(matches!(refused(b"#!/bin/sh"), ModuleError::NotWasm));
    assert!(matches!(refused(b""), ModuleError::NotWasm));
    assert!(matches!(
        refused(&[0; 1_001]),
        ModuleError::TooLarge {
            bytes: 1_001,
            limit: 1_000
        }
    ));
    // A core module without the section that names its world.
    assert!(matches!(
        refused(b"\0asm\x01\0\0\0"),
        ModuleError::UnknownWorld(_) | ModuleError::NotEncodable(_)
    ));
    // A header with rubbish behind it.
    assert!(matches!(
        refused(b"\0asm\x0d\0\x01\0\xff\xff\xff"),
        ModuleError::Invalid(_)
    ));
    assert!(matches!(
        refused(b"\0asm\x01\0\0\0\xff\xff\xff"),
        ModuleError::NotEncodable(_)
    ));
    // An empty component is valid Wasm and no guest.
    assert!(matches!(
        refused(b"\0asm\x0d\0\x01\0"),
        ModuleError::UnknownWorld(_)
    ));
}

#[test]
fn a_component_keeps_its_name_and_a_core_module_gets_one() {
    let core = guest("range");
    let sandbox = sandbox();
    let (component, module) = sandbox.accept(&core).expect("a guest");
    assert_ne!(core, component, "the core module was made into a component");
    assert_eq!(module.world(), World::Assignor);
    assert_eq!(module.digest(), innkeeper_sandbox::digest_of(&component));
    let (again, same) = sandbox.accept(&component).expect("a component");
    assert_eq!((again, same.digest()), (component, module.digest()));
}

#[test]
fn an_assignor_assigns() {
    let core = guest("range");
    let sandbox = sandbox();
    let module = assignor(&sandbox, &core);
    let definition = definition("assignor", module.digest(), "");
    let request = request(&[5], &[("a", &[]), ("b", &[])]);
    let answer = block_on(sandbox.assign(&sandbox.account(), &module, &definition, &request))
        .expect("an assignment");
    assert_eq!(answer.owners, [0, 0, 0, 1, 1]);
    assert!(answer.usage.fuel > 0);
    let nobody = block_on(sandbox.assign(
        &sandbox.account(),
        &module,
        &definition,
        &Request {
            members: vec![],
            ..request
        },
    ));
    assert_eq!(nobody.expect("an assignment").owners, [NOBODY; 5]);
}

#[test]
fn an_assignor_without_fuel_is_stopped() {
    let core = guest("range");
    let sandbox = sandbox();
    let module = assignor(&sandbox, &core);
    let starved = definition("assignor", module.digest(), r#","limits":{"fuel":10000}"#);
    let big = request(&[10_000], &[("a", &[]), ("b", &[])]);
    let failed =
        block_on(sandbox.assign(&sandbox.account(), &module, &starved, &big)).expect_err("no fuel");
    assert_eq!(failed.failure.kind, FailureKind::Fuel, "{failed}");
    assert_eq!(failed.usage.fuel, 10_000);
    let fed = definition("assignor", module.digest(), "");
    assert!(
        block_on(sandbox.assign(&sandbox.account(), &module, &fed, &big)).is_ok(),
        "others are unharmed"
    );
}

/// A number as WebAssembly writes it.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7f | 0x80) as u8);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A component with one more inside, which is instantiated with it and needs nothing.
fn with_inside(component: &[u8], inside: &[u8]) -> Vec<u8> {
    let mut whole = component.to_vec();
    whole.push(4); // a component
    whole.extend(leb(inside.len()));
    whole.extend(inside);
    // An instance of the first component that there is.
    whole.extend([5, 4, 1, 0, 0, 0]);
    whole
}

/// Two components, of which one calls the other in a loop when it is instantiated, with so many
/// bytes of what `hands` says; the one that is called has strings of that encoding.
fn loop_inside(hands: &str, encoding: &str, bytes: usize) -> Vec<u8> {
    let text = format!(
        r#"(component
          (component $callee
            (core module $m
              (memory (export "memory") {callee_pages})
              (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
              (func (export "f") (param i32 i32)))
            (core instance $i (instantiate $m))
            (func (export "f") (param "s" {hands}) (canon lift (core func $i "f")
              (memory $i "memory") (realloc (func $i "realloc")) string-encoding={encoding})))
          (component $caller
            (import "f" (func $f (param "s" {hands})))
            (core module $memory (memory (export "memory") {pages}))
            (core instance $memory (instantiate $memory))
            (core func $lowered (canon lower (func $f) (memory $memory "memory")))
            (core module $loop
              (import "callee" "f" (func $f (param i32 i32)))
              (func $start (loop $again (call $f (i32.const 0) (i32.const {bytes})) (br $again)))
              (start $start))
            (core instance (instantiate $loop (with "callee" (instance (export "f" (func $lowered)))))))
          (instance $callee (instantiate $callee))
          (instance (instantiate $caller (with "f" (func $callee "f")))))"#,
        pages = bytes / 65_536,
        callee_pages = 2 * bytes / 65_536,
    );
    wat::parse_str(&text).expect("good text")
}

/// wasmtime converts strings between two components in one go and for nothing. Lists cost fuel, and
/// a guest whose strings are only copied is looked at so often that it lets others run in time.
#[test]
fn strings_that_are_converted_between_components_inside_are_refused() {
    let core = guest("range");
    let sandbox = sandbox();
    let (component, _) = sandbox.accept(&core).expect("a guest");
    let hidden = with_inside(&component, &loop_inside("string", "utf16", 16 << 20));
    let converts = sandbox.accept(&hidden);
    assert!(matches!(converts, Err(ModuleError::StringsInside)));
    let hidden = with_inside(&component, &loop_inside("(list u8)", "utf8", 16 << 20));
    let lists = assignor(&sandbox, &hidden);
    let definition = definition("assignor", lists.digest(), r#","limits":{"fuel":50000000}"#);
    let account = sandbox.account();
    let request = request(&[5], &[("a", &[])]);
    let assigning = sandbox.assign(&account, &lists, &definition, &request);
    let (assigned, pauses) = block_on_counting(assigning);
    let failed = assigned.expect_err("it loops");
    assert_eq!(failed.failure.kind, FailureKind::Fuel, "{failed}");
    assert!(pauses >= 3, "others are let run meanwhile: {pauses}");

    // Each look at the clock takes a millisecond here.
    let now_ms = AtomicU64::new(0);
    let hurried = Clock::new(move || Duration::from_millis(now_ms.fetch_add(1, Relaxed)));
    let sandbox = sandbox_with(hurried);
    let hidden = with_inside(&component, &loop_inside("string", "utf8", 1 << 16));
    let copies = assignor(&sandbox, &hidden);
    let limits = r#","limits":{"fuel":1000000,"time_ms":60000}"#;
    let definition = common::definition("assignor", copies.digest(), limits);
    let account = sandbox.account();
    let assigning = sandbox.assign(&account, &copies, &definition, &request);
    let (assigned, pauses) = block_on_counting(assigning);
    let failed = assigned.expect_err("it loops");
    assert_eq!(failed.failure.kind, FailureKind::Fuel, "{failed}");
    // By fuel alone it would be ten.
    assert!(pauses > 50, "{pauses}");
}
