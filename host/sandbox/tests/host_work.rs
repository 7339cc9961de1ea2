//! What the host does for a guest: charged in fuel, bounded by the clock, done in turns.

mod common;
#[path = "../../../tests/guests.rs"]
mod guests;

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use common::{
    Known, World, assignor, block_on, block_on_between, block_on_counting, definition, sandbox_with,
};
use guests::guest;
use innkeeper_sandbox::{
    ActiveAssignor, Assignors, AuthorizerSet, Clock, FailedAssignment, FailedReaction, FailureKind,
    Pace, Reaction, Request, Topic, Unavailable, Undecided, Usage,
};
use innkeeper_tree::{Access, View, Zxid};

/// A clock that goes on by a millisecond whenever somebody looks at it.
fn hurried() -> Clock {
    let now_ms = AtomicU64::new(0);
    Clock::new(move || Duration::from_millis(now_ms.fetch_add(1, Ordering::Relaxed)))
}

/// A world in which `/out` has so many children.
fn world(clock: Clock, children: usize) -> World {
    let mut world = World::with(sandbox_with(clock));
    for folder in ["/in", "/out"] {
        world.create(folder, "");
    }
    for child in 0..children {
        world.create(&format!("/out/{child}"), "some data");
    }
    world
}

/// The reaction of the hostile guest, and how often it let others run.
fn react(world: &mut World, mode: &str, limits: &str) -> (FailedReaction, u64) {
    let bytes = guest("test-hostile");
    let document = format!(
        r#","watch":["/in/**"],"write":["/out/**"],"limits":{{{limits}}},"config":{{"mode":"{mode}","out":"/out"}}"#
    );
    let module = world.recipe("hostile", &bytes, &document);
    let invocation = world.invocation("hostile").expect("a resync");
    let reacting = world.sandbox.react(&module, invocation, world.assignors());
    let (reaction, pauses) = block_on_counting(reacting);
    (reaction.err().expect("it misbehaves"), pauses)
}

#[test]
fn what_a_host_call_does_costs_fuel() {
    const FUEL: u64 = 50_000_000;
    for mode in ["children", "scan"] {
        let mut calls = Vec::new();
        for children in [100, 10_000] {
            let mut world = world(Clock::new(|| Duration::ZERO), children);
            let limits = format!(r#""fuel":{FUEL}"#);
            let (failed, _) = react(&mut world, mode, &limits);
            let failure = &failed.failure;
            assert_eq!(failure.kind, FailureKind::Fuel, "{mode}: {failure}");
            assert!(failure.message.contains("limits.fuel"), "{failure}");
            assert!(failed.usage.fuel > FUEL / 2, "{:?}", failed.usage);
            calls.push(failed.usage.host_calls);
        }
        // A hundred times as many children: about a hundredth as many calls, beside the few
        // with which the guest begins.
        assert!(calls[1] * 20 < calls[0], "{mode}: {calls:?}");
    }
    // A write that fails makes the guest no work, but the host.
    let mut small = world(Clock::new(|| Duration::ZERO), 1);
    let (failed, _) = react(&mut small, "deletes", r#""fuel":20000000"#);
    assert_eq!(failed.failure.kind, FailureKind::Fuel);
    assert!(failed.usage.host_calls < 10_000, "{:?}", failed.usage);
    // What is known to be too much is not begun, and the failure names the call.
    let mut world = world(Clock::new(|| Duration::ZERO), 10_000);
    let before = world.tree.reader().children_looked_at();
    let (failed, _) = react(&mut world, "children", r#""fuel":1000000"#);
    assert_eq!(failed.failure.kind, FailureKind::Fuel);
    assert!(failed.failure.message.contains("`children`"));
    assert_eq!(world.tree.reader().children_looked_at(), before);
}

/// What the host puts together for a guest is never much more than the guest may hold.
#[test]
fn a_result_that_does_not_fit_into_memory_is_not_put_together() {
    for mode in ["children", "scan"] {
        let mut world = world(Clock::new(|| Duration::ZERO), 70_000);
        let before = world.tree.reader().children_looked_at();
        let (failed, _) = react(&mut world, mode, r#""memory_bytes":2097152"#);
        let failure = &failed.failure;
        assert_eq!(failure.kind, FailureKind::Memory, "{mode}: {failure}");
        assert!(failure.message.contains("in one call"), "{failure}");
        let looked_at = world.tree.reader().children_looked_at() - before;
        assert_eq!(
            looked_at, 0,
            "{mode}: refused before its children are listed"
        );
        assert!(failed.usage.input_bytes < 3 << 20, "{:?}", failed.usage);
    }
}

#[test]
fn a_delete_costs_the_same_however_many_children_there_are() {
    let mut calls = Vec::new();
    for children in [10, 10_000] {
        let mut world = world(Clock::new(|| Duration::ZERO), children);
        let before = world.tree.reader().children_looked_at();
        let (failed, _) = react(&mut world, "deletes", r#""fuel":20000000"#);
        assert_eq!(failed.failure.kind, FailureKind::Fuel, "{}", failed.failure);
        assert_eq!(world.tree.reader().children_looked_at(), before);
        calls.push(failed.usage.host_calls);
    }
    assert_eq!(calls[0], calls[1]);
}

#[test]
fn a_long_host_call_lets_others_run() {
    let mut world = world(Clock::new(|| Duration::ZERO), 10_000);
    for mode in ["children", "scan", "deletes"] {
        let (failed, pauses) = react(&mut world, mode, r#""fuel":50000000"#);
        // Every 100,000 units of fuel, whoever used them; a run may go beyond.
        assert!(pauses > 250, "{mode}: {pauses}, {:?}", failed.usage);
    }
}

#[test]
fn an_invocation_is_over_by_the_clock_and_what_it_did_is_told() {
    for mode in ["loop", "deletes", "children", "scan", "flood"] {
        let mut world = world(hurried(), 1_000);
        // By its fuel it would go on for minutes, but not in a build without the clock.
        let limits = r#""time_ms":100,"fuel":300000000,"output_bytes":200000000"#;
        let (failed, _) = react(&mut world, mode, limits);
        let failure = &failed.failure;
        assert_eq!(failure.kind, FailureKind::Time, "{mode}: {failure}");
        assert!(failure.message.contains("limits.time_ms"), "{failure}");
        assert!(failed.usage.fuel > 0, "{mode}: {:?}", failed.usage);
        assert!(failed.usage.memory_bytes > 0, "{mode}: {:?}", failed.usage);
        assert_eq!(mode == "flood", !failed.logs.is_empty(), "{mode}");
        // A guest that calls the host at all is told with the function that did.
        let is_named = failure.message.contains(" (in ");
        assert_eq!(mode != "loop", is_named, "{mode}: {failure}");
    }
}

#[test]
fn a_view_is_held_no_longer_than_a_node_allows() {
    let bytes = guest("test-hostile");
    let mut world = world(hurried(), 10);
    let module = world.recipe(
        "hostile",
        &bytes,
        r#","watch":["/in/**"],"write":["/out/**"],"config":{"mode":"loop","out":"/out"}"#,
    );
    let mut invocation = world.invocation("hostile").expect("a resync");
    invocation.view_max_age = Duration::from_millis(50);
    let failed = block_on(world.sandbox.react(&module, invocation, world.assignors()))
        .err()
        .expect("it loops");
    assert_eq!(failed.failure.kind, FailureKind::Time);
    assert!(
        failed
            .failure
            .message
            .contains("as long as a view may be held"),
        "{}",
        failed.failure
    );
}

#[test]
fn an_authorizer_is_over_by_the_clock() {
    let bytes = guest("test-hostile-authorizer");
    let mut world = World::with(sandbox_with(hurried()));
    for place in ["load", "decide"] {
        let module = world.authorizer(
            "hostile",
            &bytes,
            &format!(
                r#","watch":["/**"],"policy":["/policy"],"limits":{{"time_ms":100}},"config":{{"mode":"loop","in":"{place}"}}"#
            ));
        let view = world.tree.reader().view();
        let binding = view.bindings().get("hostile").expect("a binding");
        let active = binding.active.as_ref().expect("active");
        let set = AuthorizerSet::new(
            &world.sandbox,
            "hostile".to_string(),
            Arc::clone(&module),
            Arc::clone(&active.definition),
            binding.policy_zxid,
            world.tree.reader(),
            1,
            Arc::clone(&world.account),
            Arc::new(|_, load| block_on(load)),
        );
        match block_on(set.decide(&[], Access::SetData, "/a")) {
            Err(Undecided::Failed { failure, .. }) => {
                assert_eq!(failure.kind, FailureKind::Time, "{place}: {failure}");
            }
            other => panic!("{place}: {other:?}"),
        }
    }
}

#[test]
fn an_assignor_is_over_by_its_own_clock() {
    let bytes = guest("test-hostile-assignor");
    let sandbox = sandbox_with(hurried());
    let module = assignor(&sandbox, &bytes);
    let definition = definition(
        "assignor",
        module.digest(),
        r#","limits":{"time_ms":100},"config":{"mode":"loop"}"#,
    );
    let request = Request {
        topics: vec![Topic {
            name: "t".to_string(),
            first: 0,
            count: 1,
        }],
        members: Vec::new(),
        weights: None,
        strategy_config: "null".to_string(),
    };
    let account = sandbox.account();
    let assigning = sandbox.assign(&account, &module, &definition, &request);
    let failure = block_on(assigning).expect_err("it loops").failure;
    assert_eq!(failure.kind, FailureKind::Time, "{failure}");
}

/// Assignors whose turn comes after an hour.
struct Rare {
    known: Known,
    is_asleep: Arc<AtomicBool>,
    calls: Arc<Mutex<Vec<Call>>>,
}

/// A call of an assignor that ended.
#[derive(Clone, Debug)]
struct Call {
    name: String,
    fuel: u64,
    failed: Option<FailureKind>,
    logged: usize,
}

impl Assignors for Rare {
    fn pace<'a>(&'a self, _name: &'a str, _per_second: u64) -> Pace<'a> {
        let mut slept = false;
        Box::pin(poll_fn(move |cx| {
            if slept {
                return Poll::Ready(());
            }
            slept = true;
            self.is_asleep.store(true, Ordering::Relaxed);
            cx.waker().wake_by_ref();
            Poll::Pending
        }))
    }

    fn find(&self, view: &View, name: &str) -> Result<ActiveAssignor, Unavailable> {
        self.known.find(view, name)
    }

    fn ended(&self, name: &str, _: Zxid, outcome: Result<Usage, &FailedAssignment>) {
        let (usage, failed) = match outcome {
            Ok(usage) => (usage, None),
            Err(failed) => (failed.usage, Some(failed)),
        };
        self.calls.lock().expect("a lock").push(Call {
            name: name.to_string(),
            fuel: usage.fuel,
            failed: failed.map(|failed| failed.failure.kind),
            logged: failed.map_or(0, |failed| failed.logs.len()),
        });
    }
}

/// What a reaction came to that called an assignor.
struct Assigned {
    done: Result<Reaction, FailedReaction>,
    calls: Vec<Call>,
    /// What the recipe's account was charged.
    charged_fuel: u64,
}

impl Assigned {
    /// Fuel of the recipe and of the assignors that it called.
    fn used_fuel(&self) -> u64 {
        let own = match &self.done {
            Ok(reaction) => reaction.usage,
            Err(failed) => failed.usage,
        };
        own.fuel + self.calls.iter().map(|call| call.fuel).sum::<u64>()
    }
}

/// A world with one group whose strategy is `strategy`, whose reaction ran with assignors that
/// are paced.
fn assigned(strategy: &str, document: &str, view_max_age: Duration) -> Assigned {
    let (group, strategy) = (guest("group"), guest(strategy));
    let now_ms = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&now_ms);
    let mut world = World::with(sandbox_with(Clock::new(move || {
        Duration::from_millis(clock.fetch_add(1, Ordering::Relaxed))
    })));
    world.assignor("s", &strategy, document);
    let recipe = world.group("s", &group);
    world.member(1, "/groups/g/members/a");
    let mut invocation = world.invocation("groups").expect("events");
    invocation.view_max_age = view_max_age;
    let is_asleep = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(Mutex::new(Vec::new()));
    let rare = Rare {
        known: world.known(),
        is_asleep: Arc::clone(&is_asleep),
        calls: Arc::clone(&calls),
    };
    let before = world.account.used();
    let reacting = world.sandbox.react(&recipe, invocation, Arc::new(rare));
    let done = block_on_between(reacting, || {
        if is_asleep.swap(false, Ordering::Relaxed) {
            now_ms.fetch_add(3_600_000, Ordering::Relaxed);
        }
    });
    let calls = calls.lock().expect("a lock").clone();
    Assigned {
        done,
        calls,
        charged_fuel: world.account.used() - before,
    }
}

const HOURS: Duration = Duration::from_secs(7_200);

#[test]
fn waiting_for_an_assignors_turn_costs_a_recipe_no_time() {
    let assigned_late = assigned("range", "", HOURS);
    let reaction = assigned_late.done.ok();
    let reaction = reaction.expect("an hour of waiting is given back");
    assert!(!reaction.transaction.writes.is_empty());
    // But the view is held meanwhile.
    let too_old = assigned("range", "", Duration::from_secs(600));
    let failed = too_old.done.err().expect("the view became too old");
    assert_eq!(failed.failure.kind, FailureKind::Time);
}

#[test]
fn an_assignor_that_takes_too_long_is_the_assignors_failure() {
    let document = r#","limits":{"time_ms":50},"config":{"mode":"loop"}"#;
    let slow = assigned("test-hostile-assignor", document, HOURS);
    if let Err(failed) = slow.done {
        assert_eq!(failed.failure.kind, FailureKind::Returned);
    }
    let call = slow.calls.first().expect("it was booked");
    assert_eq!(
        (call.name.as_str(), call.failed),
        ("s", Some(FailureKind::Time))
    );
}

/// Whatever an assignor uses is its caller's: a call shorter than a slice, one of many slices, a
/// good one and one that fails.
#[test]
fn who_calls_an_assignor_pays_for_it() {
    const SLICE_FUEL: u64 = 100_000;
    for (strategy, document) in [
        ("range", ""),
        (
            "test-hostile-assignor",
            r#","limits":{"fuel":60000},"config":{"mode":"loop"}"#,
        ),
        (
            "test-hostile-assignor",
            r#","limits":{"fuel":2560000},"config":{"mode":"loop"}"#,
        ),
        ("test-hostile-assignor", r#","config":{"mode":"fail"}"#),
        ("test-hostile-assignor", r#","config":{"mode":"answer"}"#),
    ] {
        let called = assigned(strategy, document, HOURS);
        assert!(called.calls[0].fuel > 0, "{strategy}{document}");
        let (used, charged) = (called.used_fuel(), called.charged_fuel);
        assert!(
            (used..used + SLICE_FUEL).contains(&charged),
            "{strategy}{document}: {charged} for {used}, {:?}",
            called.calls
        );
    }
}

#[test]
fn what_a_failed_assignor_used_and_logged_is_told() {
    let document = r#","limits":{"fuel":1000000},"config":{"mode":"flood"}"#;
    let flooded = assigned("test-hostile-assignor", document, HOURS);
    let call = &flooded.calls[0];
    assert_eq!(call.failed, Some(FailureKind::Fuel), "{call:?}");
    assert_eq!(call.fuel, 1_000_000);
    assert!(call.logged > 0, "{call:?}");
}
