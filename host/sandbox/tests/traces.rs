//! A trap names the function that it happened in, whatever language the module was written in:
//! this one was written by hand.

mod common;
#[path = "../../../tests/guests.rs"]
mod guests;

use common::{World, block_on};
use guests::guest;
use innkeeper_sandbox::FailureKind;

/// A section of a module, or a part of one: its number, its length, its content.
fn section(number: u8, content: &[u8]) -> Vec<u8> {
    let mut section = vec![number];
    // LEB128, for lengths below 2^14.
    match content.len() {
        short @ 0..0x80 => section.push(short as u8),
        long => section.extend([(long & 0x7f | 0x80) as u8, (long >> 7) as u8]),
    }
    section.extend(content);
    section
}

fn text(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

/// The sections of a module that say which world it is of, each whole.
fn worlds_of(mut module: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"component-type";
    let mut worlds = Vec::new();
    module = &module[8..];
    while let [number, after @ ..] = module {
        let (mut length, mut bytes) = (0, 0);
        loop {
            length |= usize::from(after[bytes] & 0x7f) << (7 * bytes);
            bytes += 1;
            if after[bytes - 1] < 0x80 {
                break;
            }
        }
        let (section, rest) = module.split_at(1 + bytes + length);
        let content = &after[bytes..bytes + length];
        if *number == 0
            && content
                .windows(NAME.len())
                .take(4)
                .any(|start| start == NAME)
        {
            worlds.extend(section);
        }
        module = rest;
    }
    worlds
}

/// A recipe, of the same world as `like`, whose `react` calls `lookup`, which calls another
/// function, which traps. They are named as in `names`.
fn recipe(names: [&str; 2], like: &[u8]) -> Vec<u8> {
    const I32: u8 = 0x7f;
    const CALL: u8 = 0x10;
    const END: u8 = 0x0b;
    const UNREACHABLE: u8 = 0x00;
    let types = [
        &[3][..],
        // react: a list of events, to a result in memory.
        &[0x60, 2, I32, I32, 1, I32],
        // cabi_realloc
        &[0x60, 4, I32, I32, I32, I32, 1, I32],
        &[0x60, 0, 0],
    ]
    .concat();
    let export = |name: &str, kind: u8, index: u8| [text(name), vec![kind, index]].concat();
    let exports = [
        vec![3],
        export("react", 0, 0),
        export("cabi_realloc", 0, 1),
        export("memory", 2, 0),
    ]
    .concat();
    // Each with its length, its locals and its instructions.
    let code = [
        &[4][..],
        &[6, 0, CALL, 2, 0x41, 0, END],
        // It gives out address 1024.
        &[5, 0, 0x41, 0x80, 0x08, END],
        &[4, 0, CALL, 3, END],
        &[3, 0, UNREACHABLE, END],
    ]
    .concat();
    let named = [vec![2, 2], text(names[0]), vec![3], text(names[1])].concat();
    let mut module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &types),
        section(3, &[4, 0, 1, 2, 2]),
        section(5, &[1, 0, 1]),
        section(7, &exports),
        section(10, &code),
        section(0, &[text("name"), section(1, &named)].concat()),
    ]
    .concat();
    module.extend(worlds_of(like));
    module
}

fn failure_of(names: [&str; 2], like: &[u8]) -> String {
    let mut world = World::new();
    world.create("/in", "");
    let module = world.recipe("traps", &recipe(names, like), r#","watch":["/in"]"#);
    let invocation = world.invocation("traps").expect("a resync");
    let reacted = block_on(world.sandbox.react(&module, invocation, world.assignors()));
    let failure = reacted.err().expect("it traps").failure;
    assert_eq!(failure.kind, FailureKind::Trap);
    failure.message.to_string()
}

#[test]
fn a_trap_names_its_functions_in_any_language() {
    let like = guest("test-hostile");
    assert_eq!(
        failure_of(["lookup", "fell_over"], &like),
        "wasm trap: wasm `unreachable` instruction executed (in fell_over, called by lookup)"
    );
    // Their names are a stranger's text.
    assert_eq!(
        failure_of(["a\nb", "\u{1b}[2Jc"], &like),
        r"wasm trap: wasm `unreachable` instruction executed (in \u{1b}[2Jc, called by a\nb)"
    );
}
