//! The encoding of commands.

use bytes::Bytes;

use super::EncodingError;
use super::group;
use super::primitives::{Reader, Sink, put_list, put_option, put_str, put_u64, unknown};
use super::transaction::{put_transaction, transaction};
use super::write::{put_write, write};
use crate::command::{Command, Identity, Operation, SessionRequest, Sweep};
use crate::transaction::Transaction;
use crate::{Digest, SessionId, Ticket, World, Zxid};

/// The version of the form that [`encode_command`] writes.
pub const COMMAND_VERSION: u8 = 1;

/// The tags of operations and of requests. They never change and are never used for another thing.
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
    pub(super) const GROUP: u8 = 13;

    pub(super) const REQUEST_WRITE: u8 = 1;
    pub(super) const REQUEST_CLOSE: u8 = 2;
    pub(super) const REQUEST_FLAGGED_WRITE: u8 = 3;

    /// Bits of a flagged write; at least one is set.
    pub(super) const FLAG_ENFORCE_QUOTA: u8 = 1;
    pub(super) const FLAG_UPGRADE_LOCAL: u8 = 2;
}

/// Appends a command's bytes.
pub fn encode_command(command: &Command, out: &mut Vec<u8>) {
    out.put_u8(COMMAND_VERSION);
    put_u64(out, command.time_ms);
    put_operation(out, &command.operation);
}

/// Appends an operation, without the command's head.
pub(super) fn put_operation<B: Sink>(out: &mut B, operation: &Operation) {
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
        Operation::Group(change) => {
            out.put_u8(tag::GROUP);
            group::put_change(out, change);
        }
    }
}

/// Appends a transaction as an operation.
pub(super) fn put_transaction_operation<B: Sink>(
    out: &mut B,
    ticket: Ticket,
    transaction: &Transaction,
) {
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
        tag::GROUP => Operation::Group(group::change(reader)?),
        tag => return Err(unknown("command", tag)),
    })
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
