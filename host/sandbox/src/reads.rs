//! Reads that recipes and authorizers have in common: charged, looked up, told.
//!
//! An `Err` of the outer result is a trap (a limit was passed), of the inner one the guest's to
//! handle.

use bytes::Bytes;
use innkeeper_proto::Stat;

use crate::budget::Budget;
use crate::overlay::{Done, OpError, Overlay, Seen, Step, Stop};
use crate::wit::types;

type Answer<T> = wasmtime::Result<Result<T, types::Error>>;

/// What the guest is told, or the trap that ends it.
pub(crate) fn answer<T>(done: Done<T>) -> Answer<T> {
    match done {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Op(failed)) => Ok(Err(error(failed))),
        Err(Stop::Limit(trap)) => Err(trap),
    }
}

pub(crate) fn get(
    budget: &mut Budget,
    overlay: &mut Overlay,
    path: String,
) -> Done<Option<types::Znode>> {
    budget.charge(path.len())?;
    let Some(seen) = overlay.get(&path)? else {
        return Ok(None);
    };
    budget.charge_result(seen.data.as_ref().map_or(0, Bytes::len))?;
    Ok(Some(znode(path, seen)))
}

pub(crate) fn children(
    budget: &mut Budget,
    overlay: &mut Overlay,
    path: &str,
) -> Done<Vec<String>> {
    budget.charge(path.len())?;
    let (mut names, _) = overlay.children(path)?;
    while overlay.run(&mut names).is_some() {}
    let names = names.into_names();
    budget.charge_result(names.iter().map(String::len).sum())?;
    Ok(names)
}

pub(crate) fn scan(
    budget: &mut Budget,
    overlay: &mut Overlay,
    prefix: &str,
) -> Done<Vec<types::Znode>> {
    budget.charge(prefix.len())?;
    let mut scan = overlay.scan(prefix)?;
    let mut found = Vec::new();
    loop {
        match overlay.step(&mut scan) {
            Step::Found(path, seen) => {
                budget.charge_result(path.len() + seen.data.as_ref().map_or(0, Bytes::len))?;
                found.push(znode(path, seen));
            }
            Step::Looked(places) => debug_assert!(places > 0),
            Step::End => return Ok(found),
        }
    }
}

fn znode(path: String, seen: Seen) -> types::Znode {
    types::Znode {
        path,
        data: seen.data.map(Vec::from).unwrap_or_default(),
        stat: stat(seen.stat),
    }
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
