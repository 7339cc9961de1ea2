//! The bodies of the frames between nodes.
//!
//! Each body begins with one byte for its version. A reader that finds an unknown one says so, and
//! the connection ends; two releases that must understand each other agree on a protocol in the
//! [hello](super::hello).

use bytes::{BufMut, Bytes, BytesMut};
use innkeeper_runtime::Runtime;
use innkeeper_tree::Zxid;
use openraft::EntryPayload;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};

use super::frame::TooLong;
use crate::codec::{self, CodecError, Fields};
use crate::types::{Entry, LogId, TypeConfig};

/// The kinds of frames after the hello. A released number never changes.
pub(super) mod kind {
    /// A request for a vote.
    pub(in crate::peer) const VOTE: u8 = 16;
    /// A question whether a vote would be given.
    pub(in crate::peer) const PRE_VOTE: u8 = 17;
    /// A leader's sign of life: an append without entries, answered by itself.
    pub(in crate::peer) const HEARTBEAT: u8 = 18;
    /// The leader asks a follower to take over.
    pub(in crate::peer) const TRANSFER: u8 = 19;
    /// The first append of a stream of appends.
    pub(in crate::peer) const APPEND_FIRST: u8 = 20;
    /// Another append of the same stream.
    pub(in crate::peer) const APPEND: u8 = 21;
    /// What a node says about its group, and asks of another one.
    pub(in crate::peer) const ABOUT: u8 = 22;
    /// A follower asks the leader for the index up to which a read must wait.
    pub(in crate::peer) const READ_INDEX: u8 = 23;
    /// Opens a stream of operations.
    pub(in crate::peer) const FORWARD_OPEN: u8 = 24;
    /// Operations of an open stream.
    pub(in crate::peer) const FORWARD: u8 = 25;
    /// A voter asks whether it may stand for election in place of a dead leader.
    pub(in crate::peer) const SUCCEED: u8 = 30;
    /// A node asks for the rolling hash of the state at a zxid.
    pub(in crate::peer) const HASH: u8 = 31;
    /// The server of a node asks the server of another one.
    pub(in crate::peer) const SERVER: u8 = 34;
    /// A leader asks which nodes a node does not reach.
    pub(in crate::peer) const REACH: u8 = 35;
    /// The answer to the question of the same number.
    pub(in crate::peer) const ANSWER: u8 = 32;
    /// Instead of an answer: a sentence that says why there is none.
    pub(in crate::peer) const FAILED: u8 = 33;
    /// Begins a snapshot.
    pub(in crate::peer) const SNAPSHOT: u8 = 40;
    /// The next bytes of a snapshot or a module.
    pub(in crate::peer) const PIECE: u8 = 41;
    /// There are no further pieces.
    pub(in crate::peer) const END: u8 = 42;
    /// The node is at work on what it got; the answer comes later.
    pub(in crate::peer) const WORKING: u8 = 43;
    /// Asks for a module by its digest.
    pub(in crate::peer) const MODULE: u8 = 44;
}

pub(super) const VERSION: u8 = 1;

/// Why a body cannot be encoded or decoded.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

impl From<BodyError> for std::io::Error {
    fn from(error: BodyError) -> Self {
        std::io::Error::new(std::io::ErrorKind::InvalidData, error)
    }
}

pub(super) fn fields<'a>(what: &'static str, body: &'a [u8]) -> Result<Fields<'a>, CodecError> {
    let mut fields = Fields::new(what, body);
    fields.version()?;
    Ok(fields)
}

fn unknown(what: &'static str, found: u8) -> CodecError {
    CodecError::Unknown { what, found }
}

pub(super) fn put_vote_request<R: Runtime>(
    out: &mut BytesMut,
    request: &VoteRequest<TypeConfig<R>>,
) {
    out.put_u8(VERSION);
    codec::put_vote(out, &request.vote);
    codec::put_log_id(out, request.last_log_id.as_ref());
    out.put_u8(u8::from(request.leadership_transfer));
}

pub(super) fn vote_request<R: Runtime>(
    body: &[u8],
) -> Result<VoteRequest<TypeConfig<R>>, CodecError> {
    let mut fields = fields("request for a vote", body)?;
    Ok(VoteRequest {
        vote: codec::read_vote(&mut fields)?,
        last_log_id: codec::read_log_id(&mut fields)?,
        leadership_transfer: fields.flag()?,
    })
}

pub(super) fn put_vote_response<R: Runtime>(
    out: &mut BytesMut,
    response: &VoteResponse<TypeConfig<R>>,
) {
    out.put_u8(VERSION);
    codec::put_vote(out, &response.vote);
    out.put_u8(u8::from(response.vote_granted));
    codec::put_log_id(out, response.last_log_id.as_ref());
}

pub(super) fn vote_response<R: Runtime>(
    body: &[u8],
) -> Result<VoteResponse<TypeConfig<R>>, CodecError> {
    let mut fields = fields("vote", body)?;
    Ok(VoteResponse {
        vote: codec::read_vote(&mut fields)?,
        vote_granted: fields.flag()?,
        last_log_id: codec::read_log_id(&mut fields)?,
    })
}

pub(super) fn put_append<R: Runtime>(
    out: &mut BytesMut,
    request: &AppendEntriesRequest<TypeConfig<R>>,
) -> Result<(), CodecError> {
    out.put_u8(VERSION);
    codec::put_vote(out, &request.vote);
    codec::put_log_id(out, request.prev_log_id.as_ref());
    codec::put_log_id(out, request.leader_commit.as_ref());
    codec::put_count(out, "entries", request.entries.len())?;
    request
        .entries
        .iter()
        .try_for_each(|entry| put_entry(out, entry))
}

fn put_entry(out: &mut BytesMut, entry: &Entry) -> Result<(), CodecError> {
    const WHAT: &str = "bytes of an entry";
    if let EntryPayload::Normal(_) = entry.payload {
        // The hint is exact for a command, so its bytes are copied once.
        codec::put_count(out, WHAT, codec::entry_len_hint(entry))?;
        return codec::put_entry(out, entry);
    }
    let mut bytes = Vec::with_capacity(codec::entry_len_hint(entry));
    codec::put_entry(&mut bytes, entry)?;
    codec::put_count(out, WHAT, bytes.len())?;
    out.put_slice(&bytes);
    Ok(())
}

pub(super) fn append<R: Runtime>(
    body: &[u8],
) -> Result<AppendEntriesRequest<TypeConfig<R>>, CodecError> {
    let mut fields = fields("request to append", body)?;
    let vote = codec::read_vote(&mut fields)?;
    let prev_log_id = codec::read_log_id(&mut fields)?;
    let leader_commit = codec::read_log_id(&mut fields)?;
    let count = fields.u32()?;
    // An entry takes bytes, so a lying count ends at the end of the body.
    let mut entries = Vec::new();
    for _ in 0..count {
        let len = fields.u32()? as usize;
        entries.push(codec::entry(fields.bytes(len)?)?);
    }
    Ok(AppendEntriesRequest {
        vote,
        prev_log_id,
        entries,
        leader_commit,
    })
}

const MATCHING: u8 = 0;
const CONFLICT: u8 = 1;
const HIGHER_VOTE: u8 = 2;

pub(super) fn put_append_result<R: Runtime>(
    out: &mut BytesMut,
    result: &StreamAppendResult<TypeConfig<R>>,
) {
    out.put_u8(VERSION);
    match result {
        Ok(matching) => {
            out.put_u8(MATCHING);
            codec::put_log_id(out, matching.as_ref());
        }
        Err(StreamAppendError::Conflict(at)) => {
            out.put_u8(CONFLICT);
            codec::put_log_id(out, Some(at));
        }
        Err(StreamAppendError::HigherVote(vote)) => {
            out.put_u8(HIGHER_VOTE);
            codec::put_vote(out, vote);
        }
    }
}

pub(super) fn append_result<R: Runtime>(
    body: &[u8],
) -> Result<StreamAppendResult<TypeConfig<R>>, CodecError> {
    const WHAT: &str = "result of an append";
    let mut fields = fields(WHAT, body)?;
    Ok(match fields.u8()? {
        MATCHING => Ok(codec::read_log_id(&mut fields)?),
        CONFLICT => Err(StreamAppendError::Conflict(present(
            WHAT,
            codec::read_log_id(&mut fields)?,
        )?)),
        HIGHER_VOTE => Err(StreamAppendError::HigherVote(codec::read_vote(
            &mut fields,
        )?)),
        found => return Err(unknown(WHAT, found)),
    })
}

pub(super) fn present(what: &'static str, id: Option<LogId>) -> Result<LogId, CodecError> {
    id.ok_or_else(|| CodecError::Invalid {
        what,
        why: "it names no log id".to_owned(),
    })
}

pub(super) fn put_transfer<R: Runtime>(
    out: &mut BytesMut,
    request: &TransferLeaderRequest<TypeConfig<R>>,
) {
    out.put_u8(VERSION);
    codec::put_vote(out, request.from_leader());
    out.put_u64_le(*request.to_node_id());
    codec::put_log_id(out, request.last_log_id());
}

pub(super) fn transfer<R: Runtime>(
    body: &[u8],
) -> Result<TransferLeaderRequest<TypeConfig<R>>, CodecError> {
    let mut fields = fields("leader transfer", body)?;
    let from = codec::read_vote(&mut fields)?;
    let to = fields.u64()?;
    let last = codec::read_log_id(&mut fields)?;
    Ok(TransferLeaderRequest::new(from, to, last))
}

pub(super) fn put_read_index(out: &mut BytesMut, id: &LogId) {
    out.put_u8(VERSION);
    codec::put_log_id(out, Some(id));
}

pub(super) fn read_index(body: &[u8]) -> Result<LogId, CodecError> {
    const WHAT: &str = "read index";
    present(WHAT, codec::read_log_id(&mut fields(WHAT, body)?)?)
}

pub(super) fn put_zxid(out: &mut BytesMut, zxid: Zxid) {
    out.put_u8(VERSION);
    out.put_u64_le(zxid.0);
}

pub(super) fn zxid(body: &[u8]) -> Result<Zxid, CodecError> {
    fields("zxid", body)?.u64().map(Zxid)
}

pub(super) fn put_hash(out: &mut BytesMut, hash: Option<u64>) {
    out.put_u8(VERSION);
    out.put_u8(u8::from(hash.is_some()));
    out.put_u64_le(hash.unwrap_or_default());
}

pub(super) fn hash(body: &[u8]) -> Result<Option<u64>, CodecError> {
    let mut fields = fields("hash of the state", body)?;
    let is_there = fields.flag()?;
    let hash = fields.u64()?;
    Ok(is_there.then_some(hash))
}

/// The bytes that a function appends.
pub(super) fn bytes(put: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    put(&mut out);
    out.freeze()
}

#[cfg(test)]
mod tests;
