//! What wit-bindgen makes of world `recipe`, its interfaces being those of `innkeeper-guest`.
//!
//! The module is public for the sake of the macros alone.
#![allow(missing_docs, unsafe_code, clippy::all)]

wit_bindgen::generate!({
    world: "recipe",
    path: "../../../wit",
    pub_export_macro: true,
    export_macro_name: "export_recipe",
    default_bindings_module: "innkeeper_recipe::bindings",
    additional_derives: [PartialEq, Eq],
    with: {
        "innkeeper:guest/types@0.1.0": innkeeper_guest::bindings::innkeeper::guest::types,
        "innkeeper:guest/config@0.1.0": innkeeper_guest::bindings::innkeeper::guest::config,
        "innkeeper:guest/log@0.1.0": innkeeper_guest::bindings::innkeeper::guest::log,
        "innkeeper:guest/transaction@0.1.0": innkeeper_guest::bindings::innkeeper::guest::transaction,
        "innkeeper:guest/assignment@0.1.0": innkeeper_guest::bindings::innkeeper::guest::assignment,
        "innkeeper:guest/assignors@0.1.0": innkeeper_guest::bindings::innkeeper::guest::assignors,
    },
});
