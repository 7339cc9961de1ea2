//! Who a node is to its peers.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::address::PeerAddress;
use crate::types::NodeId;

pub use innkeeper_tree::group::{ClusterId, Incarnation};

/// The highest feature level that this release supports.
pub(crate) const FEATURE_LEVEL: u32 = 1;

/// What a node says of itself in a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The group that this node belongs to; `None` before it has learnt of one.
    pub cluster: Option<ClusterId>,
    /// This node's number.
    pub node_id: NodeId,
    /// This node's data folder.
    pub incarnation: Incarnation,
    /// The highest feature level that this node supports.
    pub feature_level: u32,
    /// May this node vote? A node whose folder was empty may not before a group has named the
    /// folder, or before it has founded one.
    pub may_vote: bool,
    /// Where this node says that it is, by its own settings.
    pub address: Option<PeerAddress>,
}

/// A secret that the nodes of a group share. Nothing shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    bytes: Arc<[u8]>,
}

impl Secret {
    /// A secret of any length. The empty one protects nothing.
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self {
            bytes: bytes.as_ref().into(),
        }
    }

    /// HMAC-SHA256 (RFC 2104) of several texts. Each goes in with its length, so no two lists of
    /// texts have one code.
    fn code(&self, texts: &[&[u8]]) -> Hmac<Sha256> {
        // HMAC takes keys of every length.
        let mut code = Hmac::<Sha256>::new_from_slice(&self.bytes)
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of every length"));
        for text in texts {
            code.update(&(text.len() as u64).to_le_bytes());
            code.update(text);
        }
        code
    }

    /// The proof of this secret over some texts.
    pub(super) fn prove(&self, texts: &[&[u8]]) -> [u8; 32] {
        self.code(texts).finalize().into_bytes().into()
    }

    /// Is this the proof over these texts? It takes the same time for each wrong proof.
    pub(super) fn is_proof(&self, texts: &[&[u8]], proof: &[u8]) -> bool {
        self.code(texts).verify_slice(proof).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2, whose one text would have no length before it; so this is only
    /// about the hiding and the telling apart.
    #[test]
    fn a_secret_proves_its_texts_and_stays_hidden() {
        let secret = Secret::new("swordfish");
        let proof = secret.prove(&[b"ab", b"c"]);
        assert!(secret.is_proof(&[b"ab", b"c"], &proof));
        assert!(!secret.is_proof(&[b"a", b"bc"], &proof));
        assert!(!secret.is_proof(&[b"ab", b"c"], &proof[..31]));
        assert!(!Secret::new("").is_proof(&[b"ab", b"c"], &proof));
        assert!(!format!("{secret:?}").contains("sword"));
    }
}
