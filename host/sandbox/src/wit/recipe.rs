//! The world `recipe`, and the interfaces that the other worlds share with it.

wasmtime::component::bindgen!({
    world: "recipe",
    path: "../../wit",
    exports: { default: async },
    additional_derives: [PartialEq],
});
