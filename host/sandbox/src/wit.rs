//! The worlds of `wit/`, as wasmtime's macro makes them: the one place of generated code.
//!
//! The interfaces that worlds share are generated once, with `recipe`, and mapped into the
//! others, so that an assignment request crosses from a recipe to an assignor as it is.
//!
//! Of the host's side only the types are used: its functions are linked by hand ([`crate::link`]).
#![allow(missing_docs, dead_code)]

pub(crate) mod recipe {
    wasmtime::component::bindgen!({
        world: "recipe",
        path: "../../wit",
        exports: { default: async },
        additional_derives: [PartialEq],
    });
}

pub(crate) mod assignor {
    wasmtime::component::bindgen!({
        world: "assignor",
        path: "../../wit",
        exports: { default: async },
        with: {
            "innkeeper:guest/config": super::recipe::innkeeper::guest::config,
            "innkeeper:guest/log": super::recipe::innkeeper::guest::log,
            "innkeeper:guest/assignment": super::recipe::innkeeper::guest::assignment,
        },
    });
}

pub(crate) mod authorizer {
    wasmtime::component::bindgen!({
        world: "authorizer",
        path: "../../wit",
        exports: { default: async },
        with: {
            "innkeeper:guest/config": super::recipe::innkeeper::guest::config,
            "innkeeper:guest/log": super::recipe::innkeeper::guest::log,
            "innkeeper:guest/types": super::recipe::innkeeper::guest::types,
        },
    });
}

pub(crate) use authorizer::innkeeper::guest::authorization;
pub(crate) use recipe::innkeeper::guest::{assignment, assignors, events, log, transaction, types};
