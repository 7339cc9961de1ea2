//! The encoding of commands.

use bytes::Bytes;
use innkeeper_proto::{CreateMode, ErrorCode};

use super::EncodingError;
use super::primitives::{
    Count, Reader, Sink, put_acl, put_bytes, put_data, put_i64, put_list, put_option, put_str,
    put_u64,
};
use super::transaction::{put_transaction, transaction};
use crate::acl;
use crate::command::{Command, Identity, Operation, SessionRequest, Sweep, Write, WriteOp};
use crate::transaction::Transaction;
use crate::{Digest, SessionId, Ticket, World, Zxid};

/// The version of the form that [`encode_command`] writes.
pub const COMMAND_VERSION: u8 = 1;

/// The tags of operations and their parts. They never change and are never used for another thing.
mod tag {
    pub(super) const CREATE_SESSION: u8 = 1;
    pub(super) const REATTACH: u8 = 2;
    pub(super) const SESSION: u8 = 3;
    pub(super) const EXPIRE_SESSION: u8 = 4;
    pub(super) const ADMIN: u8 = 5;
    pub(super) const TRANSACTION: u8 = 6;
    pub(super) const REGISTER_MODULE: u8 = 7;
    pub(super) const ACTIVATE: u8 = 8;
    pub(super) const RAISE_LEVEL: u8 = 9;
    pub(super) const CREATE_LOCAL_SESSION: u8 = 10;
    pub(super) const ADMIN_IN_QUOTA: u8 = 11;
    pub(super) const SWEEP: u8 = 12;

    pub(super) const REQUEST_WRITE: u8 = 1;
    pub(super) const REQUEST_CLOSE: u8 = 2;
    pub(super) const REQUEST_FLAGGED_WRITE: u8 = 3;

    /// Bits of a flagged write; at least one is set.
    pub(super) const FLAG_ENFORCE_QUOTA: u8 = 1;
    pub(super) const FLAG_UPGRADE_LOCAL: u8 = 2;

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

/// Appends a command's bytes.
pub fn encode_command(command: &Command, out: &mut Vec<u8>) {
    out.put_u8(COMMAND_VERSION);
    put_u64(out, command.time_ms);
    put_operation(out, &command.operation);
}

/// The size of an operation's command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OperationSize {
    /// The greatest number of bytes that [`encode_command`] appends for the command, for any time:
    /// the time takes at most ten bytes, and six until 2109.
    pub bytes: usize,
    /// The number of items in all lists (operations, reads, acknowledgements, identities, entries
    /// of ACLs), because each needs memory beside its bytes.
    pub items: usize,
    /// The greatest number of bytes by which apply makes the command's ACLs longer.
    pub grown_bytes: usize,
}

/// The size of an operation's command. It visits the fields and neither copies nor allocates.
pub fn operation_size(operation: &Operation) -> OperationSize {
    OperationSize {
        grown_bytes: grown_bytes(operation),
        ..size_of(|out| put_operation(out, operation))
    }
}

fn grown_bytes(operation: &Operation) -> usize {
    let (identities, write) = match operation {
        Operation::Session {
            request: SessionRequest::Write {
                identities, write, ..
            },
            ..
        }
        | Operation::Admin {
            identities, write, ..
        } => (identities, write),
        _ => return 0,
    };
    let lists = write
        .operations()
        .iter()
        .filter_map(|operation| match operation {
            WriteOp::Create { acl, .. } | WriteOp::SetAcl { acl, .. } => Some(acl),
            _ => None,
        });
    lists.map(|list| acl::growth(list, identities)).sum()
}

/// The greatest number of bytes that the command of a guest's transaction has in the log. A node
/// compares it with the bound on commands.
pub fn transaction_len(transaction: &Transaction) -> usize {
    size_of(|out| put_transaction_operation(out, Ticket(0), transaction)).bytes
}

fn size_of(put: impl FnOnce(&mut Count)) -> OperationSize {
    let mut count = Count::default();
    count.put_u8(COMMAND_VERSION);
    put_u64(&mut count, u64::MAX);
    put(&mut count);
    OperationSize {
        bytes: count.bytes,
        items: count.items,
        grown_bytes: 0,
    }
}

fn put_operation<B: Sink>(out: &mut B, operation: &Operation) {
    match operation {
        Operation::CreateSession {
            ticket,
            session,
            password,
            timeout_ms,
            local,
        } => {
            out.put_u8(if *local {
                tag::CREATE_LOCAL_SESSION
            } else {
                tag::CREATE_SESSION
            });
            put_connect(out, *ticket, *session, password, *timeout_ms);
        }
        Operation::Reattach {
            ticket,
            session,
            password,
            timeout_ms,
        } => {
            out.put_u8(tag::REATTACH);
            put_connect(out, *ticket, *session, password, *timeout_ms);
        }
        Operation::Session {
            session,
            attachment,
            seq,
            request,
        } => {
            out.put_u8(tag::SESSION);
            out.put_u64_le(session.0);
            put_u64(out, u64::from(*attachment));
            put_u64(out, *seq);
            match request {
                SessionRequest::Write {
                    identities,
                    policy_zxid,
                    write,
                    enforce_quota,
                    upgrade_local,
                } => {
                    let flags = (u8::from(*enforce_quota) * tag::FLAG_ENFORCE_QUOTA)
                        | (u8::from(*upgrade_local) * tag::FLAG_UPGRADE_LOCAL);
                    if flags == 0 {
                        out.put_u8(tag::REQUEST_WRITE);
                    } else {
                        out.put_u8(tag::REQUEST_FLAGGED_WRITE);
                        out.put_u8(flags);
                    }
                    put_identities(out, identities);
                    put_option(out, *policy_zxid, |out, zxid| put_u64(out, zxid.0));
                    put_write(out, write);
                }
                SessionRequest::Close => out.put_u8(tag::REQUEST_CLOSE),
            }
        }
        Operation::ExpireSession {
            session,
            attachment,
        } => {
            out.put_u8(tag::EXPIRE_SESSION);
            out.put_u64_le(session.0);
            put_u64(out, u64::from(*attachment));
        }
        Operation::Admin {
            ticket,
            identities,
            write,
            enforce_quota,
        } => {
            out.put_u8(if *enforce_quota {
                tag::ADMIN_IN_QUOTA
            } else {
                tag::ADMIN
            });
            out.put_u64_le(ticket.0);
            put_identities(out, identities);
            put_write(out, write);
        }
        Operation::Transaction {
            ticket,
            transaction,
        } => put_transaction_operation(out, *ticket, transaction),
        Operation::RegisterModule {
            ticket,
            digest,
            size,
            world,
        } => {
            out.put_u8(tag::REGISTER_MODULE);
            out.put_u64_le(ticket.0);
            out.put_slice(&digest.0);
            put_u64(out, *size);
            out.put_u8(world_tag(*world));
        }
        Operation::Activate {
            ticket,
            binding,
            wish,
        } => {
            out.put_u8(tag::ACTIVATE);
            out.put_u64_le(ticket.0);
            put_str(out, binding);
            put_u64(out, wish.0);
        }
        Operation::Sweep(Sweep { path, mzxid, pzxid }) => {
            out.put_u8(tag::SWEEP);
            put_str(out, path);
            put_u64(out, mzxid.0);
            put_u64(out, pzxid.0);
        }
        Operation::RaiseLevel { level } => {
            out.put_u8(tag::RAISE_LEVEL);
            put_u64(out, u64::from(*level));
        }
    }
}

fn put_transaction_operation<B: Sink>(out: &mut B, ticket: Ticket, transaction: &Transaction) {
    out.put_u8(tag::TRANSACTION);
    out.put_u64_le(ticket.0);
    put_transaction(out, transaction);
}

/// Decodes a whole command. Its data are slices of `bytes` and keep them in memory.
pub fn decode_command(bytes: Bytes) -> Result<Command, EncodingError> {
    let mut reader = Reader::new(bytes);
    reader.version("command", COMMAND_VERSION)?;
    let time_ms = reader.u64("command's time")?;
    let operation = operation(&mut reader)?;
    reader.finish("command")?;
    Ok(Command { time_ms, operation })
}

fn operation(reader: &mut Reader) -> Result<Operation, EncodingError> {
    Ok(match reader.u8("command's tag")? {
        tag @ (tag::CREATE_SESSION | tag::CREATE_LOCAL_SESSION) => {
            let (ticket, session, password, timeout_ms) = connect(reader)?;
            Operation::CreateSession {
                ticket,
                session,
                password,
                timeout_ms,
                local: tag == tag::CREATE_LOCAL_SESSION,
            }
        }
        tag::REATTACH => {
            let (ticket, session, password, timeout_ms) = connect(reader)?;
            Operation::Reattach {
                ticket,
                session,
                password,
                timeout_ms,
            }
        }
        tag::SESSION => Operation::Session {
            session: SessionId(reader.id("session")?),
            attachment: reader.u32("attachment")?,
            seq: reader.u64("seq")?,
            request: request(reader)?,
        },
        tag::EXPIRE_SESSION => Operation::ExpireSession {
            session: SessionId(reader.id("session")?),
            attachment: reader.u32("attachment")?,
        },
        tag @ (tag::ADMIN | tag::ADMIN_IN_QUOTA) => Operation::Admin {
            ticket: ticket(reader)?,
            identities: identities(reader)?,
            write: write(reader)?,
            enforce_quota: tag == tag::ADMIN_IN_QUOTA,
        },
        tag::SWEEP => Operation::Sweep(Sweep {
            path: reader.string("path")?,
            mzxid: Zxid(reader.u64("mzxid")?),
            pzxid: Zxid(reader.u64("pzxid")?),
        }),
        tag::TRANSACTION => Operation::Transaction {
            ticket: ticket(reader)?,
            transaction: transaction(reader)?,
        },
        tag::REGISTER_MODULE => Operation::RegisterModule {
            ticket: ticket(reader)?,
            digest: Digest(reader.array("module's digest")?),
            size: reader.u64("module's size")?,
            world: world(reader)?,
        },
        tag::ACTIVATE => Operation::Activate {
            ticket: ticket(reader)?,
            binding: reader.string("binding's name")?,
            wish: Zxid(reader.u64("wish")?),
        },
        tag::RAISE_LEVEL => Operation::RaiseLevel {
            level: reader.u32("level")?,
        },
        tag => return Err(unknown("command", tag)),
    })
}

fn unknown(what: &'static str, tag: u8) -> EncodingError {
    EncodingError::UnknownTag {
        what,
        tag: u64::from(tag),
    }
}

fn put_connect<B: Sink>(
    out: &mut B,
    ticket: Ticket,
    session: SessionId,
    password: &[u8; 16],
    timeout_ms: u32,
) {
    out.put_u64_le(ticket.0);
    out.put_u64_le(session.0);
    out.put_slice(password);
    put_u64(out, u64::from(timeout_ms));
}

type Connect = (Ticket, SessionId, [u8; 16], u32);

fn connect(reader: &mut Reader) -> Result<Connect, EncodingError> {
    Ok((
        ticket(reader)?,
        SessionId(reader.id("session")?),
        reader.array("password")?,
        reader.u32("timeout")?,
    ))
}

fn ticket(reader: &mut Reader) -> Result<Ticket, EncodingError> {
    reader.id("ticket").map(Ticket)
}

fn request(reader: &mut Reader) -> Result<SessionRequest, EncodingError> {
    Ok(match reader.u8("request's tag")? {
        tag::REQUEST_WRITE => flagged_write(reader, 0)?,
        tag::REQUEST_FLAGGED_WRITE => {
            let known = tag::FLAG_ENFORCE_QUOTA | tag::FLAG_UPGRADE_LOCAL;
            match reader.u8("write's flags")? {
                flags if flags != 0 && flags & !known == 0 => flagged_write(reader, flags)?,
                flags => return Err(unknown("write's flags", flags)),
            }
        }
        tag::REQUEST_CLOSE => SessionRequest::Close,
        tag => return Err(unknown("request", tag)),
    })
}

fn flagged_write(reader: &mut Reader, flags: u8) -> Result<SessionRequest, EncodingError> {
    Ok(SessionRequest::Write {
        identities: identities(reader)?,
        policy_zxid: reader.option("policy's zxid", |reader| {
            reader.u64("policy's zxid").map(Zxid)
        })?,
        write: write(reader)?,
        enforce_quota: flags & tag::FLAG_ENFORCE_QUOTA != 0,
        upgrade_local: flags & tag::FLAG_UPGRADE_LOCAL != 0,
    })
}

fn put_identities<B: Sink>(out: &mut B, identities: &[Identity]) {
    put_list(out, identities, |out, identity| {
        put_str(out, &identity.scheme);
        put_str(out, &identity.id);
    });
}

fn identities(reader: &mut Reader) -> Result<Vec<Identity>, EncodingError> {
    reader.list("identities", 2, |reader| {
        Ok(Identity {
            scheme: reader.string("identity's scheme")?,
            id: reader.string("identity's id")?,
        })
    })
}

fn put_write<B: Sink>(out: &mut B, write: &Write) {
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

fn write(reader: &mut Reader) -> Result<Write, EncodingError> {
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

pub(super) fn world_tag(world: World) -> u8 {
    match world {
        World::Recipe => 1,
        World::Assignor => 2,
        World::Authorizer => 3,
    }
}

pub(super) fn world(reader: &mut Reader) -> Result<World, EncodingError> {
    let tag = reader.u8("world")?;
    World::ALL
        .into_iter()
        .find(|world| world_tag(*world) == tag)
        .ok_or_else(|| unknown("world", tag))
}
