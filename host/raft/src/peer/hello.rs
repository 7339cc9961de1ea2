//! The first exchange on a connection: both ends say who they are and prove the shared secret.
//!
//! ```text
//! dialer   -> "INKPEER\n"  hello
//! acceptor ->              hello
//! dialer   ->              proof
//! acceptor ->              welcome with its proof | refusal
//! dialer   ->              refusal, or the first frame of the channel
//! ```
//!
//! A proof is HMAC-SHA256 over who proves, the bytes of both hellos (each with 32 random bytes of
//! its sender) and the binding of the protection beneath. So a proof is good for one connection and
//! one direction only.
//!
//! **Invariant:** before the other end has proved the secret, nothing of it is read but its hello
//! and its proof, at most [`HELLO_BYTES_MAX`] bytes each, and nothing is done for it.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use innkeeper_runtime::Runtime;
use innkeeper_tree::text;

use super::channel::Channel;
use super::frame::{Frame, TooLong};
use super::identity::{ClusterId, Identity, Incarnation, Secret};
use super::link::Link;
use crate::codec::{CodecError, Fields};
use crate::types::NodeId;

const MAGIC: &[u8; 8] = b"INKPEER\n";
/// The first and last protocol that this release speaks.
const PROTOCOLS: (u16, u16) = (1, 1);
/// The greatest body of a frame of the hello.
pub(super) const HELLO_BYTES_MAX: usize = 4096;
/// A node whose address is longer does not say it. A DNS name has at most 253 bytes.
const ADDRESS_BYTES_MAX: usize = 1024;
/// The greatest number of bytes of a refusal's sentence.
const SENTENCE_BYTES_MAX: usize = 1024;

const HELLO: u8 = 1;
const PROOF: u8 = 2;
const WELCOME: u8 = 3;
const REFUSAL: u8 = 4;

const DIALER: &[u8] = b"innkeeper peer: dialer";
const ACCEPTOR: &[u8] = b"innkeeper peer: acceptor";

/// Why two nodes do not talk to each other.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// The connection broke, or something that is no node is at the other end.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// This node refuses the other one.
    #[error("{0}")]
    Refused(String),
    /// The other node refuses this one.
    #[error("the other node refuses the connection: {0}")]
    RefusedByPeer(String),
}

impl From<CodecError> for HelloError {
    fn from(error: CodecError) -> Self {
        HelloError::Io(io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl From<TooLong> for HelloError {
    fn from(error: TooLong) -> Self {
        HelloError::Io(error.into())
    }
}

/// What a node knows of its peer after the hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// The peer.
    pub identity: Identity,
    /// What the connection carries.
    pub channel: Channel,
    /// The protocol that both speak.
    pub protocol: u16,
}

/// What a node brings into a hello.
pub(super) struct Own<'a> {
    pub(super) identity: &'a Identity,
    pub(super) secret: &'a Secret,
    /// The feature level of this node's state. A peer must support it.
    pub(super) level: u32,
}

struct Hello {
    protocols: (u16, u16),
    channel: u8,
    from: Identity,
    /// The node that the dialer means to reach.
    to: NodeId,
    random: [u8; 32],
}

impl Hello {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.put_u16_le(self.protocols.0);
        out.put_u16_le(self.protocols.1);
        out.put_u8(self.channel);
        out.put_u64_le(self.from.node_id);
        out.put_u64_le(self.to);
        out.put_u8(u8::from(self.from.cluster.is_some()));
        out.put_slice(&self.from.cluster.map_or([0; 16], |cluster| cluster.0));
        out.put_slice(&self.from.incarnation.0);
        out.put_u32_le(self.from.feature_level);
        out.put_slice(&self.random);
        out.put_u8(u8::from(self.from.may_vote));
        let address = self.from.address.as_ref().map(ToString::to_string);
        let address = address.filter(|text| text.len() <= ADDRESS_BYTES_MAX);
        let address = address.unwrap_or_default();
        out.put_u16_le(address.len() as u16);
        out.put_slice(address.as_bytes());
        out
    }

    /// A later release may append fields, so what follows is left alone. The first one sent no
    /// address.
    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut fields = Fields::new("hello", bytes);
        let protocols = (fields.u16()?, fields.u16()?);
        let channel = fields.u8()?;
        let (node_id, to) = (fields.u64()?, fields.u64()?);
        let random;
        let (has_cluster, cluster) = (fields.flag()?, ClusterId(fields.array()?));
        Ok(Self {
            protocols,
            channel,
            from: Identity {
                cluster: has_cluster.then_some(cluster),
                node_id,
                incarnation: Incarnation(fields.array()?),
                feature_level: fields.u32()?,
                may_vote: {
                    random = fields.array()?;
                    fields.flag()?
                },
                address: match fields.is_empty() {
                    true => None,
                    false => {
                        let len = fields.u16()?;
                        let text = std::str::from_utf8(fields.bytes(len.into())?);
                        text.ok().and_then(|text| text.parse().ok())
                    }
                },
            },
            to,
            random,
        })
    }

    /// The protocol that both ends speak: the latest that is in both ranges.
    fn protocol(&self) -> Option<u16> {
        let latest = self.protocols.1.min(PROTOCOLS.1);
        let first = self.protocols.0.max(PROTOCOLS.0);
        (first <= latest).then_some(latest)
    }

    /// Judges a peer's hello by what this node is. The error is a sentence for both ends.
    fn judge(&self, own: &Own<'_>) -> Result<u16, String> {
        let (from, level) = (&self.from, own.level);
        let (me, you) = (own.identity.node_id, from.node_id);
        if you == me {
            return Err(format!(
                "two nodes have the number {me}: give each node of a group a number of its own"
            ));
        }
        if let (Some(mine), Some(yours)) = (own.identity.cluster, from.cluster)
            && mine != yours
        {
            return Err(format!(
                "node {you} belongs to the cluster {yours} and node {me} to the cluster {mine}: \
                 correct the list of peers, or empty the data folder of the node that is to join \
                 the other cluster"
            ));
        }
        if from.feature_level < level {
            return Err(format!(
                "node {you} supports the feature level {} and the group of node {me} uses {level}: \
                 update node {you}",
                from.feature_level
            ));
        }
        Ok(self.protocol().unwrap_or_default())
    }
}

/// Says hello on a connection that this node has made to the node `to`.
pub(super) async fn dial<R: Runtime>(
    runtime: &R,
    link: &mut Link,
    binding: &[u8],
    own: &Own<'_>,
    to: NodeId,
    channel: Channel,
) -> Result<PeerInfo, HelloError> {
    let mine = hello(runtime, own.identity, to, channel.number()).encode();
    link.put_raw(MAGIC);
    put(link, HELLO, &mine)?;
    let theirs = body(link.next().await?, HELLO)?;
    let hello = Hello::decode(&theirs)?;
    let refusal = if hello.protocol().is_none() {
        Some(no_protocol(&hello))
    } else if hello.from.node_id != to {
        Some(format!(
            "node {} answers at the address of node {to}: correct the list of peers",
            hello.from.node_id
        ))
    } else {
        None
    };
    if let Some(sentence) = refusal {
        return refuse(link, sentence).await;
    }
    put(
        link,
        PROOF,
        &own.secret.prove(&[DIALER, &mine, &theirs, binding]),
    )?;
    let proof = body(link.next().await?, WELCOME)?;
    if !own
        .secret
        .is_proof(&[ACCEPTOR, &mine, &theirs, binding], &proof)
    {
        return refuse(link, wrong_secret(to, own.identity.node_id)).await;
    }
    match hello.judge(own) {
        Ok(protocol) => Ok(PeerInfo {
            identity: hello.from,
            channel,
            protocol,
        }),
        Err(sentence) => refuse(link, sentence).await,
    }
}

/// Says hello on a connection that another node has made.
pub(super) async fn accept<R: Runtime>(
    runtime: &R,
    link: &mut Link,
    binding: &[u8],
    own: &Own<'_>,
) -> Result<PeerInfo, HelloError> {
    let magic = link.next_raw(MAGIC.len()).await?;
    if magic != MAGIC[..] {
        let error = "what it sends is no hello of a node: connect clients to the client port";
        return Err(io::Error::new(io::ErrorKind::InvalidData, error).into());
    }
    let theirs = body(link.next().await?, HELLO)?;
    let hello = Hello::decode(&theirs)?;
    let mine = self::hello(runtime, own.identity, hello.from.node_id, hello.channel).encode();
    put(link, HELLO, &mine)?;
    if hello.protocol().is_none() {
        return refuse(link, no_protocol(&hello)).await;
    }
    let proof = body(link.next().await?, PROOF)?;
    if !own
        .secret
        .is_proof(&[DIALER, &theirs, &mine, binding], &proof)
    {
        return refuse(link, wrong_secret(hello.from.node_id, own.identity.node_id)).await;
    }
    let judged = hello.judge(own).and_then(|protocol| {
        if hello.to != own.identity.node_id {
            return Err(format!(
                "node {} looks for node {} at the address of node {}: correct the list of peers",
                hello.from.node_id, hello.to, own.identity.node_id
            ));
        }
        match Channel::of_number(hello.channel) {
            Some(channel) => Ok((protocol, channel)),
            None => Err(format!(
                "node {} opens the channel {}, which node {} does not know: update node {} first",
                hello.from.node_id, hello.channel, own.identity.node_id, own.identity.node_id
            )),
        }
    });
    match judged {
        Ok((protocol, channel)) => {
            let proof = own.secret.prove(&[ACCEPTOR, &theirs, &mine, binding]);
            put(link, WELCOME, &proof)?;
            link.flush().await?;
            Ok(PeerInfo {
                identity: hello.from,
                channel,
                protocol,
            })
        }
        Err(sentence) => refuse(link, sentence).await,
    }
}

fn hello<R: Runtime>(runtime: &R, own: &Identity, to: NodeId, channel: u8) -> Hello {
    let mut random = [0; 32];
    runtime.fill_random(&mut random);
    Hello {
        protocols: PROTOCOLS,
        channel,
        from: own.clone(),
        to,
        random,
    }
}

fn no_protocol(hello: &Hello) -> String {
    let (first, last) = hello.protocols;
    format!(
        "node {} speaks the peer protocols {first} to {last} and this one {} to {}: update the \
         older one",
        hello.from.node_id, PROTOCOLS.0, PROTOCOLS.1
    )
}

fn wrong_secret(a: NodeId, b: NodeId) -> String {
    format!(
        "the nodes {a} and {b} have different secrets: give all nodes of the group the same one"
    )
}

fn put(link: &mut Link, kind: u8, body: &[u8]) -> Result<(), TooLong> {
    link.put(kind, 0, |out: &mut BytesMut| {
        out.put_slice(body);
        Ok(())
    })
}

/// The body of a frame of the expected kind.
fn body(frame: Frame, kind: u8) -> Result<Bytes, HelloError> {
    if frame.kind == kind {
        return Ok(frame.body);
    }
    if frame.kind == REFUSAL {
        return Err(HelloError::RefusedByPeer(shown(&frame.body)));
    }
    let what = format!("a frame of kind {} came instead of a hello", frame.kind);
    Err(io::Error::new(io::ErrorKind::InvalidData, what).into())
}

/// A sentence from the other end, which may hold anything.
pub(super) fn shown(sentence: &[u8]) -> String {
    text::shown(String::from_utf8_lossy(sentence), SENTENCE_BYTES_MAX)
}

/// The first frame of a channel may be the dialer's refusal.
pub(super) fn refusal(frame: &Frame) -> Option<String> {
    (frame.kind == REFUSAL).then(|| shown(&frame.body))
}

async fn refuse<T>(link: &mut Link, sentence: String) -> Result<T, HelloError> {
    put(link, REFUSAL, sentence.as_bytes())?;
    // If it has gone meanwhile, it needs no sentence.
    let _ = link.flush().await;
    Err(HelloError::Refused(sentence))
}

#[cfg(test)]
mod tests;
