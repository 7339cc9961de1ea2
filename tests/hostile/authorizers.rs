//! Misbehaving authorizers: the paths that they watch are denied, and no others.

use crate::arena::{Arena, HOSTILE};
use crate::case::Case;
use crate::guests::guest;
use crate::support::{persistent, until};
use crate::wat::{Parts, authorizer};

const FAILED: &[&str] = &["the guest"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authorizer_that_misbehaves_closes_what_it_guards_and_nothing_else() {
    let mut arena = Arena::open().await;
    let parts = Parts::default();
    let hostile = || guest("test-hostile-authorizer");
    let reads = |function: &str| {
        format!("(call ${function} (i32.const 1024) (i32.const 7) (i32.const 64))")
    };
    let policy = r#"(data (i32.const 1024) "/policy") (data (i32.const 1040) "/guarded")"#;
    let mut cases = Vec::new();
    for (name, place, mode, needles) in [
        ("a loop in load", "load", "loop", &["ran out of fuel"][..]),
        (
            "a bomb in load",
            "load",
            "bomb",
            &["passed its memory limit"],
        ),
        ("a trap in load", "load", "trap", &["trapped"]),
        ("a flood in load", "load", "flood", &["the guest"]),
        ("an error of load", "load", "fail", &["I fail, as told"]),
        (
            "a stack in load",
            "load",
            "stack",
            &["call stack exhausted"],
        ),
        ("a flood in decide", "decide", "flood", &["the guest"]),
        (
            "a policy that is read in decide",
            "decide",
            "reads",
            &["outside load"],
        ),
    ] {
        let case = Case::authorizer(name, hostile())
            .with_config(&format!(r#"{{"mode":"{mode}","in":"{place}"}}"#));
        cases.push(case.denies(needles));
    }
    for function in ["get", "children", "scan"] {
        let guest = authorizer(Parts {
            items: policy,
            decide: &reads(function),
            ..parts
        });
        let name = format!("{function} of the policy in decide");
        cases.push(Case::authorizer(&name, guest).denies(&["outside load"]));
    }
    cases.extend([
        // It allows and is not asked twice: the memory of an instance must decide nothing. But
        // since it denies first, the denial is the answer that is remembered.
        Case::authorizer(
            "a verdict that depends on what was asked before",
            authorizer(Parts {
                items: "(global $asked (mut i32) (i32.const 0))",
                decide: "(global.set $asked (i32.add (global.get $asked) (i32.const 1)))
                         (i32.store8 (i32.const 16) (i32.const 1)) (i32.store8 (i32.const 20) (i32.const 0))",
                ..parts
            }),
        )
        .denies(&[]),
        Case::authorizer(
            "a policy that is not its own",
            authorizer(Parts {
                items: policy,
                first: "(call $get (i32.const 1040) (i32.const 8) (i32.const 64))
                        (if (i32.eqz (i32.load8_u (i32.const 64))) (then (unreachable)))",
                decide: "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store8 (i32.const 20) (i32.const 0))",
                ..parts
            }),
        )
        .denies(&[]),
        Case::authorizer(
            "a denial with a reason that is a megabyte long",
            authorizer(Parts {
                memory: "40",
                decide: "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store8 (i32.const 20) (i32.const 1))
                         (i32.store (i32.const 24) (i32.const 65536)) (i32.store (i32.const 28) (i32.const 1000000))",
                ..parts
            }),
        )
        .denies(&[]),
        Case::authorizer(
            "a load that reads for ever",
            authorizer(Parts {
                items: policy,
                first: &format!("(loop $again {} (br $again))", reads("scan")),
                ..parts
            }),
        )
        .denies(FAILED),
        Case::authorizer("a policy that is not there", hostile())
            .with_config(r#"{"policy":"/policy/nowhere"}"#)
            .denies(&["there is no policy"]),
        Case::authorizer("a policy beyond what is granted", hostile())
            .with_config(r#"{"policy":"/guarded/x"}"#)
            .denies(&["no-auth"]),
    ]);
    arena.run_cases(cases).await;
}

/// With `on_failure: allow`, a failing authorizer denies nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authorizer_that_fails_and_may_fail_open_lets_pass() {
    let mut arena = Arena::open().await;
    let module = arena.node.push(&guest("test-hostile-authorizer"));
    for mode in ["loop", "trap", "bomb"] {
        arena.node.bind(
            HOSTILE,
            &format!(
                r#"{{"world":"authorizer","module":"{module}","watch":["/guarded/**"],
                    "on_failure":"allow","config":{{"mode":"{mode}"}}}}"#
            ),
        );
        arena
            .client
            .get_data("/guarded/x")
            .await
            .unwrap_or_else(|error| panic!("{mode}: {error}"));
        let error = arena.last_error().await.unwrap();
        assert!(error.contains("the guest"), "{mode}: {error}");
        arena.check_bystanders().await.unwrap();
        let (status, _) = arena.node.http("DELETE", "/v1/bindings/hostile", b"");
        assert_eq!(status, 200);
    }
    arena.check_node(384 << 20).unwrap();
}

/// A policy that changes with every write makes the guest fail and work in turn. What it guards is
/// open or closed by the current policy each time, and what it does not guard stays open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_never_rests_moves_its_own_paths_alone() {
    let mut arena = Arena::open().await;
    let module = arena.node.push(&guest("test-hostile-authorizer"));
    let client = arena.client.clone();
    client
        .create("/policy/mode", b"none", &persistent())
        .await
        .unwrap();
    arena.node.bind(
        HOSTILE,
        &format!(
            r#"{{"world":"authorizer","module":"{module}","watch":["/guarded/**"],
                "policy":["/policy/**"],"config":{{"policy":"/policy/mode"}}}}"#
        ),
    );
    for round in 0..8 {
        let mode = ["none", "trap", "none", "fail"][round % 4];
        client
            .set_data("/policy/mode", mode.as_bytes(), None)
            .await
            .unwrap();
        let is_good = mode == "none";
        // A guest that failed waits before it runs again, under a good policy as well.
        until("a verdict by the policy", async || {
            let passed = client.get_data("/guarded/x").await.is_ok();
            (passed == is_good).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("round {round}, {mode}: {error}"));
        arena.check_bystanders().await.unwrap();
    }
    arena.check_node(384 << 20).unwrap();
}
