//! What wit-bindgen makes of the interfaces of the WIT package, for all worlds together.
//!
//! Each `generate!` leaves a custom section in the object of its crate, and wit-component
//! makes one world of all sections that it finds in a module. Interfaces that the module does
//! not use drop out again, but the types that a world has at its own level do not, and of two
//! of one name either may win. So only interfaces are bound here, and each world in a crate
//! of its own, of which a guest uses one.
#![allow(missing_docs, unsafe_code, clippy::all)]

wit_bindgen::generate!({
    inline: "
        package innkeeper:sdk;

        world interfaces {
            import innkeeper:guest/types@0.1.0;
            import innkeeper:guest/config@0.1.0;
            import innkeeper:guest/log@0.1.0;
            import innkeeper:guest/transaction@0.1.0;
            import innkeeper:guest/assignment@0.1.0;
            import innkeeper:guest/assignors@0.1.0;
            import innkeeper:guest/policy@0.1.0;
        }
    ",
    path: "../../wit",
    world: "innkeeper:sdk/interfaces",
    generate_all,
    additional_derives: [PartialEq, Eq],
});
