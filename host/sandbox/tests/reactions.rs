//! Reactions against a tree: what commits, what conflicts, what a hostile guest costs.

mod common;
#[path = "../../../tests/guests.rs"]
mod guests;

use common::{World, block_on};
use guests::guest;
use innkeeper_sandbox::{
    FailedReaction, FailureKind, GUEST_TEXT_BYTES_MAX, GuestFailure, LogLevel, Reaction,
};
use innkeeper_tree::applied::{Conflict, TicketResult};
use innkeeper_tree::text::is_unsafe;

const HOSTILE: &str = r#","watch":["/in/**"],"write":["/out"],"limits":{"fuel":50000000,"memory_bytes":8388608,"transaction_bytes":2000000},"config":{"mode":"MODE","out":"/out"}"#;

fn hostile(mode: &str) -> GuestFailure {
    failed(mode).failure
}

fn failed(mode: &str) -> FailedReaction {
    let (world, reacted) = react(mode);
    let failed = reacted.err().expect("it misbehaves");
    assert_eq!(world.data("/out"), None, "nothing that it did takes effect");
    assert!(
        world.invocation("hostile").is_some(),
        "its events stay queued"
    );
    failed
}

fn react(mode: &str) -> (World, Result<Reaction, FailedReaction>) {
    let module_bytes = guest("test-hostile");
    let mut world = World::new();
    world.create("/in", "");
    let module = world.recipe("hostile", &module_bytes, &HOSTILE.replace("MODE", mode));
    let invocation = world
        .invocation("hostile")
        .expect("the resync of its creation");
    let reacted = block_on(world.sandbox.react(&module, invocation, world.assignors()));
    (world, reacted)
}

#[test]
fn what_a_hostile_guest_does_ends_at_its_limit() {
    for (mode, kinds) in [
        ("loop", &[FailureKind::Fuel][..]),
        ("bomb", &[FailureKind::Memory]),
        ("trap", &[FailureKind::Trap]),
        ("stack", &[FailureKind::Trap]),
        ("flood", &[FailureKind::Output, FailureKind::Fuel]),
        ("fail", &[FailureKind::Returned]),
        ("reads", &[FailureKind::Fuel, FailureKind::HostCalls]),
        ("writes", &[FailureKind::Output]),
        ("forbidden", &[FailureKind::Returned]),
    ] {
        let failure = hostile(mode);
        assert!(kinds.contains(&failure.kind), "{mode}: {failure:?}");
    }
    let read = hostile("forbidden");
    assert!(!read.message.contains("I could read"), "{read}");
}

#[test]
fn what_a_guest_says_is_one_short_line() {
    let forged = failed("forge");
    let said = &forged.failure.message;
    assert!(!said.contains(is_unsafe), "{said:?}");
    assert!(
        said.starts_with(r"good\n2026-11-26T00:00:00Z ERROR raft: the disk is full\r\u{1b}]0;"),
        "{said}"
    );
    assert_eq!(&forged.logs[0].message, said);
    // A megabyte.
    let long = failed("answer").failure;
    assert!(long.message.len() <= GUEST_TEXT_BYTES_MAX, "{long}");
    assert!(long.message.ends_with(" bytes)"), "{long}");
}

#[test]
fn a_path_that_is_not_granted_is_told_with_the_field_that_lacks_it() {
    let failure = hostile("forbidden");
    const TOLD: &str = "`get` of /forbidden was refused with no-auth: no pattern of `read`, `watch` or `write` covers \
                        it; add it to the binding's `read`";
    assert!(failure.message.ends_with(TOLD), "{failure}");
    // It is told as well if the guest goes on.
    let (_, reacted) = react("peek");
    let Ok(reaction) = reacted else {
        panic!("it goes on");
    };
    assert_eq!(reaction.logs.len(), 1);
    assert_eq!(reaction.logs[0].level, LogLevel::Debug);
    assert_eq!(&*reaction.logs[0].message, TOLD);
}

#[test]
fn a_panic_tells_its_message_its_place_and_its_function() {
    let failure = hostile("trap");
    assert_eq!(failure.kind, FailureKind::Trap);
    let told = &failure.message;
    assert!(
        told.starts_with("panicked at test/support/src/lib.rs:"),
        "{told}"
    );
    assert!(told.contains(": as told (in "), "{told}");
    // What is no panic names its function, too.
    let failure = hostile("stack");
    assert!(failure.message.contains("descend"), "{failure}");
    let failure = hostile("loop");
    assert!(failure.message.contains(" (in "), "{failure}");
}

#[test]
fn a_component_with_an_unknown_import_is_refused() {
    let bytes = guest("test-bad-import");
    let error = common::sandbox()
        .accept(&bytes)
        .expect_err("it imports what no host has");
    assert!(error.to_string().contains("outside"), "{error}");
}

#[test]
fn a_tally_counts_each_event_once() {
    let bytes = guest("test-tally");
    let mut world = World::new();
    world.create("/in", "");
    let tally = world.recipe(
        "tally",
        &bytes,
        r#","watch":["/in/*"],"write":["/tally","/tally-resyncs"],"config":{"counter":"/tally","resyncs":"/tally-resyncs"}"#);
    world.settle("tally", &tally);
    for index in 0..10 {
        world.create(&format!("/in/{index}"), "");
        if index % 3 == 0 {
            world.settle("tally", &tally);
        }
    }
    world.settle("tally", &tally);
    assert_eq!(world.data("/tally").as_deref(), Some("10"));
    assert_eq!(world.data("/tally-resyncs").as_deref(), Some("1"));
}

#[test]
fn a_transaction_whose_events_were_consumed_conflicts() {
    let bytes = guest("test-tally");
    let mut world = World::new();
    world.create("/in", "");
    let tally = world.recipe(
        "tally",
        &bytes,
        r#","watch":["/in/*"],"write":["/tally","/tally-resyncs"],"config":{"counter":"/tally","resyncs":"/tally-resyncs"}"#);
    world.settle("tally", &tally);
    world.create("/in/a", "");
    let react = |world: &World| {
        let invocation = world.invocation("tally").expect("an event");
        block_on(world.sandbox.react(&tally, invocation, world.assignors()))
            .ok()
            .expect("ok")
    };
    let (first, second) = (react(&world), react(&world));
    assert!(matches!(
        world.propose(first.transaction),
        TicketResult::Committed
    ));
    assert!(matches!(
        world.propose(second.transaction),
        TicketResult::Conflict(_)
    ));
    assert_eq!(world.data("/tally").as_deref(), Some("1"));
}

#[test]
fn a_transaction_of_an_older_activation_conflicts() {
    let (one, two) = (guest("test-stamp-1"), guest("test-stamp-2"));
    let more = r#","watch":["/in/*"],"write":["/stamps/*"],"config":{"out":"/stamps"}"#;
    let mut world = World::new();
    world.create("/in", "");
    world.create("/stamps", "");
    let first = world.recipe("stamp", &one, more);
    world.settle("stamp", &first);
    world.create("/in/a", "");
    let invocation = world.invocation("stamp").expect("an event");
    let in_flight = block_on(world.sandbox.react(&first, invocation, world.assignors()))
        .ok()
        .expect("ok");
    let second = world.recipe("stamp", &two, more);
    assert!(matches!(
        world.propose(in_flight.transaction),
        TicketResult::Conflict(Conflict::Activation)
    ));
    world.settle("stamp", &second);
    assert_eq!(
        world.data("/stamps/a").as_deref(),
        Some("2"),
        "the event was not lost, the new module took it"
    );
}

#[test]
fn an_ephemeral_of_a_guest_dies_with_the_session_that_it_read() {
    let bytes = guest("test-follow");
    let mut world = World::new();
    world.create("/in", "");
    world.create("/mirror", "");
    let follow = world.recipe(
        "follow",
        &bytes,
        r#","watch":["/in/*"],"write":["/mirror/*"],"config":{"out":"/mirror"}"#,
    );
    world.settle("follow", &follow);
    world.member(77, "/in/m");
    let invocation = world.invocation("follow").expect("an event");
    let late = block_on(world.sandbox.react(&follow, invocation, world.assignors()))
        .ok()
        .expect("ok");
    world.settle("follow", &follow);
    assert!(world.data("/mirror/m").is_some());
    world.expire(77);
    assert_eq!(world.data("/mirror/m"), None);
    // What a reaction that saw the session alive proposes after its end is refused.
    assert!(matches!(
        world.propose(late.transaction),
        TicketResult::Conflict(_)
    ));
}

#[test]
fn a_group_is_assigned_by_the_strategy_that_it_names() {
    let (group, range, sticky) = (guest("group"), guest("range"), guest("sticky"));
    let mut world = World::new();
    world.assignor("range", &range, "");
    world.assignor("sticky", &sticky, "");
    let recipe = world.group("range", &group);
    world.settle("groups", &recipe);
    world.member(1, "/groups/g/members/a");
    world.member(2, "/groups/g/members/b");
    world.settle("groups", &recipe);
    assert_eq!(world.data("/groups/g/generation").as_deref(), Some("1"));
    let of = |world: &World, member: &str| {
        let text = world
            .data(&format!("/groups/g/assignments/{member}"))
            .expect("an assignment");
        let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        document["topics"]["orders"]
            .as_array()
            .expect("partitions")
            .len()
    };
    assert_eq!((of(&world, "a"), of(&world, "b")), (3, 2));
    world.expire(1);
    world.settle("groups", &recipe);
    assert_eq!(
        (world.data("/groups/g/assignments/a"), of(&world, "b")),
        (None, 5)
    );
    // A new build of the assignor that the last reaction called makes the group look again.
    world.assignor("range", &range, r#","config":1"#);
    assert!(world.invocation("groups").is_some(), "a resync is queued");
}

/// Events are taken in such numbers that there is room to acknowledge them and to write; one
/// that is too long by itself is a failure with a name, not a loop.
#[test]
fn a_small_transaction_takes_few_events() {
    let bytes = guest("test-tally");
    for limit in [r#""transaction_bytes":1024"#, r#""transaction_ops":20"#] {
        let mut world = World::new();
        world.create("/in", "");
        let more = format!(
            r#","watch":["/in/*"],"write":["/tally","/tally-resyncs"],"limits":{{{limit}}},"config":{{"counter":"/tally","resyncs":"/tally-resyncs"}}"#
        );
        let tally = world.recipe("tally", &bytes, &more);
        world.settle("tally", &tally);
        for index in 0..200 {
            world.create(&format!("/in/{index}"), "");
        }
        let invocation = world.invocation("tally").expect("events");
        assert_eq!(invocation.events.len(), 200);
        let reaction = block_on(world.sandbox.react(&tally, invocation, world.assignors()))
            .ok()
            .expect("there is room");
        let acks = reaction.transaction.acks.len();
        assert!((5..100).contains(&acks), "{limit}: {acks}");
        world.settle("tally", &tally);
        assert_eq!(world.data("/tally").as_deref(), Some("200"));
        if limit.contains("ops") {
            continue;
        }
        world.create(&format!("/in/{}", "x".repeat(1_024)), "");
        let invocation = world.invocation("tally").expect("an event");
        let failed = block_on(world.sandbox.react(&tally, invocation, world.assignors()))
            .err()
            .expect("its acknowledgement is too long");
        assert_eq!(failed.failure.kind, FailureKind::Output);
        assert!(failed.failure.message.contains("limits.transaction_bytes"));
    }
}
