//! Reads that recipes and authorizers have in common: charged, looked up, told.
//!
//! Whatever may be large is found and copied in runs, each of which is charged before or as it
//! is done ([`crate::meter`]). An `Err` of the outer result is a trap (a limit was passed), of
//! the inner one the guest's to handle.

use bytes::Bytes;
use innkeeper_proto::Stat;
use wasmtime::StoreContextMut;

use crate::meter::{self, CHILD, ENTRY, ZNODE, afford, enter, enter_entry, work};
use crate::overlay::{Done, OpError, Overlay, Seen, Step, Stop};
use crate::state::State;
use crate::wit::types;

/// Data that crosses in one piece, in bytes; more is copied piece by piece.
const PIECE_BYTES: usize = 64 << 10;

/// Names that are told between two looks at the clock.
const NAMES_PER_RUN: usize = 1_024;

/// What a name of a listing takes beside its text, about, wherever it is kept, and what a znode
/// takes beside its path and data: two lists and a Stat.
const NAME_BYTES: usize = 32;
const ZNODE_BYTES: usize = 96;

/// What a host function of the WIT's `result<T, error>` returns.
pub(crate) type Told<T> = wasmtime::Result<(Result<T, types::Error>,)>;

/// A store's state with a transaction in progress.
pub(crate) trait Reads: State {
    /// The transaction; a trap where there is none.
    fn overlay(&mut self) -> wasmtime::Result<&mut Overlay>;
}

/// What the guest is told, or the trap that ends it.
pub(crate) fn answer<T>(done: Done<T>) -> wasmtime::Result<Result<T, types::Error>> {
    match done {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Op(failed)) => Ok(Err(error(failed))),
        Err(Stop::Limit(trap)) => Err(trap),
    }
}

/// As [`answer`], for a host function to return.
pub(crate) fn told<T>(done: Done<T>) -> Told<T> {
    Ok((answer(done)?,))
}

/// Begins a host call about one path.
pub(crate) async fn enter_at<T: Reads>(
    store: &mut StoreContextMut<'_, T>,
    call: &'static str,
    path: &str,
) -> wasmtime::Result<()> {
    let judging = store.data_mut().overlay()?.judging(path);
    enter(store, call, path.len(), judging).await
}

/// The host function `get`.
pub(crate) async fn get<T: Reads>(
    mut store: StoreContextMut<'_, T>,
    path: String,
) -> Told<Option<types::Znode>> {
    const CALL: &str = "get";
    enter_at(&mut store, CALL, &path).await?;
    told(get_one(&mut store, CALL, path).await)
}

/// The host function `get-many`.
pub(crate) async fn get_many<T: Reads>(
    mut store: StoreContextMut<'_, T>,
    names: Vec<String>,
) -> Told<Vec<Option<types::Znode>>> {
    told(get_all(&mut store, names).await)
}

async fn get_all<T: Reads>(
    store: &mut StoreContextMut<'_, T>,
    names: Vec<String>,
) -> Done<Vec<Option<types::Znode>>> {
    const CALL: &str = "get-many";
    // What was lifted is paid for, even if the first path is none.
    let handed_over = names.iter().map(String::len).sum();
    enter(store, CALL, handed_over, ENTRY * names.len() as u64).await?;
    let mut found = Vec::new();
    for path in names {
        let judging = store.data_mut().overlay()?.judging(&path);
        enter_entry(store, CALL, ZNODE + judging).await?;
        found.push(get_one(store, CALL, path).await?);
    }
    Ok(found)
}

async fn get_one<T: Reads>(
    store: &mut StoreContextMut<'_, T>,
    call: &'static str,
    path: String,
) -> Done<Option<types::Znode>> {
    match store.data_mut().overlay()?.get(&path)? {
        Some(seen) => Ok(Some(znode(store, call, path, seen).await?)),
        None => Ok(None),
    }
}

/// The host function `children`.
pub(crate) async fn children<T: Reads>(
    mut store: StoreContextMut<'_, T>,
    path: String,
) -> Told<Vec<String>> {
    told(list(&mut store, &path).await)
}

async fn list<T: Reads>(store: &mut StoreContextMut<'_, T>, path: &str) -> Done<Vec<String>> {
    const CALL: &str = "children";
    enter_at(store, CALL, path).await?;
    let (mut names, count) = store.data_mut().overlay()?.children(path)?;
    afford(store, CALL, CHILD * count as u64)?;
    hand_over(store, CALL, NAME_BYTES * count).await?;
    while let Some(looked_at) = store.data_mut().overlay()?.run(&mut names) {
        work(store, CALL, CHILD * looked_at as u64).await?;
    }
    let mut told = Vec::new();
    let mut bytes = 0;
    for name in names.into_names() {
        bytes += name.len();
        told.push(name);
        if told.len().is_multiple_of(NAMES_PER_RUN) {
            hand_over(store, CALL, bytes).await?;
            bytes = 0;
        }
    }
    hand_over(store, CALL, bytes).await?;
    Ok(told)
}

/// The host function `scan`.
pub(crate) async fn scan<T: Reads>(
    mut store: StoreContextMut<'_, T>,
    prefix: String,
) -> Told<Vec<types::Znode>> {
    told(scan_all(&mut store, &prefix).await)
}

async fn scan_all<T: Reads>(
    store: &mut StoreContextMut<'_, T>,
    prefix: &str,
) -> Done<Vec<types::Znode>> {
    const CALL: &str = "scan";
    enter_at(store, CALL, prefix).await?;
    let mut scan = store.data_mut().overlay()?.scan(prefix)?;
    let mut found = Vec::new();
    loop {
        match store.data_mut().overlay()?.step(&mut scan) {
            Step::Found(path, seen) => {
                // Its children are listed next: what they will cost at least must be there before.
                let children = usize::try_from(seen.stat.num_children).unwrap_or(0);
                afford(store, CALL, (CHILD + ZNODE) * children as u64)?;
                store
                    .data_mut()
                    .budget()
                    .check_result(ZNODE_BYTES * children)?;
                work(store, CALL, ZNODE).await?;
                found.push(znode(store, CALL, path, seen).await?);
            }
            Step::Looked(places) => work(store, CALL, CHILD * places as u64).await?,
            Step::End => return Ok(found),
        }
    }
}

/// Charges bytes that the guest is handed.
async fn hand_over<T: State>(
    store: &mut StoreContextMut<'_, T>,
    call: &'static str,
    bytes: usize,
) -> wasmtime::Result<()> {
    store.data_mut().budget().charge_result(bytes)?;
    match meter::bytes(bytes) {
        0 => Ok(()),
        fuel => work(store, call, fuel).await,
    }
}

async fn znode<T: State>(
    store: &mut StoreContextMut<'_, T>,
    call: &'static str,
    path: String,
    seen: Seen,
) -> wasmtime::Result<types::Znode> {
    let bytes: Bytes = seen.data.unwrap_or_default();
    let mut data = Vec::with_capacity(bytes.len());
    let mut beside = ZNODE_BYTES + path.len();
    while data.len() < bytes.len() || beside > 0 {
        let begin = data.len();
        let end = bytes.len().min(begin + PIECE_BYTES);
        hand_over(store, call, std::mem::take(&mut beside) + end - begin).await?;
        data.extend_from_slice(&bytes[begin..end]);
    }
    Ok(types::Znode {
        path,
        data,
        stat: stat(seen.stat),
    })
}

pub(crate) fn stat(stat: Stat) -> types::Stat {
    types::Stat {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        ctime: stat.ctime,
        mtime: stat.mtime,
        version: stat.version,
        cversion: stat.cversion,
        aversion: stat.aversion,
        ephemeral_owner: stat.ephemeral_owner,
        data_length: stat.data_length,
        num_children: stat.num_children,
        pzxid: stat.pzxid,
    }
}

/// The one place where our errors become the WIT's.
fn error(error: OpError) -> types::Error {
    match error {
        OpError::NoNode => types::Error::NoNode,
        OpError::NodeExists => types::Error::NodeExists,
        OpError::BadVersion => types::Error::BadVersion,
        OpError::NotEmpty => types::Error::NotEmpty,
        OpError::NoChildrenForEphemerals => types::Error::NoChildrenForEphemerals,
        OpError::BadArguments => types::Error::BadArguments,
        OpError::InvalidAcl => types::Error::InvalidAcl,
        OpError::NoAuth => types::Error::NoAuth,
        OpError::SessionExpired => types::Error::SessionExpired,
    }
}
