//! Who may change things: every client of the admin socket, and the super user over HTTP.
//!
//! A request over HTTP that brings a wrong name or password costs its address one of the
//! [`Attempts`](super::attempts::Attempts); when they are used up, its requests are refused and
//! their passwords are not compared.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use innkeeper_auth::Auth;
use innkeeper_runtime::Runtime;
use innkeeper_tree::text;

use super::Admin;
use super::places::Origin;
use super::problem::Problem;
use super::serve::{Pace, Peer};

/// How much of a name is shown in the log, in bytes.
const NAME_BYTES_SHOWN: usize = 64;

/// How a request came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// Over the admin socket: the file system let only the node's own user connect.
    Socket,
    /// Over HTTP, from anyone.
    Http,
}

/// Lets a request through that may change things. It runs before anything of the request's body
/// is read, so that a stranger uploads nothing.
pub(super) async fn trusted_only<R: Runtime>(
    State((admin, way)): State<(Arc<Admin<R>>, Way)>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if way == Way::Http {
        let auth = admin.surface.service.auth();
        let credentials = presented(auth, request.headers())?;
        let peer = request.extensions().get::<Peer>().and_then(|peer| peer.0);
        admin.may_try(peer)?;
        if !auth.is_super_user(&credentials) {
            let name = credentials.split(|byte| *byte == b':').next();
            admin.was_wrong(peer, &String::from_utf8_lossy(name.unwrap_or_default()));
            return Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "the name or the password is not the super user's; correct it, or use the admin socket on the node's machine",
            ));
        }
    }
    if let Some(pace) = request.extensions().get::<Pace>() {
        pace.trust();
        if request.body().is_end_stream() {
            pace.received();
        }
    }
    Ok(next.run(request).await)
}

impl<R: Runtime> Admin<R> {
    /// Refuses an attempt of an address that has made too many wrong ones.
    pub(super) fn may_try(&self, peer: Option<SocketAddr>) -> Result<(), Problem> {
        let now = self.surface.service.runtime.now();
        let Err(wait) = self.attempts.may_try(Origin::of(peer), now) else {
            return Ok(());
        };
        self.surface.service.stats.http_attempts_deferred.add(1);
        // Whole seconds, and never none.
        let wait_s = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Err(Problem::later(
            Duration::from_secs(wait_s),
            format!(
                "too many wrong names or passwords came from this address; wait {wait_s} s, or use the admin socket on the node's machine"
            ),
        ))
    }

    /// Notes a wrong name or password, and says so in the log.
    pub(super) fn was_wrong(&self, peer: Option<SocketAddr>, name: &str) {
        self.surface.service.stats.http_attempts_wrong.add(1);
        let now = self.surface.service.runtime.now();
        let logged = self.attempts.was_wrong(Origin::of(peer), now);
        if let Some(unlogged) = logged {
            tracing::warn!(
                event = "wrong-password",
                "{}",
                line_of(peer, name, unlogged)
            );
        }
    }
}

/// What the log has of a wrong attempt, and of those before it that have no line.
fn line_of(peer: Option<SocketAddr>, name: &str, unlogged: u64) -> String {
    let peer = peer.map_or_else(
        || "nowhere".to_owned(),
        |peer| peer.ip().to_canonical().to_string(),
    );
    let name = text::shown(name, NAME_BYTES_SHOWN);
    let more = match unlogged {
        0 => String::new(),
        more => format!("; {more} more since the last such line"),
    };
    format!("a wrong name or password over HTTP from {peer}, for `{name}`{more}")
}

/// The name and password that a request brings, to be compared with the super user's.
fn presented(auth: &Auth, headers: &HeaderMap) -> Result<Vec<u8>, Problem> {
    let refused = |sentence: &str| Problem::new(StatusCode::UNAUTHORIZED, sentence);
    if !auth.has_super_user() {
        return Err(refused(
            "this node has no super user, so that nothing of this can be had over HTTP; use the admin socket (the `innkeeper` command on the node's machine), or start the node with --super-digest",
        ));
    }
    // A page in somebody's browser could send what the browser remembers of the super user.
    if headers.contains_key(header::ORIGIN) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "a web page may not change anything here; use the `innkeeper` command, or curl",
        ));
    }
    headers
        .get(header::AUTHORIZATION)
        .and_then(credentials_of)
        .ok_or_else(|| {
            refused(
                "this needs the super user's name and password (HTTP Basic); give them, or use the admin socket on the node's machine",
            )
        })
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

#[cfg(test)]
mod tests {
    use innkeeper_auth::{AuthSettings, Secret};

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
        use axum::response::IntoResponse;
        let settings = AuthSettings {
            super_digest: digest.map(Secret::new),
            ..AuthSettings::default()
        };
        let auth = Auth::new(&settings, false).unwrap();
        match presented(&auth, headers) {
            Ok(given) => (!auth.is_super_user(&given)).then_some(401),
            Err(problem) => Some(problem.into_response().status().as_u16()),
        }
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
    fn a_line_of_the_log_shows_little_of_what_a_guesser_wrote() {
        let peer = Some("[2001:db8::7]:1".parse().unwrap());
        let line = line_of(peer, "a\n\u{1b}[2Jb", 0);
        assert_eq!(
            line,
            "a wrong name or password over HTTP from 2001:db8::7, for `a\\n\\u{1b}[2Jb`"
        );
        let line = line_of(peer, &"x".repeat(10_000), 95);
        assert!(
            line.len() < 220 && line.ends_with("; 95 more since the last such line"),
            "{line}"
        );
    }
}
