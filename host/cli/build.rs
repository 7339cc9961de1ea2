//! Lays the guests into the binary: every `.wasm` file of the folder that
//! `INNKEEPER_GUEST_MODULES` names, except those of the tests (`test-*`). Without the variable the
//! binary carries no guests, and the build succeeds: `cargo check` and `cargo build` work on a
//! machine that cannot compile to WebAssembly. Tests that need a guest fail there.
//!
//! The script also sets `INNKEEPER_BUILT_AT_S`, the time of the build in seconds since 1970: from
//! `SOURCE_DATE_EPOCH`, or from the clock.
//!
//! On a machine without IPv6 the script sets `without_ipv6`, by which the tests that need IPv6 are
//! shown as ignored.
//!
//! The modules are copied into `OUT_DIR`, so that the source file that includes them names no
//! other folder.

// A build script has no runtime and no data folder.
#![allow(clippy::disallowed_methods)]

use std::error::Error;
use std::fmt::Write;
use std::net::{Ipv6Addr, TcpListener};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs};

/// The variable that names the folder.
const VARIABLE: &str = "INNKEEPER_GUEST_MODULES";

/// When the sources count as built, for builds that repeat bit by bit.
const BUILT_AT: &str = "SOURCE_DATE_EPOCH";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    say_when()?;
    say_without_ipv6();
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut source = String::from("static GUESTS: &[Guest] = &[\n");
    for (name, module) in modules()? {
        let copy = out.join(format!("{name}.wasm"));
        let bytes = fs::read(&module)?;
        if fs::read(&copy).ok().as_deref() != Some(&bytes) {
            fs::write(&copy, bytes)?;
        }
        writeln!(
            source,
            "    Guest {{ name: {name:?}, bytes: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.wasm\")) }},"
        )?;
    }
    source.push_str("];\n");
    fs::write(out.join("guests.rs"), source)?;
    Ok(())
}

/// Sets `INNKEEPER_BUILT_AT_S` for the compiler.
fn say_when() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={BUILT_AT}");
    // Whatever is compiled anew has a new date, whichever crate of the host it is in.
    println!("cargo::rerun-if-changed=..");
    let said = env::var(BUILT_AT).ok().filter(|said| !said.is_empty());
    let at_s: u64 = match said {
        Some(said) => said
            .parse()
            .map_err(|_| format!("{BUILT_AT}={said} is no number of seconds: correct it"))?,
        None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };
    println!("cargo::rustc-env=INNKEEPER_BUILT_AT_S={at_s}");
    Ok(())
}

/// Sets `without_ipv6` where this machine has no IPv6.
fn say_without_ipv6() {
    println!("cargo::rustc-check-cfg=cfg(without_ipv6)");
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("cargo::rustc-cfg=without_ipv6");
    }
}

/// Names and files, by name.
fn modules() -> Result<Vec<(String, PathBuf)>, Box<dyn Error>> {
    let Some(folder) = env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) else {
        return Ok(Vec::new());
    };
    let folder = PathBuf::from(folder);
    println!("cargo::rerun-if-changed={}", folder.display());
    if !folder.is_dir() {
        println!(
            "cargo::warning={VARIABLE} names no folder: {}",
            folder.display()
        );
        return Ok(Vec::new());
    }
    let mut modules = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let file = entry?.path();
        let name = file
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        // A hidden file is a module that is just being copied. The tests read theirs from the
        // folder: some are hostile, and none belongs on a machine that serves.
        let is_ours = !name.starts_with('.') && !name.starts_with("test-");
        if file.extension().is_some_and(|it| it == "wasm") && is_ours {
            println!("cargo::rerun-if-changed={}", file.display());
            modules.push((name.to_owned(), file));
        }
    }
    modules.sort();
    Ok(modules)
}
