//! Which host functions each world has, by the names of `wit/`.
//!
//! They are linked by hand, with the types that the macro makes of `wit/`: a host function that
//! charges fuel needs the store, and what the macro would make of that (its flag `store`) comes
//! only with the component model's async support, which is left out. A name or a type that is
//! not that of `wit/` shows as soon as a module is linked.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance};

use crate::authorizer::AuthorizerState;
use crate::budget::LogLevel;
use crate::meter::{bytes, enter};
use crate::reads::{self, Reads};
use crate::recipe::RecipeState;
use crate::state::{Common, State};
use crate::wit::{assignment, log, transaction};
use crate::{recipe, writes};

/// The name of an interface of `wit/`.
macro_rules! interface {
    ($name:literal) => {
        concat!("innkeeper:guest/", $name, "@0.1.0")
    };
}

/// The world `recipe`.
pub(crate) fn recipes(linker: &mut Linker<RecipeState>) -> wasmtime::Result<()> {
    config_and_log(linker)?;
    let mut linked = linker.instance(interface!("transaction"))?;
    read(&mut linked)?;
    linked.func_wrap_async("get-many", |store, (names,): (Vec<String>,)| {
        Box::new(reads::get_many(store, names))
    })?;
    linked.func_wrap_async("exists", |store, (path,): (String,)| {
        Box::new(writes::exists(store, path))
    })?;
    linked.func_wrap_async("owner", |store, (path,): (String,)| {
        Box::new(writes::owner(store, path))
    })?;
    linked.func_wrap_async(
        "create",
        |store, (path, data, how): (String, Vec<u8>, transaction::CreateOptions)| {
            Box::new(writes::create(store, path, data, how))
        },
    )?;
    linked.func_wrap_async(
        "set",
        |store, (path, data, version): (String, Vec<u8>, Option<i32>)| {
            Box::new(writes::set(store, path, data, version))
        },
    )?;
    linked.func_wrap_async("delete", |store, (path, version): (String, Option<i32>)| {
        Box::new(writes::delete(store, path, version))
    })?;
    linked.func_wrap_async(
        "write-many",
        |store, (list,): (Vec<transaction::Write>,)| Box::new(writes::write_many(store, list)),
    )?;
    linked.func_wrap_async("now-ms", |store, (): ()| Box::new(writes::now_ms(store)))?;
    let mut linked = linker.instance(interface!("assignors"))?;
    linked.func_wrap_async(
        "assign",
        |store, (name, request): (String, assignment::Request)| {
            Box::new(recipe::assign(store, name, request))
        },
    )
}

/// The world `assignor`.
pub(crate) fn assignors(linker: &mut Linker<Common>) -> wasmtime::Result<()> {
    config_and_log(linker)
}

/// The world `authorizer`.
pub(crate) fn authorizers(linker: &mut Linker<AuthorizerState>) -> wasmtime::Result<()> {
    config_and_log(linker)?;
    read(&mut linker.instance(interface!("policy"))?)
}

fn read<T: Reads>(linked: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    linked.func_wrap_async("get", |store, (path,): (String,)| {
        Box::new(reads::get(store, path))
    })?;
    linked.func_wrap_async("children", |store, (path,): (String,)| {
        Box::new(reads::children(store, path))
    })?;
    linked.func_wrap_async("scan", |store, (prefix,): (String,)| {
        Box::new(reads::scan(store, prefix))
    })
}

fn config_and_log<T: State>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut linked = linker.instance(interface!("config"))?;
    linked.func_wrap_async("get", |store, (): ()| Box::new(config(store)))?;
    let mut linked = linker.instance(interface!("log"))?;
    linked.func_wrap_async("log", |store, (level, text): (log::Level, String)| {
        Box::new(write_log(store, level, text))
    })
}

async fn config<T: State>(mut store: StoreContextMut<'_, T>) -> wasmtime::Result<(String,)> {
    let config = Arc::clone(&store.data_mut().common().config);
    enter(&mut store, "config.get", 0, bytes(config.len())).await?;
    Ok((config.to_string(),))
}

async fn write_log<T: State>(
    mut store: StoreContextMut<'_, T>,
    level: log::Level,
    text: String,
) -> wasmtime::Result<()> {
    // A line of the log is escaped, byte by byte, and written.
    let shown = bytes(16 * text.len().min(4_096));
    enter(&mut store, "log", text.len(), shown).await?;
    let level = match level {
        log::Level::Debug => LogLevel::Debug,
        log::Level::Info => LogLevel::Info,
        log::Level::Warn => LogLevel::Warn,
        log::Level::Error => LogLevel::Error,
    };
    store.data_mut().budget().log(level, text.into());
    Ok(())
}
