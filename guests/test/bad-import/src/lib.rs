//! Test guest `bad-import`: a recipe that also imports what no host has, so that a push of it
//! is refused.

#![allow(missing_docs, unsafe_code, clippy::all)]

wit_bindgen::generate!({
    inline: "
        package test:bad;

        interface outside {
            open: func(path: string) -> u32;
        }

        world bad-import {
            include innkeeper:guest/recipe@0.1.0;
            import outside;
        }
    ",
    path: "../../../wit",
    world: "test:bad/bad-import",
    generate_all,
});

struct BadImport;

impl Guest for BadImport {
    fn react(_events: Vec<Event>) -> Result<(), String> {
        if test::bad::outside::open("/etc/passwd") == 0 {
            return Err("there is nothing outside".to_owned());
        }
        Ok(())
    }
}

export!(BadImport);
