//! Who may run the commands that ZooKeeper guards: whoever has all permissions on `/`.
//!
//! The header is ZooKeeper's: `Authorization: digest user:password`, or `ip` alone for one's
//! address.

use std::net::SocketAddr;

use axum::http::{HeaderMap, StatusCode, header};
use innkeeper_proto::Perms;
use innkeeper_runtime::Runtime;
use innkeeper_tree::{Identity, acl, path};

use crate::core::Core;
use crate::session::digest_of;

/// Why a command is not run, in ZooKeeper's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("Auth info is missing for the command")]
    Missing,
    #[error("Not authenticated")]
    NotAuthenticated,
    #[error("Not authorized")]
    NotAuthorized,
}

impl Refusal {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Refusal::Missing | Refusal::NotAuthenticated => StatusCode::UNAUTHORIZED,
            Refusal::NotAuthorized => StatusCode::FORBIDDEN,
        }
    }
}

/// Lets through who has every permission on `/`.
pub(super) fn check<R: Runtime>(
    core: &Core<R>,
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
) -> Result<(), Refusal> {
    let header = headers.get(header::AUTHORIZATION).ok_or(Refusal::Missing)?;
    let header = header.to_str().map_err(|_| Refusal::NotAuthenticated)?;
    let super_digest = core.settings.super_digest.as_deref();
    let identities = identities(header, peer, super_digest).ok_or(Refusal::NotAuthenticated)?;
    let view = core.reader.view();
    let (_, list) = view.exists(path::ROOT).ok_or(Refusal::NotAuthorized)?;
    let each = [
        Perms::READ,
        Perms::WRITE,
        Perms::CREATE,
        Perms::DELETE,
        Perms::ADMIN,
    ];
    // One permission may come from one entry of the list, another from another.
    match each
        .iter()
        .all(|perm| acl::allows(&list, *perm, &identities))
    {
        true => Ok(()),
        false => Err(Refusal::NotAuthorized),
    }
}

fn identities(
    header: &str,
    peer: Option<SocketAddr>,
    super_digest: Option<&str>,
) -> Option<Vec<Identity>> {
    let identity = |scheme: &str, id: String| Identity {
        scheme: scheme.to_owned(),
        id,
    };
    let parts: Vec<_> = header.split(' ').collect();
    match parts.as_slice() {
        ["digest", credentials] => {
            let digest = digest_of(credentials.as_bytes());
            let mut identities = Vec::new();
            if super_digest == Some(digest.as_str()) {
                identities.push(identity("super", String::new()));
            }
            identities.push(identity("digest", digest));
            Some(identities)
        }
        ["ip"] | ["ip", _] => {
            let ip = peer?.ip().to_canonical();
            Some(vec![identity("ip", ip.to_string())])
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_told_apart() {
        let peer = Some(SocketAddr::from(([127, 0, 0, 1], 4)));
        let digest = "super:g9oN2HttPfn8MMWJZ2r45Np/LIA=";
        let schemes = |header| {
            let found = identities(header, peer, Some(digest))?;
            Some(found.into_iter().map(|one| one.scheme).collect::<Vec<_>>())
        };
        assert_eq!(
            schemes("digest super:superpw"),
            Some(vec!["super".to_owned(), "digest".to_owned()])
        );
        assert_eq!(
            schemes("digest super:wrong"),
            Some(vec!["digest".to_owned()])
        );
        assert_eq!(schemes("ip"), Some(vec!["ip".to_owned()]));
        for nothing in ["digest", "Basic abc", "", "digest a b", "x509"] {
            assert_eq!(schemes(nothing), None, "{nothing}");
        }
        assert_eq!(identities("ip", None, None), None);
    }
}
