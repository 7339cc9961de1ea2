//! The guests as built: each encodes to a component of its world that imports nothing but
//! what the world offers.
//!
//! `make guests` builds the modules; one that is missing is a failure.

#[path = "../../../tests/guests.rs"]
mod guests;

use std::path::PathBuf;

use guests::guest;
use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::{PackageId, Resolve, Type, TypeDefKind, TypeOwner, WorldId, WorldItem};

/// The guests that the binary carries, with their worlds.
const GUESTS: [(&str, &str); 7] = [
    ("range", "assignor"),
    ("round-robin", "assignor"),
    ("sticky", "assignor"),
    ("group", "recipe"),
    ("path-rules", "authorizer"),
    ("demo-confirm", "recipe"),
    ("demo-runaway", "recipe"),
];

/// The guests for the host's tests.
const TEST_GUESTS: [(&str, &str); 8] = [
    ("test-tally", "recipe"),
    ("test-follow", "recipe"),
    ("test-stamp-1", "recipe"),
    ("test-stamp-2", "recipe"),
    ("test-hostile", "recipe"),
    ("test-script", "recipe"),
    ("test-hostile-assignor", "assignor"),
    ("test-hostile-authorizer", "authorizer"),
];

/// The names of a component's imports, types included, and exports.
fn surface(component: &[u8]) -> (Vec<String>, Vec<String>) {
    let DecodedWasm::Component(resolve, world) =
        wit_component::decode(component).expect("a component")
    else {
        panic!("a WIT package instead of a component");
    };
    names(&resolve, world)
}

fn names(resolve: &Resolve, world: WorldId) -> (Vec<String>, Vec<String>) {
    let world = &resolve.worlds[world];
    let imports = world.imports.iter();
    (
        imports
            .map(|(key, _)| resolve.name_world_key(key))
            .collect(),
        world
            .exports
            .keys()
            .map(|key| resolve.name_world_key(key))
            .collect(),
    )
}

fn encode(module: &[u8]) -> Vec<u8> {
    ComponentEncoder::default()
        .module(module)
        .expect("a module with a component type")
        .validate(true)
        .encode()
        .expect("a component")
}

fn wit() -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_dir(&folder).expect("the WIT package");
    (resolve, package)
}

/// What each world imports and exports, as `wit/` says.
fn worlds() -> Vec<(String, Vec<String>, Vec<String>)> {
    let (resolve, package) = wit();
    let worlds = resolve.packages[package].worlds.clone();
    worlds
        .into_iter()
        .map(|(name, world)| {
            let (imports, exports) = names(&resolve, world);
            (name, imports, exports)
        })
        .collect()
}

#[test]
fn every_guest_is_a_component_of_its_world_and_no_more() {
    let worlds = worlds();
    for (name, world) in GUESTS.into_iter().chain(TEST_GUESTS) {
        let module = guest(name);
        let component = encode(&module);
        eprintln!(
            "{name}: module {} bytes, component {} bytes",
            module.len(),
            component.len()
        );
        let (_, offered, asked) = worlds.iter().find(|(n, ..)| n == world).expect("a world");
        let (imports, exports) = surface(&component);
        assert_eq!(&exports, asked, "{name} is not of world {world}");
        for import in imports {
            assert!(offered.contains(&import), "{name} imports {import}");
        }
    }
}

/// Not every toolchain can bind a type that stands in a world: it stands in an interface, and
/// the world takes it from there.
#[test]
fn every_type_of_a_world_stands_in_an_interface() {
    let (resolve, package) = wit();
    for (name, &world) in &resolve.packages[package].worlds {
        for (key, item) in &resolve.worlds[world].imports {
            let WorldItem::Type { id, .. } = item else {
                continue;
            };
            let TypeDefKind::Type(Type::Id(used)) = resolve.types[*id].kind else {
                panic!("world {name} defines {}", resolve.name_world_key(key));
            };
            assert!(
                matches!(resolve.types[used].owner, TypeOwner::Interface(_)),
                "world {name} takes {} from no interface",
                resolve.name_world_key(key)
            );
        }
    }
}

/// wit-component makes one world of all those whose bindings are linked into a module: of two
/// types of one name it takes either, in the linker's order.
#[test]
fn no_two_worlds_have_a_type_of_one_name() {
    let (resolve, package) = wit();
    let mut types: Vec<String> = resolve.packages[package]
        .worlds
        .values()
        .flat_map(|&world| &resolve.worlds[world].imports)
        .filter(|(_, item)| matches!(item, WorldItem::Type { .. }))
        .map(|(key, _)| resolve.name_world_key(key))
        .collect();
    types.sort();
    assert!(types.len() >= 4, "{types:?}");
    assert!(types.windows(2).all(|pair| pair[0] != pair[1]), "{types:?}");
}

#[test]
fn the_two_stamps_differ() {
    assert_ne!(guest("test-stamp-1"), guest("test-stamp-2"));
}

/// Else a test of the host that pushes it would prove nothing.
#[test]
fn the_bad_import_is_there() {
    let (imports, _) = surface(&encode(&guest("test-bad-import")));
    assert!(
        imports.contains(&"test:bad/outside".to_owned()),
        "{imports:?}"
    );
}
