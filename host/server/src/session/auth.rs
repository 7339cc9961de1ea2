//! Who the client is: its address, and what it authenticated as.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use innkeeper_proto::ErrorCode;
use innkeeper_proto::request::Auth;
use innkeeper_tree::Identity;
use sha1::{Digest, Sha1};

/// How many identities a connection may gather; further credentials are refused, since every
/// write carries them all.
const MAX_IDENTITIES: usize = 64;

/// What a client is without saying anything.
pub(super) fn by_address(peer: Option<SocketAddr>) -> Vec<Identity> {
    let ip = peer.map(|peer| identity("ip", &peer.ip().to_canonical().to_string()));
    ip.into_iter().collect()
}

/// Adds what a client's credentials prove. An unknown scheme proves nothing: AuthFailed.
pub(super) fn authenticate(
    identities: &mut Vec<Identity>,
    auth: &Auth,
    super_digest: Option<&str>,
) -> Result<(), ErrorCode> {
    match &*auth.scheme {
        "digest" => {
            let digest = digest_of(&auth.auth);
            if super_digest == Some(digest.as_str()) {
                add(identities, identity("super", ""))?;
            }
            add(identities, identity("digest", &digest))
        }
        // Every client is its address from the start.
        "ip" => Ok(()),
        _ => Err(ErrorCode::AuthFailed),
    }
}

/// ZooKeeper's digest of `user:password`: `user:base64(sha1(user:password))`.
pub(crate) fn digest_of(credentials: &[u8]) -> String {
    let text = String::from_utf8_lossy(credentials);
    let user = text.split(':').next().unwrap_or_default();
    let hash = STANDARD.encode(Sha1::digest(text.as_bytes()));
    format!("{user}:{hash}")
}

fn identity(scheme: &str, id: &str) -> Identity {
    Identity {
        scheme: scheme.to_owned(),
        id: id.to_owned(),
    }
}

fn add(identities: &mut Vec<Identity>, identity: Identity) -> Result<(), ErrorCode> {
    if identities.contains(&identity) {
        return Ok(());
    }
    if identities.len() >= MAX_IDENTITIES {
        return Err(ErrorCode::AuthFailed);
    }
    identities.push(identity);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From ZooKeeper's documentation of DigestAuthenticationProvider.
    #[test]
    fn digests_are_zookeepers() {
        assert_eq!(
            digest_of(b"super:superpw"),
            "super:g9oN2HttPfn8MMWJZ2r45Np/LIA="
        );
    }

    #[test]
    fn the_super_user_is_super_and_itself() {
        let auth = Auth {
            auth_type: 0,
            scheme: "digest".into(),
            auth: bytes::Bytes::from_static(b"super:superpw"),
        };
        let mut identities = by_address(Some(([127, 0, 0, 1], 4).into()));
        let digest = "super:g9oN2HttPfn8MMWJZ2r45Np/LIA=";
        for _ in 0..2 {
            assert_eq!(authenticate(&mut identities, &auth, Some(digest)), Ok(()));
        }
        assert_eq!(
            identities,
            [
                identity("ip", "127.0.0.1"),
                identity("super", ""),
                identity("digest", digest)
            ]
        );
        let unknown = Auth {
            scheme: "kerberos".into(),
            ..auth
        };
        assert_eq!(
            authenticate(&mut identities, &unknown, None),
            Err(ErrorCode::AuthFailed)
        );
    }
}
