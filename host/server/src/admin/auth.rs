//! Who may change things: whoever reached the admin socket, and the super user over HTTP.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::serve::Pace;
use crate::auth::digest_of;

/// How a request came in.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// Over the admin socket: the file system let only the node's own user connect.
    Socket,
    /// Over HTTP, from anyone.
    Http {
        /// `user:base64(sha1(user:password))` of the super user, if there is one.
        super_digest: Option<Arc<str>>,
    },
}

/// Lets a request through that may change things. It runs before anything of the request's body
/// is read, so that a stranger uploads nothing.
pub(super) async fn trusted_only(
    State(way): State<Way>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if let Way::Http { super_digest } = &way {
        check(super_digest.as_deref(), request.headers())?;
    }
    if let Some(pace) = request.extensions().get::<Pace>() {
        pace.trust();
    }
    Ok(next.run(request).await)
}

/// Does the request name the super user and the password?
fn check(super_digest: Option<&str>, headers: &HeaderMap) -> Result<(), Problem> {
    let refused = |sentence: &str| Problem::new(StatusCode::UNAUTHORIZED, sentence);
    let Some(super_digest) = super_digest else {
        return Err(refused(
            "this node has no super user, so that nothing can be changed over HTTP; use the admin socket (the `innkeeper` command on the node's machine), or start the node with --super-digest",
        ));
    };
    // A page in somebody's browser could send what the browser remembers of the super user.
    if headers.contains_key(header::ORIGIN) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "a web page may not change anything here; use the `innkeeper` command, or curl",
        ));
    }
    let Some(credentials) = headers.get(header::AUTHORIZATION).and_then(credentials_of) else {
        return Err(refused(
            "this needs the super user's name and password (HTTP Basic); give them, or use the admin socket on the node's machine",
        ));
    };
    if !equal(&digest_of(&credentials), super_digest) {
        return Err(refused(
            "the name or the password is not the super user's; correct it, or use the admin socket on the node's machine",
        ));
    }
    Ok(())
}

/// What HTTP Basic carries: `user:password`.
fn credentials_of(value: &header::HeaderValue) -> Option<Vec<u8>> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let credentials = STANDARD.decode(encoded.trim()).ok()?;
    credentials.contains(&b':').then_some(credentials)
}

/// Compares without telling by its duration how much agreed: what is compared are hashes, whose
/// first difference says nothing about the texts', and all of it is looked at.
fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (Sha256::digest(a), Sha256::digest(b));
    a.iter()
        .zip(&b)
        .fold(0, |differs, (a, b)| differs | (a ^ b))
        == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From ZooKeeper's documentation of DigestAuthenticationProvider.
    const DIGEST: &str = "super:g9oN2HttPfn8MMWJZ2r45Np/LIA=";

    fn with(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::AUTHORIZATION,
            authorization.parse().expect("a header"),
        );
        headers
    }

    fn status(digest: Option<&str>, headers: &HeaderMap) -> Option<u16> {
        check(digest, headers).err().map(|problem| {
            use axum::response::IntoResponse;
            problem.into_response().status().as_u16()
        })
    }

    #[test]
    fn only_the_super_user_passes() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(status(Some(DIGEST), &with(&basic("super:superpw"))), None);
        let lower = basic("super:superpw").replace("Basic", "bAsIc");
        assert_eq!(status(Some(DIGEST), &with(&lower)), None);
        for wrong in [
            basic("super:superpw2"),
            basic("super:"),
            basic("superpw"),
            basic("other:superpw"),
            basic(""),
            "Basic".to_owned(),
            "Basic !!!".to_owned(),
            format!("Bearer {}", STANDARD.encode("super:superpw")),
            // The digest is not the password.
            basic(DIGEST),
        ] {
            assert_eq!(status(Some(DIGEST), &with(&wrong)), Some(401), "{wrong}");
        }
        assert_eq!(status(Some(DIGEST), &HeaderMap::new()), Some(401));
        assert_eq!(status(None, &with(&basic("super:superpw"))), Some(401));
    }

    #[test]
    fn a_web_page_does_not_pass_with_what_the_browser_remembers() {
        let mut headers = with(&format!("Basic {}", STANDARD.encode("super:superpw")));
        headers.insert(
            header::ORIGIN,
            "http://evil.example".parse().expect("a header"),
        );
        assert_eq!(status(Some(DIGEST), &headers), Some(403));
    }

    #[test]
    fn texts_are_equal_if_they_are() {
        assert!(equal("abc", "abc") && equal("", ""));
        assert!(!equal("abc", "abd") && !equal("abc", "ab") && !equal("", "a"));
    }
}
