//! The encoding of the writes that commands carry.

use innkeeper_proto::{CreateMode, ErrorCode};

use super::EncodingError;
use super::primitives::{
    Reader, Sink, put_acl, put_bytes, put_data, put_i64, put_list, put_str, put_u64, unknown,
};
use crate::command::{Write, WriteOp};

/// The tags of writes and their operations. They never change and are never used for another
/// thing.
mod tag {
    pub(super) const WRITE_SINGLE: u8 = 1;
    pub(super) const WRITE_MULTI: u8 = 2;

    pub(super) const OP_CREATE: u8 = 1;
    pub(super) const OP_DELETE: u8 = 2;
    pub(super) const OP_SET_DATA: u8 = 3;
    pub(super) const OP_SET_ACL: u8 = 4;
    pub(super) const OP_CHECK: u8 = 5;
    pub(super) const OP_CREATE_TTL: u8 = 6;
    pub(super) const OP_DELETE_CONTAINER: u8 = 7;
    pub(super) const OP_REFUSED: u8 = 8;
}

/// Appends a write.
pub(super) fn put_write<B: Sink>(out: &mut B, write: &Write) {
    match write {
        Write::Single(op) => {
            out.put_u8(tag::WRITE_SINGLE);
            put_write_op(out, op);
        }
        Write::Multi(ops) => {
            out.put_u8(tag::WRITE_MULTI);
            put_list(out, ops, put_write_op);
        }
    }
}

/// A write from its bytes.
pub(super) fn write(reader: &mut Reader) -> Result<Write, EncodingError> {
    Ok(match reader.u8("write's tag")? {
        tag::WRITE_SINGLE => Write::Single(write_op(reader)?),
        tag::WRITE_MULTI => Write::Multi(reader.list("multi", 2, write_op)?),
        tag => return Err(unknown("write", tag)),
    })
}

fn put_write_op<B: Sink>(out: &mut B, op: &WriteOp) {
    match op {
        WriteOp::Create {
            path,
            data,
            acl,
            mode,
            ttl_ms,
        } => {
            out.put_u8(if *ttl_ms == 0 {
                tag::OP_CREATE
            } else {
                tag::OP_CREATE_TTL
            });
            put_str(out, path);
            put_data(out, data.as_deref());
            put_acl(out, acl);
            // ZooKeeper's own numbers, all of one byte.
            put_u64(out, mode.as_i32() as u64);
            if *ttl_ms != 0 {
                put_i64(out, *ttl_ms);
            }
        }
        WriteOp::Delete { path, version } => {
            out.put_u8(tag::OP_DELETE);
            put_versioned(out, path, *version);
        }
        WriteOp::SetData {
            path,
            data,
            version,
        } => {
            out.put_u8(tag::OP_SET_DATA);
            put_versioned(out, path, *version);
            put_data(out, data.as_deref());
        }
        WriteOp::SetAcl { path, acl, version } => {
            out.put_u8(tag::OP_SET_ACL);
            put_versioned(out, path, *version);
            put_acl(out, acl);
        }
        WriteOp::Check { path, version } => {
            out.put_u8(tag::OP_CHECK);
            put_versioned(out, path, *version);
        }
        WriteOp::DeleteContainer { path } => {
            out.put_u8(tag::OP_DELETE_CONTAINER);
            put_str(out, path);
        }
        WriteOp::Refused { path, error } => {
            out.put_u8(tag::OP_REFUSED);
            put_str(out, path);
            put_i64(out, i64::from(error.code()));
        }
    }
}

fn put_versioned<B: Sink>(out: &mut B, path: &str, version: i32) {
    put_bytes(out, path.as_bytes());
    put_i64(out, i64::from(version));
}

fn write_op(reader: &mut Reader) -> Result<WriteOp, EncodingError> {
    let op = reader.u8("operation's tag")?;
    let path = reader.string("path")?;
    Ok(match op {
        tag::OP_CREATE => WriteOp::Create {
            path,
            data: reader.data()?,
            acl: reader.acl()?,
            mode: create_mode(reader)?,
            ttl_ms: 0,
        },
        tag::OP_CREATE_TTL => WriteOp::Create {
            path,
            data: reader.data()?,
            acl: reader.acl()?,
            mode: create_mode(reader)?,
            ttl_ms: match reader.i64("time to live")? {
                // Without one, the older form is the only one.
                0 => {
                    return Err(EncodingError::Invalid {
                        what: "time to live",
                    });
                }
                ttl_ms => ttl_ms,
            },
        },
        tag::OP_DELETE_CONTAINER => WriteOp::DeleteContainer { path },
        tag::OP_REFUSED => WriteOp::Refused {
            path,
            error: refusal(reader)?,
        },
        tag::OP_DELETE => WriteOp::Delete {
            path,
            version: reader.i32("version")?,
        },
        tag::OP_SET_DATA => WriteOp::SetData {
            path,
            version: reader.i32("version")?,
            data: reader.data()?,
        },
        tag::OP_SET_ACL => WriteOp::SetAcl {
            path,
            version: reader.i32("version")?,
            acl: reader.acl()?,
        },
        tag::OP_CHECK => WriteOp::Check {
            path,
            version: reader.i32("version")?,
        },
        tag => return Err(unknown("operation", tag)),
    })
}

fn refusal(reader: &mut Reader) -> Result<ErrorCode, EncodingError> {
    let what = "refusal's error code";
    ErrorCode::from_code(reader.i32(what)?)
        .filter(|error| *error != ErrorCode::Ok)
        .ok_or(EncodingError::Invalid { what })
}

fn create_mode(reader: &mut Reader) -> Result<CreateMode, EncodingError> {
    let tag = reader.u64("create mode")?;
    i32::try_from(tag)
        .ok()
        .and_then(CreateMode::from_i32)
        .ok_or(EncodingError::UnknownTag {
            what: "create mode",
            tag,
        })
}
