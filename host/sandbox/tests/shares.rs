//! What guests share on a node: places, memory, turns, and one load for all who wait for it.

mod common;
#[path = "../../../tests/guests.rs"]
mod guests;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use common::{World, block_on};
use guests::guest;
use innkeeper_sandbox::{AuthorizerSet, Decision, FailureKind, Load, Sandbox, Settings, Undecided};
use innkeeper_tree::binding::Limits;
use innkeeper_tree::{Access, Identity};

fn polled<F: Future + ?Sized>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn recipe_limits(memory_bytes: u64) -> Limits {
    Limits {
        memory_bytes,
        ..Limits::of(innkeeper_tree::World::Recipe)
    }
}

#[test]
fn memory_is_shared_out_and_what_can_never_be_had_is_said() {
    let sandbox = Sandbox::new(Settings {
        memory_bytes_total: 4 * (100 << 20),
        ..Settings::default()
    });
    let account = sandbox.account();
    account.succeeded();
    let (small, large) = (recipe_limits(60 << 20), recipe_limits(101 << 20));
    let first = block_on(sandbox.place(&account, &small)).expect("room");
    let mut second = pin!(sandbox.place(&account, &small));
    assert!(polled(second.as_mut()).is_none(), "60 + 60 MiB of 100");
    drop(first);
    let second = polled(second).expect("there is room now").expect("room");
    let failure = block_on(sandbox.place(&account, &large)).expect_err("more than there is");
    assert_eq!(failure.kind, FailureKind::NoRoom);
    assert!(
        failure.to_string().contains("--guest-memory-mib"),
        "{failure}"
    );
    drop(second);
}

/// Who needs an assignor's memory that others have waits for it without a view, and it is nobody's
/// failure.
#[test]
fn a_recipe_does_not_hold_its_view_while_it_waits_for_its_assignors_memory() {
    let (group, range) = (guest("group"), guest("range"));
    const ASSIGNOR_BYTES: u64 = 60 << 20;
    let sandbox = Sandbox::new(Settings {
        memory_bytes_total: 4 * (100 << 20),
        ..Settings::default()
    });
    let mut world = World::with(sandbox);
    let limits = format!(r#","limits":{{"memory_bytes":{ASSIGNOR_BYTES}}}"#);
    world.assignor("range", &range, &limits);
    let recipe = world.group("range", &group);
    world.settle("groups", &recipe);
    world.member(1, "/groups/g/members/a");
    let other = world.sandbox.account();
    let taken = block_on(world.sandbox.assignor_place(&other, ASSIGNOR_BYTES)).expect("room");
    let invocation = world.invocation("groups").expect("an event");
    let mut reacting = Box::pin(world.sandbox.react(&recipe, invocation, world.assignors()));
    // It runs in turns, but it never waits for others to give back what they have.
    let failed = block_on(reacting.as_mut()).err().expect("no room");
    drop(reacting);
    assert_eq!(failed.lacks, Some(ASSIGNOR_BYTES), "{}", failed.failure);
    assert_eq!(failed.failure.kind, FailureKind::Host);
    // Now it waits, and holds nothing but its place in the queue.
    let sandbox = world.sandbox.clone();
    let account = Arc::clone(&world.account);
    let mut place = Box::pin(sandbox.assignor_place(&account, ASSIGNOR_BYTES));
    assert!(polled(place.as_mut()).is_none());
    drop(taken);
    let place = block_on(place).expect("room");
    // With the place it finds room, whoever comes meanwhile.
    let mut late = Box::pin(sandbox.assignor_place(&other, ASSIGNOR_BYTES));
    assert!(polled(late.as_mut()).is_none());
    let mut invocation = world.invocation("groups").expect("an event");
    invocation.assignor_place = Some(place);
    let reacted = block_on(world.sandbox.react(&recipe, invocation, world.assignors()));
    let reaction = reacted.ok().expect("it has a place");
    assert!(!reaction.transaction.called.is_empty());
    assert!(polled(late.as_mut()).is_some(), "and gives it back");
}

/// As many instances of all kinds at once as the defaults allow, each in the middle of its work.
#[test]
fn pools_add_up() {
    let (hostile, assignor, rules) = (
        guest("test-hostile"),
        guest("range"),
        guest("test-hostile-authorizer"),
    );
    let settings = Settings {
        // None of them is polled again, so each keeps its turn.
        guest_threads: 64,
        ..Settings::default()
    };
    let mut world = World::with(Sandbox::new(settings.clone()));
    world.account.succeeded();
    world.create("/in", "");
    let looping = world.recipe(
        "loop",
        &hostile,
        r#","watch":["/in"],"write":["/out"],"limits":{"memory_bytes":8388608},"config":{"mode":"loop","out":"/out"}"#);
    let mut reactions = Vec::new();
    for _ in 0..settings.transient_instances {
        let invocation = world.invocation("loop").expect("its resync");
        let (sandbox, module) = (world.sandbox.clone(), Arc::clone(&looping));
        let assignors = world.assignors();
        let mut reaction =
            Box::pin(async move { sandbox.react(&module, invocation, assignors).await });
        for _ in 0..3 {
            assert!(polled(reaction.as_mut()).is_none(), "it loops");
        }
        reactions.push(reaction);
    }
    let module = world.authorizer(
        "rules",
        &rules,
        r#","watch":["/**"],"policy":["/policy"],"config":{"mode":"none"}"#,
    );
    let sets: Vec<_> = (0..settings.authorizers)
        .map(|_| {
            let set = set_of(&world, &module, Arc::new(|_, load| block_on(load)));
            assert_eq!(decide(&set), Ok(Decision::Allow));
            set
        })
        .collect();
    let assignor = common::assignor(&world.sandbox, &assignor);
    let definition = common::definition("assignor", assignor.digest(), "");
    let request = innkeeper_sandbox::Request {
        topics: Vec::new(),
        members: Vec::new(),
        weights: None,
        strategy_config: "null".into(),
    };
    let answer = world
        .sandbox
        .assign(&world.account, &assignor, &definition, &request);
    assert!(block_on(answer).is_ok());
    // And all of it is given back.
    drop((reactions, sets));
    let again = world.invocation("loop").expect("its resync");
    let failed = block_on(world.sandbox.react(&looping, again, world.assignors()));
    let failure = failed.err().expect("it loops").failure;
    assert_eq!(failure.kind, FailureKind::Fuel, "{failure}");
}

fn anyone() -> Vec<Identity> {
    vec![Identity {
        scheme: "ip".into(),
        id: "127.0.0.1".into(),
    }]
}

fn set_of(
    world: &World,
    module: &Arc<innkeeper_sandbox::AuthorizerModule>,
    run_load: innkeeper_sandbox::RunLoad,
) -> AuthorizerSet {
    let reader = world.tree.reader();
    let view = reader.view();
    let binding = view.bindings().get("rules").expect("a binding");
    let active = binding.active.as_ref().expect("active");
    AuthorizerSet::new(
        &world.sandbox,
        "rules".into(),
        Arc::clone(module),
        Arc::clone(&active.definition),
        binding.policy_zxid,
        reader.clone(),
        2,
        Arc::clone(&world.account),
        run_load,
    )
}

fn decide(set: &AuthorizerSet) -> Result<Decision, Undecided> {
    block_on(set.decide(&anyone(), Access::SetData, "/a")).map(|decided| decided.decision)
}

/// Loads that were started and that nobody runs yet.
#[derive(Clone, Default)]
struct Started(Arc<Mutex<Vec<Load>>>);

impl Started {
    fn take(&self) -> Vec<Load> {
        std::mem::take(&mut *self.0.lock().expect("a lock"))
    }
}

fn rules(mode: &str) -> (World, AuthorizerSet, Started) {
    let bytes = guest("test-hostile-authorizer");
    let mut world = World::new();
    let module = world.authorizer(
        "rules",
        &bytes,
        &format!(
            r#","watch":["/**"],"policy":["/policy"],"config":{{"mode":"{mode}","in":"load"}}"#
        ),
    );
    let started = Started::default();
    let loads = started.clone();
    let set = set_of(
        &world,
        &module,
        Arc::new(move |_, load| loads.0.lock().expect("a lock").push(load)),
    );
    (world, set, started)
}

#[test]
fn a_load_runs_where_it_is_told_to_and_once_for_all_who_wait() {
    let (_world, set, started) = rules("none");
    let who = anyone();
    let mut asked: Vec<_> = (0..10)
        .map(|_| Box::pin(set.decide(&who, Access::GetData, "/a")))
        .collect();
    for decision in &mut asked {
        assert!(polled(decision.as_mut()).is_none(), "nothing is loaded yet");
    }
    let mut loads = started.take();
    assert_eq!(loads.len(), 1, "one load for ten requests");
    // One request goes away meanwhile: the others get the instance.
    drop(asked.remove(0));
    block_on(loads.remove(0));
    for decision in asked {
        let decided = block_on(decision).expect("loaded");
        assert_eq!(decided.decision, Decision::Allow);
    }
    // A second instance was started, because others still waited; it is the last one.
    let further = started.take();
    assert_eq!(further.len(), 1);
    drop(further);
    assert_eq!(decide(&set), Ok(Decision::Allow));
    assert!(started.take().is_empty());
}

#[test]
fn a_load_that_fails_is_booked_once_and_told_to_all() {
    let (_world, set, started) = rules("trap");
    let who = anyone();
    let mut asked: Vec<_> = (0..10)
        .map(|_| Box::pin(set.decide(&who, Access::GetData, "/a")))
        .collect();
    for decision in &mut asked {
        assert!(polled(decision.as_mut()).is_none());
    }
    for load in started.take() {
        block_on(load);
    }
    let mut to_book = 0;
    for decision in asked {
        match block_on(decision) {
            Err(Undecided::Failed {
                failure, is_booked, ..
            }) => {
                assert_eq!(failure.kind, FailureKind::Trap, "{failure}");
                to_book += usize::from(!is_booked);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(to_book, 1);
    // Whoever asks next has it tried again.
    let mut next = Box::pin(set.decide(&who, Access::GetData, "/a"));
    assert!(polled(next.as_mut()).is_none());
    let loads = started.take();
    assert_eq!(loads.len(), 1);
    // A load that never runs, because the node stops, is no fault of the guest's.
    drop(loads);
    match block_on(next) {
        Err(Undecided::Failed { failure, .. }) => assert_eq!(failure.kind, FailureKind::Host),
        other => panic!("{other:?}"),
    }
}
