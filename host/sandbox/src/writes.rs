//! What a recipe alone may do to its transaction: the host functions of `transaction` beside
//! the reads.

use innkeeper_proto::{Acl, Perms, Stat};
use wasmtime::StoreContextMut;

use crate::meter::{self, ENTRY, WRITE, enter, enter_entry};
use crate::overlay::{CreateOptions, Done};
use crate::reads::{Reads, Told, answer, enter_at, stat, told};
use crate::recipe::RecipeState;
use crate::wit::{transaction, types};

type Store<'a> = StoreContextMut<'a, RecipeState>;

/// The host function `exists`.
pub(crate) async fn exists(mut store: Store<'_>, path: String) -> Told<Option<types::Stat>> {
    enter_at(&mut store, "exists", &path).await?;
    let seen = store.data_mut().overlay()?.exists(&path);
    told(seen.map(|seen| seen.map(stat)))
}

/// The host function `owner`.
pub(crate) async fn owner(mut store: Store<'_>, path: String) -> Told<Option<u64>> {
    enter_at(&mut store, "owner", &path).await?;
    told(store.data_mut().overlay()?.owner(&path))
}

/// The host function `create`.
pub(crate) async fn create(
    mut store: Store<'_>,
    path: String,
    data: Vec<u8>,
    how: transaction::CreateOptions,
) -> Told<String> {
    let write = transaction::CreateWrite {
        path,
        data,
        options: how,
    };
    told(do_create(&mut store, "create", write, true).await)
}

/// The host function `set`.
pub(crate) async fn set(
    mut store: Store<'_>,
    path: String,
    data: Vec<u8>,
    version: Option<i32>,
) -> Told<types::Stat> {
    let write = transaction::SetWrite {
        path,
        data,
        version,
    };
    told(do_set(&mut store, "set", write, true).await.map(stat))
}

/// The host function `delete`.
pub(crate) async fn delete(mut store: Store<'_>, path: String, version: Option<i32>) -> Told<()> {
    let write = transaction::DeleteWrite { path, version };
    told(do_delete(&mut store, "delete", write, true).await)
}

/// The host function `write-many`.
pub(crate) async fn write_many(
    mut store: Store<'_>,
    writes: Vec<transaction::Write>,
) -> wasmtime::Result<(Result<(), transaction::WriteError>,)> {
    const CALL: &str = "write-many";
    // What was lifted is paid for, even if the first write fails.
    let handed_over = writes.iter().map(write_bytes).sum();
    let lifted = ENTRY * writes.len() as u64;
    enter(&mut store, CALL, handed_over, lifted).await?;
    for (index, write) in writes.into_iter().enumerate() {
        let done = match write {
            transaction::Write::Create(write) => {
                do_create(&mut store, CALL, write, false).await.map(drop)
            }
            transaction::Write::Set(write) => {
                do_set(&mut store, CALL, write, false).await.map(drop)
            }
            transaction::Write::Delete(write) => do_delete(&mut store, CALL, write, false).await,
        };
        if let Err(error) = answer(done)? {
            return Ok((Err(transaction::WriteError {
                index: index as u32,
                error,
            }),));
        }
    }
    Ok((Ok(()),))
}

/// The host function `now-ms`.
pub(crate) async fn now_ms(mut store: Store<'_>) -> wasmtime::Result<(u64,)> {
    enter(&mut store, "now-ms", 0, 0).await?;
    Ok((store.data_mut().overlay()?.now_ms(),))
}

async fn do_create(
    store: &mut Store<'_>,
    call: &'static str,
    write: transaction::CreateWrite,
    handed_over: bool,
) -> Done<String> {
    let bytes = create_bytes(&write);
    enter_write(store, call, &write.path, bytes, handed_over).await?;
    let options = options(write.options);
    let overlay = store.data_mut().overlay()?;
    overlay.create(&write.path, write.data.into(), options)
}

async fn do_set(
    store: &mut Store<'_>,
    call: &'static str,
    write: transaction::SetWrite,
    handed_over: bool,
) -> Done<Stat> {
    let bytes = set_bytes(&write);
    enter_write(store, call, &write.path, bytes, handed_over).await?;
    let overlay = store.data_mut().overlay()?;
    overlay.set(&write.path, write.data.into(), write.version)
}

async fn do_delete(
    store: &mut Store<'_>,
    call: &'static str,
    write: transaction::DeleteWrite,
    handed_over: bool,
) -> Done<()> {
    enter_write(store, call, &write.path, write.path.len(), handed_over).await?;
    let overlay = store.data_mut().overlay()?;
    overlay.delete(&write.path, write.version)
}

/// Begins a write. What a bulk call handed over was charged at its beginning.
async fn enter_write(
    store: &mut Store<'_>,
    call: &'static str,
    path: &str,
    bytes: usize,
    handed_over: bool,
) -> wasmtime::Result<()> {
    // Checked, encoded and applied: its bytes are moved more than once.
    let fuel = WRITE + meter::bytes(bytes) + store.data_mut().overlay()?.judging(path);
    if handed_over {
        enter(store, call, bytes, fuel).await
    } else {
        enter_entry(store, call, fuel).await
    }
}

fn write_bytes(write: &transaction::Write) -> usize {
    match write {
        transaction::Write::Create(write) => create_bytes(write),
        transaction::Write::Set(write) => set_bytes(write),
        transaction::Write::Delete(write) => write.path.len(),
    }
}

fn create_bytes(write: &transaction::CreateWrite) -> usize {
    let entries = write.options.acl.iter().flatten();
    let acl: usize = entries
        .map(|entry| Acl::MIN_WIRE_LEN + entry.scheme.len() + entry.id.len())
        .sum();
    write.path.len() + write.data.len() + acl
}

fn set_bytes(write: &transaction::SetWrite) -> usize {
    write.path.len() + write.data.len()
}

fn options(options: transaction::CreateOptions) -> CreateOptions {
    CreateOptions {
        acl: options.acl.map(|acl| acl.into_iter().map(entry).collect()),
        ephemeral: options.ephemeral,
        sequential: options.sequential,
    }
}

fn entry(acl: transaction::Acl) -> Acl {
    let mut perms = Perms::NONE;
    for (flag, perm) in [
        (transaction::Permissions::READ, Perms::READ),
        (transaction::Permissions::WRITE, Perms::WRITE),
        (transaction::Permissions::CREATE, Perms::CREATE),
        (transaction::Permissions::DELETE, Perms::DELETE),
        (transaction::Permissions::ADMIN, Perms::ADMIN),
    ] {
        if acl.permissions.contains(flag) {
            perms = perms | perm;
        }
    }
    Acl {
        perms,
        scheme: acl.scheme.into(),
        id: acl.id.into(),
    }
}
