//! The encoded form of votes, log ids, memberships and entries.
//!
//! Each encoding begins with one byte for its version and has explicit tags. A reader that finds an
//! unknown version or tag returns an error. Integers are little-endian. The encodings are on disks
//! and, later, between peers, so a released layout never changes; a new layout gets a new version.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes};
use innkeeper_tree::encoding;
use openraft::EntryPayload;
use openraft::impls::BasicNode;
use openraft::vote::RaftLeaderId;

use crate::types::{
    Entry, LeaderId, LogId, Membership, Origin, Proposal, StoredMembership, Vote, log_id,
};

/// Why a value cannot be decoded or encoded.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The bytes end inside a field.
    #[error("the bytes of a {what} end too early")]
    Short {
        /// The kind of value.
        what: &'static str,
    },
    /// Written by a newer version of this program, or not written by it at all.
    #[error("a {what} has the unknown version or tag {found}: a newer release wrote it")]
    Unknown {
        /// The kind of value.
        what: &'static str,
        /// The unknown byte.
        found: u8,
    },
    /// A list or a text is longer than its 32-bit count can say.
    #[error("{count} {what} are more than can be counted in 32 bits")]
    TooMany {
        /// The kind of items.
        what: &'static str,
        /// The number of items.
        count: usize,
    },
    /// The fields contradict each other.
    #[error("a {what} is not valid: {why}")]
    Invalid {
        /// The kind of value.
        what: &'static str,
        /// The contradiction.
        why: String,
    },
}

const VERSION: u8 = 1;
const BLANK: u8 = 0;
const COMMAND: u8 = 1;
const MEMBERSHIP: u8 = 2;
const COMMAND_OF: u8 = 3;
/// Bytes of an entry's version, kind, term and index.
const ENTRY_FIXED: usize = 18;
/// Bytes of an origin.
const ORIGIN: usize = 24;

/// Reads fields from the front of a slice.
pub(crate) struct Fields<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            return Err(CodecError::Short { what: self.what });
        };
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let bytes = self.bytes(N)?;
        bytes
            .try_into()
            .map_err(|_| CodecError::Short { what: self.what })
    }

    pub(crate) fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, CodecError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn version(&mut self) -> Result<(), CodecError> {
        match self.u8()? {
            VERSION => Ok(()),
            found => Err(CodecError::Unknown {
                what: self.what,
                found,
            }),
        }
    }

    pub(crate) fn flag(&mut self) -> Result<bool, CodecError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(CodecError::Unknown {
                what: self.what,
                found,
            }),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }
}

/// Appends a vote.
pub fn put_vote(out: &mut impl BufMut, vote: &Vote) {
    out.put_u8(VERSION);
    out.put_slice(&vote.leader_id.term.to_le_bytes());
    out.put_slice(&vote.leader_id.voted_for.to_le_bytes());
    out.put_u8(u8::from(vote.committed));
}

/// Reads a vote.
pub fn vote(bytes: &[u8]) -> Result<Vote, CodecError> {
    read_vote(&mut Fields::new("vote", bytes))
}

pub(crate) fn read_vote(fields: &mut Fields<'_>) -> Result<Vote, CodecError> {
    fields.version()?;
    let leader_id = LeaderId::new(fields.u64()?, fields.u64()?);
    Ok(Vote {
        leader_id,
        committed: fields.flag()?,
    })
}

/// Appends a log id that may be absent.
pub fn put_log_id(out: &mut impl BufMut, id: Option<&LogId>) {
    out.put_u8(VERSION);
    match id {
        None => out.put_u8(0),
        Some(id) => {
            out.put_u8(1);
            out.put_slice(&id.committed_leader_id().to_le_bytes());
            out.put_slice(&id.index.to_le_bytes());
        }
    }
}

/// Reads a log id that may be absent.
pub fn optional_log_id(bytes: &[u8]) -> Result<Option<LogId>, CodecError> {
    read_log_id(&mut Fields::new("log id", bytes))
}

pub(crate) fn read_log_id(fields: &mut Fields<'_>) -> Result<Option<LogId>, CodecError> {
    fields.version()?;
    if !fields.flag()? {
        return Ok(None);
    }
    let (term, index) = (fields.u64()?, fields.u64()?);
    Ok(Some(log_id(term, index)))
}

/// Appends a count or a length in 32 bits; the error is a number that does not fit.
pub(crate) fn put_count(
    out: &mut impl BufMut,
    what: &'static str,
    count: usize,
) -> Result<(), CodecError> {
    let short = u32::try_from(count).map_err(|_| CodecError::TooMany { what, count })?;
    out.put_slice(&short.to_le_bytes());
    Ok(())
}

fn put_membership_fields(out: &mut impl BufMut, membership: &Membership) -> Result<(), CodecError> {
    let configs = membership.get_joint_config();
    put_count(out, "configurations", configs.len())?;
    for config in configs {
        put_count(out, "voters", config.len())?;
        for id in config {
            out.put_slice(&id.to_le_bytes());
        }
    }
    let nodes: Vec<_> = membership.nodes().collect();
    put_count(out, "nodes", nodes.len())?;
    for (id, node) in nodes {
        out.put_slice(&id.to_le_bytes());
        put_count(out, "bytes of an address", node.addr.len())?;
        out.put_slice(node.addr.as_bytes());
    }
    Ok(())
}

fn read_membership_fields(fields: &mut Fields<'_>) -> Result<Membership, CodecError> {
    let mut configs = Vec::new();
    for _ in 0..fields.u32()? {
        let mut config = BTreeSet::new();
        for _ in 0..fields.u32()? {
            config.insert(fields.u64()?);
        }
        configs.push(config);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..fields.u32()? {
        let id = fields.u64()?;
        let len = fields.u32()? as usize;
        let addr = std::str::from_utf8(fields.bytes(len)?)
            .map_err(|e| invalid(e.to_string()))?
            .to_owned();
        nodes.insert(id, BasicNode { addr });
    }
    if configs.is_empty() {
        return Ok(Membership::default());
    }
    return Membership::new(configs, nodes).map_err(|e| invalid(e.to_string()));

    fn invalid(why: String) -> CodecError {
        CodecError::Invalid {
            what: "membership",
            why,
        }
    }
}

/// The bytes of a membership with the entry that set it.
pub fn stored_membership_bytes(stored: &StoredMembership) -> Result<Vec<u8>, CodecError> {
    let mut out = vec![VERSION];
    put_log_id(&mut out, stored.log_id().as_ref());
    put_membership_fields(&mut out, stored.membership())?;
    Ok(out)
}

/// Reads a membership with the entry that set it.
pub fn stored_membership(bytes: &[u8]) -> Result<StoredMembership, CodecError> {
    let mut fields = Fields::new("membership", bytes);
    fields.version()?;
    let set_by = read_log_id(&mut fields)?;
    Ok(StoredMembership::new(
        set_by,
        read_membership_fields(&mut fields)?,
    ))
}

/// Appends an entry: version, kind, term, index, then the content. After an error the caller must
/// drop the bytes that were appended.
pub fn put_entry(out: &mut impl BufMut, entry: &Entry) -> Result<(), CodecError> {
    let kind = match &entry.payload {
        EntryPayload::Blank => BLANK,
        EntryPayload::Normal(proposal) if proposal.is_void(&entry.log_id) => BLANK,
        EntryPayload::Normal(proposal) => match proposal.origin() {
            Some(_) => COMMAND_OF,
            None => COMMAND,
        },
        EntryPayload::Membership(_) => MEMBERSHIP,
    };
    out.put_slice(&[VERSION, kind]);
    out.put_u64_le(**entry.log_id.committed_leader_id());
    out.put_u64_le(entry.log_id.index);
    match &entry.payload {
        EntryPayload::Normal(proposal) if kind != BLANK => {
            if let Some(origin) = proposal.origin() {
                out.put_u64_le(origin.node);
                out.put_u64_le(origin.run);
                out.put_u64_le(origin.number);
            }
            out.put_slice(proposal.encoded());
        }
        EntryPayload::Blank | EntryPayload::Normal(_) => {}
        EntryPayload::Membership(membership) => put_membership_fields(out, membership)?,
    }
    Ok(())
}

/// How many bytes [`put_entry`] will append. For a membership it is an estimate.
pub fn entry_len_hint(entry: &Entry) -> usize {
    ENTRY_FIXED
        + match &entry.payload {
            EntryPayload::Blank => 0,
            EntryPayload::Normal(proposal) if proposal.is_void(&entry.log_id) => 0,
            EntryPayload::Normal(proposal) => {
                let origin = proposal.origin().map_or(0, |_| ORIGIN);
                origin + proposal.encoded().len()
            }
            EntryPayload::Membership(membership) => membership
                .nodes()
                .map(|(_, node)| 32 + node.addr.len())
                .sum(),
        }
}

/// The log id in an entry's bytes, without decoding the rest.
pub fn entry_log_id(bytes: &[u8]) -> Result<LogId, CodecError> {
    let mut fields = Fields::new("log entry", bytes);
    fields.version()?;
    fields.u8()?;
    Ok(log_id(fields.u64()?, fields.u64()?))
}

/// Reads an entry.
pub fn entry(bytes: &[u8]) -> Result<Entry, CodecError> {
    let mut fields = Fields::new("log entry", bytes);
    fields.version()?;
    let kind = fields.u8()?;
    let id = log_id(fields.u64()?, fields.u64()?);
    let payload = match kind {
        BLANK => EntryPayload::Blank,
        COMMAND | COMMAND_OF => {
            let origin = if kind == COMMAND_OF {
                Some(Origin {
                    node: fields.u64()?,
                    run: fields.u64()?,
                    number: fields.u64()?,
                })
            } else {
                None
            };
            let encoded = Bytes::copy_from_slice(fields.rest());
            let command =
                encoding::decode_command(encoded.clone()).map_err(|e| CodecError::Invalid {
                    what: "command",
                    why: e.to_string(),
                })?;
            EntryPayload::Normal(Proposal::new(command, encoded, origin))
        }
        MEMBERSHIP => EntryPayload::Membership(read_membership_fields(&mut fields)?),
        found => {
            return Err(CodecError::Unknown {
                what: "log entry",
                found,
            });
        }
    };
    Ok(Entry {
        log_id: id,
        payload,
    })
}

#[cfg(test)]
mod tests;
