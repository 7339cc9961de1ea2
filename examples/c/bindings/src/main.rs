//! Writes what a C compiler needs to make a guest: `c-bindings WIT WORLD FOLDER` puts `WORLD.h`,
//! `WORLD.c` and `WORLD_component_type.o` into FOLDER.
//!
//! `wit-bindgen c` does the same; this is it without its command line, which takes minutes to
//! build, of the release that the host's wit-component goes with.

// A tool of the build has no runtime and no data folder.
#![allow(clippy::disallowed_methods)]

use std::path::Path;
use std::process::ExitCode;
use std::{env, error, fs};

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [wit, world, folder] = &arguments[..] else {
        eprintln!("usage: c-bindings WIT WORLD FOLDER");
        return ExitCode::from(2);
    };
    match write(Path::new(wit), world, Path::new(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("c-bindings: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(wit: &Path, world: &str, folder: &Path) -> Result<(), Box<dyn error::Error>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit)?;
    let world = resolve.select_world(&[package], Some(world))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default()
        .build()
        .generate(&mut resolve, world, &mut files)?;
    fs::create_dir_all(folder)?;
    for (name, contents) in files.iter() {
        fs::write(folder.join(name), contents)?;
    }
    Ok(())
}
