//! Modules on their way between nodes, by digest.
//!
//! A node that needs a module and does not store it asks the other nodes, one after another, until
//! one has it. What arrives must have the digest, and is stored durably before it counts as there.
//! (test: `a_module_is_fetched_from_a_node_that_stores_it`)

use std::io;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use innkeeper_runtime::Runtime;
use innkeeper_tree::Digest;

use super::channel::Channel;
use super::frame::Frame;
use super::link::Link;
use super::message::{self, BodyError, kind};
use super::peers::Peers;
use super::transfer::{self, PIECE_BYTES};
use crate::codec::CodecError;
use crate::error::FetchError;
use crate::modules::ModuleStore;
use crate::types::NodeId;

fn put_module(out: &mut BytesMut, digest: &Digest) {
    out.put_u8(message::VERSION);
    out.put_slice(&digest.0);
}

fn read_module(body: &[u8]) -> Result<Digest, CodecError> {
    Ok(Digest(
        message::fields("question for a module", body)?.array()?,
    ))
}

/// Puts the module's length in bytes; `None` if this node does not store it.
fn put_len(out: &mut BytesMut, len: Option<u64>) {
    out.put_u8(message::VERSION);
    out.put_u8(u8::from(len.is_some()));
    out.put_u64_le(len.unwrap_or(0));
}

fn read_len(body: &[u8]) -> Result<Option<u64>, CodecError> {
    let mut fields = message::fields("answer for a module", body)?;
    let is_there = fields.flag()?;
    let len = fields.u64()?;
    Ok(is_there.then_some(len))
}

/// Answers a question for a module, with its bytes if this node stores it.
pub(super) async fn serve<R: Runtime>(
    peers: &Peers<R>,
    modules: &ModuleStore<R>,
    link: &mut Link,
    question: &Frame,
) -> io::Result<()> {
    let digest = read_module(&question.body).map_err(BodyError::from)?;
    let module = match modules.get(digest).await {
        Ok(module) => module,
        Err(error) => return transfer::put_failed(link, question.number, &error.to_string()),
    };
    let len = module.as_ref().map(|module| module.len() as u64);
    transfer::put(link, kind::ANSWER, question.number, |out| put_len(out, len))?;
    let Some(module) = module else {
        return Ok(());
    };
    let inner = peers.inner();
    for piece in module.chunks(PIECE_BYTES) {
        transfer::put_piece(link, piece)?;
        if !link.has_room() {
            let flushed = inner
                .runtime
                .timeout(inner.settings.stall_timeout, link.flush());
            flushed
                .await
                .map_err(|_| stalled(inner.settings.stall_timeout))??;
        }
    }
    transfer::put_end(link)
}

fn stalled(limit: Duration) -> io::Error {
    let what = format!("nothing has moved for {} ms", limit.as_millis());
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// Makes this node store a module, which it takes from the first of `nodes` that has it. A module
/// of more than `bytes_max` bytes is not taken.
pub(crate) async fn fetch<R: Runtime>(
    peers: &Peers<R>,
    modules: &ModuleStore<R>,
    nodes: &[NodeId],
    digest: Digest,
    bytes_max: usize,
) -> Result<(), FetchError> {
    // One at a time: a module is held in memory until it is stored.
    let _turn = peers.inner().fetching.acquire().await;
    if modules.get(digest).await?.is_some() {
        return Ok(());
    }
    let mut reasons = Vec::new();
    for node in nodes {
        match ask(peers, *node, digest, bytes_max).await {
            Ok(Some(module)) => {
                modules.put(module).await?;
                return Ok(());
            }
            Ok(None) => reasons.push(format!("node {node} does not store it")),
            Err(error) => reasons.push(format!("node {node}: {error}")),
        }
    }
    if reasons.is_empty() {
        reasons.push("there is no other node".to_owned());
    }
    Err(FetchError::Nowhere {
        digest,
        reasons: reasons.join("; "),
    })
}

/// Asks one node. The module has its digest.
async fn ask<R: Runtime>(
    peers: &Peers<R>,
    node: NodeId,
    digest: Digest,
    bytes_max: usize,
) -> io::Result<Option<Bytes>> {
    let Ok(_connection) = peers.bulk(node).try_acquire_owned() else {
        return Err(io::Error::other("its bulk connection is in use"));
    };
    let (mut link, _) = peers
        .dial(node, Channel::Bulk)
        .await
        .map_err(io::Error::other)?;
    transfer::put(&mut link, kind::MODULE, 0, |out| put_module(out, &digest))?;
    let (runtime, stall) = (&peers.inner().runtime, peers.inner().settings.stall_timeout);
    let answer = runtime.timeout(stall, link.next()).await;
    let answer = answer.map_err(|_| stalled(stall))??;
    if answer.kind != kind::ANSWER {
        return Err(transfer::stray(&answer));
    }
    peers.works(node, Channel::Bulk);
    let Some(len) = read_len(&answer.body).map_err(BodyError::from)? else {
        return Ok(None);
    };
    if len > bytes_max as u64 {
        let what = format!("it has {len} bytes there, and this node takes {bytes_max} at most");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut module = BytesMut::new();
    loop {
        let frame = runtime.timeout(stall, link.next()).await;
        let frame = frame.map_err(|_| stalled(stall))??;
        match frame.kind {
            kind::PIECE => {
                let piece = transfer::read_piece(&frame)?;
                if module.len() + piece.len() > len as usize {
                    return Err(wrong("it is longer than that node says"));
                }
                module.extend_from_slice(&piece);
            }
            kind::END => break,
            _ => return Err(transfer::stray(&frame)),
        }
    }
    let module = module.freeze();
    if ModuleStore::<R>::digest(&module) != digest {
        return Err(wrong("what it sends does not have the digest"));
    }
    Ok(Some(module))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_come_out_as_they_went_in() {
        let digest = Digest([7; 32]);
        let question = message::bytes(|out| put_module(out, &digest));
        assert_eq!(read_module(&question).unwrap(), digest);
        for len in 0..question.len() {
            assert!(read_module(&question[..len]).is_err(), "{len}");
        }
        for len in [None, Some(0), Some(u64::MAX)] {
            let answer = message::bytes(|out| put_len(out, len));
            assert_eq!(read_len(&answer).unwrap(), len);
            assert!(read_len(&answer[..answer.len() - 1]).is_err());
        }
    }
}
