//! Who may run the commands that ZooKeeper guards: clients with all permissions on `/`.
//!
//! The header is ZooKeeper's: `Authorization: digest user:password`, or `ip` alone for one's
//! address.

use std::net::SocketAddr;

use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use innkeeper_auth::Auth;
use innkeeper_proto::Perms;
use innkeeper_proto::request::Auth as AuthPacket;
use innkeeper_runtime::Runtime;
use innkeeper_server::service::Service;
use innkeeper_tree::{Identity, acl, path};

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

/// Refuses a client that lacks a permission on `/`.
pub(super) fn check<R: Runtime>(
    service: &Service<R>,
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
) -> Result<(), Refusal> {
    let header = headers.get(header::AUTHORIZATION).ok_or(Refusal::Missing)?;
    let header = header.to_str().map_err(|_| Refusal::NotAuthenticated)?;
    let identities = identities(service.auth(), header, peer).ok_or(Refusal::NotAuthenticated)?;
    let view = service.reader.view();
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

/// The user that the header names beside a password.
pub(super) fn user(headers: &HeaderMap) -> Option<String> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, credentials) = header.split_once(' ')?;
    let (user, _password) = credentials.split_once(':')?;
    Some(user.to_owned())
}

/// What the header proves, by the schemes that the node serves.
fn identities(auth: &Auth, header: &str, peer: Option<SocketAddr>) -> Option<Vec<Identity>> {
    let parts: Vec<_> = header.split(' ').collect();
    match parts.as_slice() {
        ["ip"] | ["ip", _] => peer.map(|peer| auth.at_connect(Some(peer), None)),
        [scheme, credentials] => {
            let packet = AuthPacket {
                auth_type: 0,
                scheme: (*scheme).into(),
                auth: Bytes::copy_from_slice(credentials.as_bytes()),
            };
            let mut identities = Vec::new();
            auth.authenticate(&mut identities, &packet).ok()?;
            (!identities.is_empty()).then_some(identities)
        }
        _ => None,
    }
}
