//! What a guest finds of WASI: the reaction's time, randomness that repeats, a log, and nothing
//! else.

mod common;
#[path = "../../../tests/guests.rs"]
mod guests;

use common::{World, block_on};
use guests::guest;
use innkeeper_sandbox::{FailedReaction, FailureKind, LogLevel, LogLine, Reaction};
use innkeeper_tree::applied::TicketResult;

const BINDING: &str = r#","watch":["/in/*"],"write":["/out"],"limits":{"output_bytes":1000000},"config":{"mode":"MODE","out":"/out"}"#;

/// A reaction of the guest in that mode to its resync, and the world around it.
fn react(mode: &str) -> (World, Result<Reaction, FailedReaction>) {
    let bytes = guest("test-wasi");
    let mut world = World::new();
    world.create("/in", "");
    let module = world.recipe("wasi", &bytes, &BINDING.replace("MODE", mode));
    let invocation = world.invocation("wasi").expect("a resync");
    let reaction = block_on(world.sandbox.react(&module, invocation, world.assignors()));
    (world, reaction)
}

fn failure(mode: &str) -> innkeeper_sandbox::GuestFailure {
    let (_, reaction) = react(mode);
    reaction.err().expect("it fails").failure
}

/// What mode `look` wrote down.
fn look() -> (String, Vec<LogLine>) {
    let (mut world, reaction) = react("look");
    let reaction = reaction.unwrap_or_else(|failed| panic!("{}", failed.failure));
    let logs = reaction.logs.clone();
    let result = world.propose(reaction.transaction);
    assert!(matches!(result, TicketResult::Committed), "{result:?}");
    (world.data("/out").expect("what it saw"), logs)
}

#[test]
fn wasi_shows_the_reactions_time_and_nothing_outside() {
    let (seen, _) = look();
    let value = |name: &str| {
        let line = seen.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {seen}")).trim()
    };
    let now_ms: u64 = value("now").parse().expect("a time");
    let wall = format!("{}.{:03}000000", now_ms / 1_000, now_ms % 1_000);
    assert_eq!(value("wall"), wall);
    assert_eq!(value("old"), now_ms.to_string());
    assert_eq!(value("stood still"), "true");
    assert_eq!(value("ready"), "[0, 1] true");
    assert_eq!(value("permit"), "true");
    assert_eq!(value("arguments"), "0");
    assert_eq!(value("environment"), "0");
    assert_eq!(value("stdin"), "false");
    assert_eq!(value("directories"), "0");
    assert!(value("socket").contains("not-supported"), "{seen}");
}

#[test]
fn what_a_guest_prints_goes_to_its_log() {
    let (_, logs) = look();
    let line = |level, message: &str| LogLine {
        level,
        message: message.into(),
        dropped_after: 0,
    };
    assert_eq!(
        logs,
        [
            line(LogLevel::Info, "one line"),
            line(LogLevel::Warn, "a warning"),
            line(LogLevel::Info, "and an open onean old line"),
        ]
    );
}

#[test]
fn randomness_repeats_for_what_a_reaction_saw_and_differs_for_the_next() {
    let (seen, _) = look();
    assert_eq!(seen, look().0);
    let drawn = |seen: &str, name: &str| -> String {
        let line = seen.lines().find(|line| line.starts_with(name));
        line.expect("a draw").to_string()
    };

    // A further event, in a newer view.
    let bytes = guest("test-wasi");
    let mut world = World::new();
    world.create("/in", "");
    let module = world.recipe("wasi", &bytes, &BINDING.replace("MODE", "look"));
    world.settle("wasi", &module);
    let first = world.data("/out").expect("what it saw");
    world.create("/in/a", "");
    world.settle("wasi", &module);
    let second = world.data("/out").expect("what it saw");
    for name in ["u64", "bytes", "seed"] {
        assert_eq!(drawn(&first, name), drawn(&seen, name));
        assert_ne!(drawn(&first, name), drawn(&second, name));
    }
}

#[test]
fn what_wasi_does_not_give_ends_the_reaction_by_name() {
    let exit = failure("exit");
    assert_eq!(exit.kind, FailureKind::Trap);
    assert!(exit.message.contains("exited with failure"), "{exit}");

    let fetch = failure("fetch");
    assert_eq!(fetch.kind, FailureKind::Trap);
    let named = fetch
        .message
        .contains("`[constructor]fields` of wasi:http/types@0.2.7");
    assert!(named, "{fetch}");
}

#[test]
fn wasi_is_held_to_the_limits_of_the_binding() {
    let flood = failure("flood");
    assert_eq!(flood.kind, FailureKind::Output, "{flood}");
    for mode in ["greedy", "greediest"] {
        let greedy = failure(mode);
        // Charged before a byte of them is made.
        assert_eq!(greedy.kind, FailureKind::Fuel, "{greedy}");
        assert!(greedy.message.contains("random/random"), "{greedy}");
    }
}
