//! Authorizers against a tree: load, decide, policy changes, failures.

mod common;
#[path = "../../../tests/guests.rs"]
mod guests;

use std::sync::Arc;

use common::{World, block_on};
use guests::guest;
use innkeeper_sandbox::{AuthorizerModule, AuthorizerSet, Decision, FailureKind, Undecided};
use innkeeper_tree::{Access, Identity};

fn anyone() -> Vec<Identity> {
    vec![Identity {
        scheme: "ip".into(),
        id: "127.0.0.1".into(),
    }]
}

fn set_of(world: &World, binding: &str, module: &Arc<AuthorizerModule>) -> AuthorizerSet {
    let reader = world.tree.reader();
    let view = reader.view();
    let binding = view.bindings().get(binding).expect("a binding");
    let active = binding.active.as_ref().expect("active");
    AuthorizerSet::new(
        &world.sandbox,
        binding.name.to_string(),
        Arc::clone(module),
        Arc::clone(&active.definition),
        binding.policy_zxid,
        reader.clone(),
        2,
        Arc::clone(&world.account),
        Arc::new(|_, load| block_on(load)),
    )
}

fn decide(set: &AuthorizerSet, path: &str) -> Result<Decision, Undecided> {
    block_on(set.decide(&anyone(), Access::SetData, path)).map(|decided| decided.decision)
}

#[test]
fn rules_decide_and_a_policy_change_makes_the_set_stale() {
    let bytes = guest("path-rules");
    let mut world = World::new();
    world.create(
        "/policy",
        r#"{"rules":[{"effect":"deny","operations":["write"],"path":"/secret/**"}]}"#,
    );
    let module = world.authorizer(
        "rules",
        &bytes,
        r#","watch":["/**"],"policy":["/policy"],"config":{"rules":"/policy"}"#,
    );
    let set = set_of(&world, "rules", &module);
    assert!(matches!(decide(&set, "/secret/a"), Ok(Decision::Deny(_))));
    assert_eq!(decide(&set, "/open"), Ok(Decision::Allow));
    world.set("/policy", r#"{"rules":[]}"#);
    // An instance that was loaded before still decides by its own policy; a fresh set is asked
    // for what is newer, and a set without an instance cannot make one of the old policy.
    let fresh = set_of(&world, "rules", &module);
    assert!(fresh.policy_zxid() > set.policy_zxid());
    assert_eq!(decide(&fresh, "/secret/a"), Ok(Decision::Allow));
    world.set("/policy", r#"{"rules":[{"effect":"deny","path":"/**"}]}"#);
    let late = fresh;
    let unloaded = block_on(async {
        // Fill the one place that has an instance, so that a second has to be loaded.
        let second = AuthorizerSet::new(
            &world.sandbox,
            "rules".into(),
            Arc::clone(&module),
            Arc::clone(late.definition()),
            late.policy_zxid(),
            world.tree.reader(),
            1,
            Arc::clone(&world.account),
            Arc::new(|_, load| block_on(load)),
        );
        second
            .decide(&anyone(), Access::SetData, "/open")
            .await
            .map(|decided| decided.decision)
    });
    assert_eq!(unloaded, Err(Undecided::Stale));
}

#[test]
fn a_hostile_authorizer_fails_alone() {
    let bytes = guest("test-hostile-authorizer");
    let mut world = World::new();
    for (mode, place, kind) in [
        ("loop", "decide", FailureKind::Fuel),
        ("loop", "load", FailureKind::Fuel),
        ("trap", "decide", FailureKind::Trap),
        ("trap", "load", FailureKind::Trap),
        ("fail", "load", FailureKind::Returned),
        ("reads", "decide", FailureKind::Trap),
        ("bomb", "decide", FailureKind::Memory),
    ] {
        let module = world.authorizer(
            "hostile",
            &bytes,
            &format!(
                r#","watch":["/**"],"policy":["/policy"],"limits":{{"fuel":50000000,"memory_bytes":8388608}},"config":{{"mode":"{mode}","in":"{place}"}}"#
            ));
        let set = set_of(&world, "hostile", &module);
        for _ in 0..2 {
            match decide(&set, "/a") {
                Err(Undecided::Failed { failure, .. }) => {
                    assert_eq!(failure.kind, kind, "{mode} {place}: {failure}")
                }
                other => panic!("{mode} {place}: {other:?}"),
            }
        }
    }
    let module = world.authorizer(
        "hostile",
        &bytes,
        r#","watch":["/**"],"policy":["/policy"],"config":{"mode":"none"}"#,
    );
    assert_eq!(
        decide(&set_of(&world, "hostile", &module), "/a"),
        Ok(Decision::Allow)
    );
}
