//! What wit-bindgen makes of the WIT package: one module per world, its interfaces shared.
//!
//! The modules are public for the sake of the `export!` macros alone.
#![allow(missing_docs, unsafe_code, clippy::all)]

wit_bindgen::generate!({
    world: "recipe",
    path: "../../wit",
    pub_export_macro: true,
    export_macro_name: "export_recipe",
    default_bindings_module: "innkeeper_guest::bindings",
    additional_derives: [PartialEq, Eq],
});

pub mod assignor {
    wit_bindgen::generate!({
        world: "assignor",
        path: "../../wit",
        pub_export_macro: true,
        export_macro_name: "export_assignor",
        default_bindings_module: "innkeeper_guest::bindings::assignor",
        additional_derives: [PartialEq, Eq],
        with: {
            "innkeeper:guest/config@0.1.0": crate::bindings::innkeeper::guest::config,
            "innkeeper:guest/log@0.1.0": crate::bindings::innkeeper::guest::log,
            "innkeeper:guest/assignment@0.1.0": crate::bindings::innkeeper::guest::assignment,
        },
    });
}

pub mod authorizer {
    wit_bindgen::generate!({
        world: "authorizer",
        path: "../../wit",
        pub_export_macro: true,
        export_macro_name: "export_authorizer",
        default_bindings_module: "innkeeper_guest::bindings::authorizer",
        additional_derives: [PartialEq, Eq],
        with: {
            "innkeeper:guest/config@0.1.0": crate::bindings::innkeeper::guest::config,
            "innkeeper:guest/log@0.1.0": crate::bindings::innkeeper::guest::log,
            "innkeeper:guest/types@0.1.0": crate::bindings::innkeeper::guest::types,
        },
    });
}
