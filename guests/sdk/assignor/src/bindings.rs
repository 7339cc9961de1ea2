//! What wit-bindgen makes of world `assignor`, its interfaces being those of `innkeeper-guest`.
//!
//! The module is public for the sake of the macros alone.
#![allow(missing_docs, unsafe_code, clippy::all)]

wit_bindgen::generate!({
    world: "assignor",
    path: "../../../wit",
    pub_export_macro: true,
    export_macro_name: "export_assignor",
    default_bindings_module: "innkeeper_assignor::bindings",
    additional_derives: [PartialEq, Eq],
    with: {
        "innkeeper:guest/config@0.1.0": innkeeper_guest::bindings::innkeeper::guest::config,
        "innkeeper:guest/log@0.1.0": innkeeper_guest::bindings::innkeeper::guest::log,
        "innkeeper:guest/assignment@0.1.0": innkeeper_guest::bindings::innkeeper::guest::assignment,
    },
});
