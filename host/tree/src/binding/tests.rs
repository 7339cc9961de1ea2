use proptest::prelude::*;

use super::*;
use crate::pattern::PathPattern;
use crate::{Digest, ModuleInfo, Modules, World};

const MODULE: &str = "sha256:00070e151c232a31383f464d545b626970777e858c939aa1a8afb6bdc4cbd2d9";

fn parse(rest: &str) -> Result<Definition, BindingError> {
    Definition::parse(format!(r#"{{"module":"{MODULE}",{rest}}}"#).as_bytes())
}

fn recipe(rest: &str) -> Definition {
    parse(&format!(r#""world":"recipe","watch":["/w/*"]{rest}"#)).unwrap()
}

#[test]
fn a_whole_document_is_read() {
    let definition = parse(
        r#""world": "recipe",
           "watch": ["/g/*/members/**", "/g/*/members/**"],
           "read": ["/g/**", "/c"],
           "write": ["/g/*/assignments/**"],
           "policy": [],
           "config": {"b": [1, 2.5, null], "a": "x"},
           "limits": {"queue": 5, "fuel": 20000}"#,
    )
    .unwrap();
    assert_eq!(definition.module.to_string(), MODULE);
    assert_eq!(definition.watch.len(), 1);
    assert_eq!(definition.read.len(), 2);
    assert_eq!(&*definition.config, r#"{"a":"x","b":[1,2.5,null]}"#);
    assert_eq!(
        (definition.limits.queue, definition.limits.fuel),
        (5, 20_000)
    );
    let others = Limits {
        queue: 5,
        fuel: 20_000,
        ..Limits::of(World::Recipe)
    };
    assert_eq!(definition.limits, others);
    let authorizer = parse(
        r#""world":"authorizer","watch":["/**"],"policy":["/policies/main"],"on_failure":"allow""#,
    )
    .unwrap();
    assert_eq!(authorizer.on_failure, OnFailure::Allow);
    assert_eq!((authorizer.limits.queue, &*authorizer.config), (0, "null"));
    assert!(parse(r#""world":"assignor""#).is_ok());
}

#[test]
fn each_mistake_has_its_sentence() {
    for (rest, says) in [
        (r#""world":"wizard""#, "not a world"),
        (r#""watch":[]"#, "missing field `world`"),
        (
            r#""world":"recipe","watch":["/a"],"module":"x""#,
            "duplicate field `module`",
        ),
        (
            r#""world":"recipe","watch":["/a"],"colour":1"#,
            "unknown field `colour`",
        ),
        (r#""world":"recipe","watch":"/a""#, "expected a sequence"),
        (r#""world":"recipe","watch":[1]"#, "expected a string"),
        (r#""world":7"#, "expected a string"),
        (r#""world":"recipe""#, "`watch` is empty"),
        (r#""world":"authorizer""#, "`watch` is empty"),
        (
            r#""world":"recipe","watch":["a"]"#,
            "`watch`: `a` is no path pattern",
        ),
        (
            r#""world":"recipe","watch":["/a"],"policy":["/p"]"#,
            "`policy` means nothing for world `recipe`",
        ),
        (
            r#""world":"authorizer","watch":["/a"],"write":["/p"]"#,
            "`write` means nothing",
        ),
        (
            r#""world":"authorizer","watch":["/a"],"read":["/p"]"#,
            "`read` means nothing",
        ),
        (
            r#""world":"assignor","watch":["/a"]"#,
            "`watch` means nothing",
        ),
        (
            r#""world":"assignor","write":["/a"]"#,
            "`write` means nothing",
        ),
        (
            r#""world":"recipe","watch":["/a"],"write":["/innkeeper/**"]"#,
            "within /innkeeper",
        ),
        (
            r#""world":"recipe","watch":["/a"],"write":["/zookeeper/quota"]"#,
            "within /innkeeper",
        ),
        (
            r#""world":"recipe","watch":["/innkeeper"]"#,
            "within /innkeeper",
        ),
        (
            r#""world":"recipe","watch":["/a"],"on_failure":"deny""#,
            "`on_failure` means nothing",
        ),
        (
            r#""world":"authorizer","watch":["/a"],"on_failure":"maybe""#,
            "write `deny` or `allow`",
        ),
        (
            r#""world":"recipe","watch":["/a"],"limits":{"fule":1}"#,
            "no `fule`",
        ),
        (
            r#""world":"recipe","watch":["/a"],"limits":{"fuel":1}"#,
            "from 10000 to",
        ),
        (
            r#""world":"recipe","watch":["/a"],"limits":{"fuel":-1}"#,
            "cannot be read",
        ),
        (
            r#""world":"recipe","watch":["/a"],"limits":{"fuel":1.5}"#,
            "cannot be read",
        ),
        (
            r#""world":"assignor","limits":{"queue":9}"#,
            "`limits.queue` means nothing",
        ),
    ] {
        let sentence = parse(rest).unwrap_err().to_string();
        assert!(sentence.contains(says), "{rest}: {sentence}");
    }
    for (document, says) in [
        (&b""[..], "is empty"),
        (b"hello", "cannot be read"),
        (b"\xff{}", "cannot be read"),
        (b"[]", "cannot be read"),
        (b"{}", "missing field"),
        (
            br#"{"world":"assignor","module":"x"}"#,
            "`module`: `x` is no module's name",
        ),
        (
            br#"{"world":"assignor","module":null}"#,
            "expected a string",
        ),
    ] {
        let sentence = Definition::parse(document).unwrap_err().to_string();
        assert!(sentence.contains(says), "{document:?}: {sentence}");
    }
    let trailing = format!(r#"{{"world":"assignor","module":"{MODULE}"}} x"#);
    assert!(Definition::parse(trailing.as_bytes()).is_err());
}

#[test]
fn the_module_must_be_registered_for_the_world() {
    let module: Digest = MODULE.parse().unwrap();
    let document = format!(r#"{{"module":"{MODULE}","world":"assignor"}}"#);
    let mut modules = Modules::new();
    let check = |name, modules: &Modules| parse_and_check(name, document.as_bytes(), modules);
    let unknown = check("a", &modules).unwrap_err().to_string();
    assert!(
        unknown.contains("nobody has pushed sha256:0007"),
        "{unknown}"
    );
    for (world, fits) in [(World::Recipe, false), (World::Assignor, true)] {
        modules.insert(module, ModuleInfo { size: 1, world });
        assert_eq!(check("a", &modules).is_ok(), fits);
    }
    assert!(matches!(check("A", &modules), Err(BindingError::Name(_))));
}

#[test]
fn sizes_are_capped() {
    let long = format!(
        r#""world":"assignor","config":"{}""#,
        "x".repeat(MAX_CONFIG_BYTES)
    );
    assert!(matches!(parse(&long), Err(BindingError::ConfigTooLong(_))));
    let long = vec![b' '; MAX_DOCUMENT_BYTES + 1];
    assert!(matches!(
        Definition::parse(&long),
        Err(BindingError::TooLong(_))
    ));
    let many: Vec<String> = (0..=MAX_PATTERNS).map(|i| format!("\"/p{i}\"")).collect();
    let many = format!(r#""world":"recipe","watch":[{}]"#, many.join(","));
    assert!(matches!(
        parse(&many),
        Err(BindingError::TooManyPatterns { .. })
    ));
    let deep = format!(
        r#""world":"assignor","config":{}1{}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    assert!(matches!(parse(&deep), Err(BindingError::Syntax(_))));
    let quoted = format!(r#""world":"assignor","{}":1"#, "x".repeat(9000));
    assert!(parse(&quoted).unwrap_err().to_string().len() < 500);
}

#[test]
fn the_order_of_a_document_means_nothing() {
    let one = parse(r#""world":"recipe","watch":["/a","/b"],"config":{"x":1,"y":{"b":1,"a":2}}"#);
    let other =
        parse(r#""config":{"y":{"a":2,"b":1},"x":1},"watch":["/b","/a","/b"],"world":"recipe""#);
    assert_eq!(one.unwrap(), other.unwrap());
}

#[test]
fn grants_are_what_the_patterns_say() {
    let definition = recipe(r#","read":["/r/**"],"write":["/o/*","/*/out/**"]"#);
    for path in ["/w/a", "/r", "/r/a/b", "/o/a", "/x/out/y"] {
        assert!(definition.may_read(path), "{path}");
    }
    assert!(!definition.may_read("/w") && !definition.may_read("/w/a/b"));
    assert!(definition.may_scan("/r/a") && definition.may_scan("/x/out"));
    assert!(!definition.may_scan("/w/a") && !definition.may_scan("/"));
    assert!(definition.may_write("/o/a") && definition.may_write("/x/out/y"));
    assert!(!definition.may_write("/r/a"));
    assert!(
        !definition.may_write("/innkeeper/out/x"),
        "wide patterns stop at the system's paths"
    );
    let wide = parse(r#""world":"recipe","watch":["/**"]"#).unwrap();
    assert!(wide.watches("/a") && !wide.watches("/innkeeper/bindings/x"));
    let authorizer = parse(r#""world":"authorizer","watch":["/**"],"policy":["/p/**"]"#).unwrap();
    assert!(authorizer.watches("/innkeeper/bindings/x"));
    assert!(authorizer.may_load("/p") && authorizer.may_load_all("/p/a"));
    assert!(!authorizer.may_read("/p") && !authorizer.may_load("/q"));
}

#[test]
fn names_are_one_plain_segment() {
    for name in ["a", "group", "a-b_c.d", "0", &"x".repeat(MAX_NAME_BYTES)] {
        assert_eq!(check_name(name), Ok(()));
    }
    for name in [
        "",
        ".",
        "..",
        "A",
        "a/b",
        "a b",
        "ä",
        &"x".repeat(MAX_NAME_BYTES + 1),
    ] {
        assert!(check_name(name).is_err(), "{name}");
    }
    assert_eq!(name_of("/innkeeper/bindings/a"), Some("a"));
    for path in [
        "/innkeeper/bindings",
        "/innkeeper/bindings/a/b",
        "/innkeeper/bindingsx/a",
        "/a",
    ] {
        assert_eq!(name_of(path), None, "{path}");
    }
}

#[test]
fn every_default_lies_within_its_bounds() {
    for field in Limits::FIELDS {
        for (world, default) in field.defaults {
            assert!(
                (field.least..=field.most).contains(default),
                "{} {world}",
                field.name
            );
        }
    }
    let named = Limits::of(World::Authorizer);
    let named: Vec<_> = named.named(World::Authorizer).collect();
    assert!(
        named
            .iter()
            .all(|(name, value)| *name != "queue" && *value > 0)
    );
}

pub(crate) fn any_definition() -> impl Strategy<Value = Definition> {
    let patterns = || prop::collection::btree_set("(/[a-c]|/\\*){1,3}(/\\*\\*)?", 1..4);
    let patterns = move || {
        patterns().prop_map(|texts| {
            texts
                .iter()
                .map(|text| PathPattern::parse(text).unwrap())
                .collect::<Vec<_>>()
        })
    };
    (
        prop::sample::select(&World::ALL[..]),
        any::<[u8; 32]>(),
        (patterns(), patterns(), patterns(), patterns()),
        prop::sample::select(vec!["null", "{\"a\":[1,2.5,\"x\\n\"]}", "-7", "\"\""]),
        any::<bool>(),
        10_000u64..1_000_000,
    )
        .prop_map(
            |(world, module, (watch, read, write, policy), config, allow, fuel)| {
                let of = |worlds: &[World], patterns: Vec<PathPattern>| {
                    if worlds.contains(&world) {
                        patterns
                    } else {
                        Vec::new()
                    }
                };
                Definition {
                    world,
                    module: Digest(module),
                    watch: of(&[World::Recipe, World::Authorizer], watch),
                    read: of(&[World::Recipe], read),
                    write: of(&[World::Recipe], write),
                    policy: of(&[World::Authorizer], policy),
                    config: config.into(),
                    limits: Limits {
                        fuel,
                        ..Limits::of(world)
                    },
                    on_failure: if allow && world == World::Authorizer {
                        OnFailure::Allow
                    } else {
                        OnFailure::Deny
                    },
                }
            },
        )
}

proptest! {
    #[test]
    fn a_definition_is_its_document(definition in any_definition()) {
        let document = definition.to_document();
        let read = Definition::parse(document.as_bytes());
        prop_assert_eq!(read.as_ref(), Ok(&definition), "{}", document);
        prop_assert_eq!(read.unwrap().to_document(), document);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Definition::parse(&bytes);
    }
}
