//! The encoding of guests' transactions.

use super::EncodingError;
use super::primitives::{
    Count, Reader, Sink, put_acl, put_data, put_i64, put_list, put_option, put_str, put_u64,
};
use crate::transaction::{Ack, GuestWrite, Read, Transaction};
use crate::{SessionId, Zxid};

/// The tags of reads, writes and acknowledgements. They never change and are never used for another
/// thing.
mod tag {
    pub(super) const READ_NODE: u8 = 1;
    pub(super) const READ_ACL: u8 = 2;
    pub(super) const READ_CHILDREN: u8 = 3;
    pub(super) const READ_ABSENT: u8 = 4;
    pub(super) const READ_SUBTREE: u8 = 5;
    pub(super) const READ_SESSION: u8 = 6;

    pub(super) const WRITE_CREATE: u8 = 1;
    pub(super) const WRITE_SET: u8 = 2;
    pub(super) const WRITE_DELETE: u8 = 3;

    pub(super) const ACK_PATH: u8 = 1;
    pub(super) const ACK_RESYNC: u8 = 2;
}

pub(super) fn put_transaction<B: Sink>(out: &mut B, transaction: &Transaction) {
    put_str(out, &transaction.binding);
    put_u64(out, transaction.activation.0);
    out.put_u8(transaction.depth);
    put_list(out, &transaction.reads, put_read);
    put_list(out, &transaction.writes, put_write);
    put_list(out, &transaction.acks, put_ack);
    put_list(out, &transaction.called, |out, (name, activation)| {
        put_called(out, name, *activation);
    });
}

fn put_called<B: Sink>(out: &mut B, name: &str, activation: Zxid) {
    put_str(out, name);
    put_u64(out, activation.0);
}

pub(super) fn transaction(reader: &mut Reader) -> Result<Transaction, EncodingError> {
    Ok(Transaction {
        binding: reader.string("binding's name")?,
        activation: zxid(reader)?,
        depth: reader.u8("depth")?,
        reads: reader.list("reads", 2, read)?,
        writes: reader.list("writes", 2, write)?,
        acks: reader.list("acknowledgements", 2, ack)?,
        called: reader.list("assignors called", 2, |reader| {
            Ok((reader.string("assignor's name")?, zxid(reader)?))
        })?,
    })
}

fn zxid(reader: &mut Reader) -> Result<Zxid, EncodingError> {
    reader.u64("zxid").map(Zxid)
}

fn put_read<B: Sink>(out: &mut B, read: &Read) {
    let mut put_at = |tag, path: &str, zxid: Zxid| {
        out.put_u8(tag);
        put_str(out, path);
        put_u64(out, zxid.0);
    };
    match read {
        Read::Node { path, mzxid } => put_at(tag::READ_NODE, path, *mzxid),
        Read::Children { path, pzxid } => put_at(tag::READ_CHILDREN, path, *pzxid),
        Read::Subtree { path, seen } => put_at(tag::READ_SUBTREE, path, *seen),
        Read::Acl {
            path,
            czxid,
            aversion,
        } => {
            put_at(tag::READ_ACL, path, *czxid);
            put_i64(out, i64::from(*aversion));
        }
        Read::Absent { path } => {
            out.put_u8(tag::READ_ABSENT);
            put_str(out, path);
        }
        Read::Session(session) => {
            out.put_u8(tag::READ_SESSION);
            out.put_u64_le(session.0);
        }
    }
}

fn read(reader: &mut Reader) -> Result<Read, EncodingError> {
    Ok(match reader.u8("read's tag")? {
        tag::READ_NODE => Read::Node {
            path: reader.string("path")?,
            mzxid: zxid(reader)?,
        },
        tag::READ_CHILDREN => Read::Children {
            path: reader.string("path")?,
            pzxid: zxid(reader)?,
        },
        tag::READ_SUBTREE => Read::Subtree {
            path: reader.string("path")?,
            seen: zxid(reader)?,
        },
        tag::READ_ACL => Read::Acl {
            path: reader.string("path")?,
            czxid: zxid(reader)?,
            aversion: reader.i32("version of an ACL")?,
        },
        tag::READ_ABSENT => Read::Absent {
            path: reader.string("path")?,
        },
        tag::READ_SESSION => Read::Session(SessionId(reader.id("session")?)),
        tag => return Err(unknown("read", tag)),
    })
}

fn unknown(what: &'static str, tag: u8) -> EncodingError {
    EncodingError::UnknownTag {
        what,
        tag: u64::from(tag),
    }
}

fn put_write<B: Sink>(out: &mut B, write: &GuestWrite) {
    match write {
        GuestWrite::Create {
            path,
            data,
            acl,
            owner,
        } => {
            out.put_u8(tag::WRITE_CREATE);
            put_str(out, path);
            put_data(out, data.as_deref());
            put_option(out, acl.as_deref(), put_acl);
            put_option(out, *owner, |out, owner| out.put_u64_le(owner.0));
        }
        GuestWrite::Set { path, data } => {
            out.put_u8(tag::WRITE_SET);
            put_str(out, path);
            put_data(out, data.as_deref());
        }
        GuestWrite::Delete { path } => {
            out.put_u8(tag::WRITE_DELETE);
            put_str(out, path);
        }
    }
}

fn write(reader: &mut Reader) -> Result<GuestWrite, EncodingError> {
    let tag = reader.u8("write's tag")?;
    let path = reader.string("path")?;
    Ok(match tag {
        tag::WRITE_CREATE => GuestWrite::Create {
            path,
            data: reader.data()?,
            acl: reader.option("ACL", Reader::acl)?,
            owner: reader.option("owner", |reader| reader.id("owner").map(SessionId))?,
        },
        tag::WRITE_SET => GuestWrite::Set {
            path,
            data: reader.data()?,
        },
        tag::WRITE_DELETE => GuestWrite::Delete { path },
        tag => return Err(unknown("write", tag)),
    })
}

fn put_ack<B: Sink>(out: &mut B, ack: &Ack) {
    match ack {
        Ack::Path { path, zxid } => {
            out.put_u8(tag::ACK_PATH);
            put_str(out, path);
            put_u64(out, zxid.0);
        }
        Ack::Resync(zxid) => {
            out.put_u8(tag::ACK_RESYNC);
            put_u64(out, zxid.0);
        }
    }
}

fn ack(reader: &mut Reader) -> Result<Ack, EncodingError> {
    Ok(match reader.u8("acknowledgement's tag")? {
        tag::ACK_PATH => Ack::Path {
            path: reader.string("path")?,
            zxid: zxid(reader)?,
        },
        tag::ACK_RESYNC => Ack::Resync(zxid(reader)?),
        tag => return Err(unknown("acknowledgement", tag)),
    })
}

/// The greatest length of the depth, the activation and the counts of four lists, in bytes.
const HEAD_LEN_MOST: usize = 1 + 5 * 10;

fn len_of(put: impl FnOnce(&mut Count)) -> usize {
    let mut count = Count::default();
    put(&mut count);
    count.bytes
}

// The lengths of the parts of a transaction. A guest's limit counts them while the transaction
// grows. (test: `a_transaction_is_as_long_as_its_parts_say`)

impl Read {
    /// Its encoded length in a transaction, in bytes.
    pub fn encoded_len(&self) -> usize {
        len_of(|out| put_read(out, self))
    }
}

impl GuestWrite {
    /// Its encoded length in a transaction, in bytes.
    pub fn encoded_len(&self) -> usize {
        len_of(|out| put_write(out, self))
    }
}

impl Ack {
    /// Its encoded length in a transaction, in bytes.
    pub fn encoded_len(&self) -> usize {
        len_of(|out| put_ack(out, self))
    }
}

impl Transaction {
    /// The greatest encoded length of an empty transaction of this binding, in bytes.
    pub fn empty_len_most(binding: &str) -> usize {
        len_of(|out| put_str(out, binding)) + HEAD_LEN_MOST
    }

    /// The encoded length of a called assignor in a transaction, in bytes.
    pub fn called_len(name: &str, activation: Zxid) -> usize {
        len_of(|out| put_called(out, name, activation))
    }
}
