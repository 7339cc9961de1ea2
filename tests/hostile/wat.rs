//! Hostile guests as text: core modules of the three worlds, and plain text for files that are no
//! modules.
//!
//! A core module states in custom sections for which world it was built. These sections are taken
//! from a guest of the same world that `make guests` built, so the text holds only code.

use crate::guests::guest;

/// The functions that a recipe may import; imports that a text does not use do no harm.
const RECIPE_IMPORTS: &str = r#"
  (import "innkeeper:guest/config@0.1.0" "get" (func $config (param i32)))
  (import "innkeeper:guest/log@0.1.0" "log" (func $log (param i32 i32 i32)))
  (import "innkeeper:guest/transaction@0.1.0" "get" (func $get (param i32 i32 i32)))
  (import "innkeeper:guest/transaction@0.1.0" "get-many" (func $get_many (param i32 i32 i32)))
  (import "innkeeper:guest/transaction@0.1.0" "children" (func $children (param i32 i32 i32)))
  (import "innkeeper:guest/transaction@0.1.0" "scan" (func $scan (param i32 i32 i32)))
  (import "innkeeper:guest/transaction@0.1.0" "delete" (func $delete (param i32 i32 i32 i32 i32)))
  (import "innkeeper:guest/transaction@0.1.0" "write-many" (func $write_many (param i32 i32 i32)))
  (import "innkeeper:guest/transaction@0.1.0" "create" (func $create
    (param i32 i32) (param i32 i32) (param i32 i32 i32) (param i32 i64) (param i32) (param i32)))
"#;

const SHARED_IMPORTS: &str = r#"
  (import "innkeeper:guest/config@0.1.0" "get" (func $config (param i32)))
  (import "innkeeper:guest/log@0.1.0" "log" (func $log (param i32 i32 i32)))
"#;

const POLICY_IMPORTS: &str = r#"
  (import "innkeeper:guest/policy@0.1.0" "get" (func $get (param i32 i32 i32)))
  (import "innkeeper:guest/policy@0.1.0" "children" (func $children (param i32 i32 i32)))
  (import "innkeeper:guest/policy@0.1.0" "scan" (func $scan (param i32 i32 i32)))
"#;

/// An allocator that gives out memory from 64 KiB on and never frees it.
const BUMP: &str = "(call $bump (local.get $size))";

/// The variable parts of a guest. An entry point without a body returns success.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// The pages of its memory: the initial number, and the maximum if there is one.
    pub memory: &'a str,
    /// Functions, tables, data and other items at the level of the module.
    pub items: &'a str,
    /// The body of `cabi_realloc`; its parameters are `$old`, `$old_size`, `$align` and `$size`.
    pub realloc: &'a str,
    /// The body of `react`, `assign` or `load`.
    pub first: &'a str,
    /// The body of `decide`.
    pub decide: &'a str,
}

impl Default for Parts<'_> {
    fn default() -> Self {
        Self {
            memory: "2",
            items: "",
            realloc: BUMP,
            first: "",
            decide: "",
        }
    }
}

/// The common part of all guests: memory, an allocator, and at address 16 the zeros that mean "ok".
fn frame(imports: &str, parts: Parts, entries: &str) -> String {
    format!(
        r#"(module {imports}
  (memory (export "memory") {memory})
  (global $top (mut i32) (i32.const 65536))
  (func $bump (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get $size)))
    (block $fits (loop $grow
      (br_if $fits (i32.le_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
      (br_if $fits (i32.eq (memory.grow (i32.const 16)) (i32.const -1)))
      (br $grow)))
    (local.get $at))
  (func (export "cabi_realloc")
    (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    {realloc})
  {items}
  {entries})"#,
        memory = parts.memory,
        realloc = parts.realloc,
        items = parts.items,
    )
}

/// The text of a recipe.
pub fn recipe(parts: Parts) -> Vec<u8> {
    let entry = format!(
        r#"(func (export "react") (param $events i32) (param $count i32) (result i32)
            {} (i32.const 16))"#,
        parts.first
    );
    built_as("test-hostile", &frame(RECIPE_IMPORTS, parts, &entry))
}

/// The text of a recipe in which only `react` is hostile.
pub fn reacts(body: &str) -> Vec<u8> {
    recipe(Parts {
        first: body,
        ..Parts::default()
    })
}

/// The text of an assignor.
pub fn assignor(parts: Parts) -> Vec<u8> {
    let entry = format!(
        r#"(func (export "assign")
            (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
            {} (i32.const 16))"#,
        parts.first
    );
    built_as(
        "test-hostile-assignor",
        &frame(SHARED_IMPORTS, parts, &entry),
    )
}

/// The text of an authorizer.
pub fn authorizer(parts: Parts) -> Vec<u8> {
    let entries = format!(
        r#"(func (export "load") (result i32) {} (i32.const 16))
          (func (export "decide") (param i32 i32 i32 i32 i32) (result i32) {} (i32.const 16))"#,
        parts.first, parts.decide
    );
    let imports = format!("{SHARED_IMPORTS}{POLICY_IMPORTS}");
    built_as("test-hostile-authorizer", &frame(&imports, parts, &entries))
}

/// Returns the error whose message is at address `at` and has `length` bytes.
pub fn error(at: i64, length: i64) -> String {
    format!(
        "(i32.store8 (i32.const 16) (i32.const 1))
         (i32.store (i32.const 20) (i32.const {at}))
         (i32.store (i32.const 24) (i32.const {length}))"
    )
}

/// A loop without end around the code.
pub fn for_ever(body: &str) -> String {
    format!("(loop $again {body} (br $again))")
}

/// The bytes of a text, whatever kind of text it is.
pub fn parse(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A recipe whose whole text is given.
pub fn of_recipe(text: &str) -> Vec<u8> {
    built_as("test-hostile", text)
}

/// The core module of a text, with the custom sections of a built guest that name its world.
fn built_as(name: &str, text: &str) -> Vec<u8> {
    let mut core = parse(text);
    let built = guest(name);
    let sections = world_sections(&built);
    assert!(!sections.is_empty(), "{name} does not name its world");
    core.extend_from_slice(&sections);
    core
}

/// The custom sections of a core module whose names begin with `component-type`, as bytes.
fn world_sections(core: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    let mut rest = &core[8..];
    while !rest.is_empty() {
        let (size, head) = leb128(&rest[1..]);
        let end = 1 + head + size;
        let payload = &rest[1 + head..end];
        if rest[0] == 0 {
            let (length, head) = leb128(payload);
            if payload[head..head + length].starts_with(b"component-type") {
                found.extend_from_slice(&rest[..end]);
            }
        }
        rest = &rest[end..];
    }
    found
}

/// A number, and how many bytes its encoding takes.
fn leb128(bytes: &[u8]) -> (usize, usize) {
    let mut value = 0;
    for (place, byte) in bytes.iter().enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return (value, place + 1);
        }
    }
    panic!("a number does not end");
}
