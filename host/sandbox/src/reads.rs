//! Reads that recipes and authorizers have in common: charged, looked up, told.
//!
//! An `Err` of the outer result is a trap (a limit was passed), of the inner one the guest's to
//! handle.

use bytes::Bytes;
use innkeeper_proto::Stat;

use crate::budget::Budget;
use crate::overlay::{OpError, Overlay, Seen};
use crate::wit::types;

type Answer<T> = wasmtime::Result<Result<T, types::Error>>;

pub(crate) fn get(
    budget: &mut Budget,
    overlay: &mut Overlay,
    path: String,
) -> Answer<Option<types::Znode>> {
    budget.charge(path.len())?;
    let seen = overlay.get(&path);
    if let Ok(Some(seen)) = &seen {
        budget.charge_result(seen.data.as_ref().map_or(0, Bytes::len))?;
    }
    Ok(seen
        .map(|seen| seen.map(|seen| znode(path, seen)))
        .map_err(error))
}

pub(crate) fn children(
    budget: &mut Budget,
    overlay: &mut Overlay,
    path: &str,
) -> Answer<Vec<String>> {
    budget.charge(path.len())?;
    let names = overlay.children(path);
    if let Ok(names) = &names {
        budget.charge_result(names.iter().map(String::len).sum())?;
    }
    Ok(names.map_err(error))
}

pub(crate) fn scan(
    budget: &mut Budget,
    overlay: &mut Overlay,
    prefix: &str,
) -> Answer<Vec<types::Znode>> {
    budget.charge(prefix.len())?;
    let found = overlay.scan(prefix, |bytes| budget.charge_result(bytes))?;
    let told = |found: Vec<(String, Seen)>| {
        found
            .into_iter()
            .map(|(path, seen)| znode(path, seen))
            .collect()
    };
    Ok(found.map(told).map_err(error))
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
pub(crate) fn error(error: OpError) -> types::Error {
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
