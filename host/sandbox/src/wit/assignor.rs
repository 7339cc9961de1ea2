//! The world `assignor`.

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
