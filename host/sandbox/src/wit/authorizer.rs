//! The world `authorizer`.

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
