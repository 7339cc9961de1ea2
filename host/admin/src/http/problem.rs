//! Why a request failed: a status and one sentence, as JSON.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use innkeeper_dispatch::{NoLeader, PushError};
use innkeeper_proto::ErrorCode;
use innkeeper_raft::{Refusal, Unavailable};
use innkeeper_sandbox::ModuleError;
use innkeeper_server::delivery::pending_proposals::ProposeError;
use innkeeper_tree::path;
use innkeeper_tree::text::piece;
use serde::Serialize;

use super::json::Json;

/// The longest sentence, in bytes.
const SENTENCE_BYTES_MAX: usize = 8192;

/// The answer to a request that failed.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    sentence: String,
    /// The time after which the request may be sent again.
    retry_after: Option<Duration>,
}

#[derive(Serialize)]
struct Body {
    error: String,
}

impl Problem {
    /// The sentence may quote what a stranger wrote: it is cut and escaped here.
    pub(super) fn new(status: StatusCode, sentence: impl std::fmt::Display) -> Self {
        Self {
            status,
            sentence: innkeeper_tree::text::shown(sentence, SENTENCE_BYTES_MAX),
            retry_after: None,
        }
    }

    /// The request may be sent again later.
    pub(super) fn later(retry_after: Duration, sentence: impl std::fmt::Display) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, sentence)
        }
    }

    /// The request itself is wrong.
    pub(super) fn bad(sentence: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, sentence)
    }

    /// The request names something that is not there.
    pub(super) fn missing(sentence: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, sentence)
    }

    /// Something in this node is broken.
    pub(super) fn internal(sentence: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, sentence)
    }

    /// A ZooKeeper error code about a znode, in a sentence.
    pub(super) fn of_znode(path: &str, error: ErrorCode) -> Self {
        let is_special = path::is_special(path);
        let path = piece(path);
        let (status, sentence) = match error {
            ErrorCode::NoNode => (
                StatusCode::NOT_FOUND,
                format!(
                    "there is no znode `{path}`, or none above it; create what is missing first"
                ),
            ),
            ErrorCode::NodeExists => (
                StatusCode::CONFLICT,
                format!("the znode `{path}` exists already; set its data instead"),
            ),
            ErrorCode::NotEmpty => (
                StatusCode::CONFLICT,
                format!("the znode `{path}` has children; delete them first"),
            ),
            ErrorCode::BadVersion => (
                StatusCode::CONFLICT,
                format!("the znode `{path}` has another version; read it again"),
            ),
            ErrorCode::NoChildrenForEphemerals => (
                StatusCode::CONFLICT,
                format!(
                    "`{path}` would stand below an ephemeral znode, which has no children; choose another parent"
                ),
            ),
            ErrorCode::BadArguments => (
                StatusCode::BAD_REQUEST,
                match is_special {
                    true => format!(
                        "`{path}` belongs to ZooKeeper itself and stays; choose another znode"
                    ),
                    false => format!("`{path}` cannot be written like that"),
                },
            ),
            ErrorCode::InvalidAcl => (
                StatusCode::BAD_REQUEST,
                format!(
                    "the ACL for `{path}` is empty or names an unknown scheme or a malformed id; correct it"
                ),
            ),
            ErrorCode::NoAuth => (
                StatusCode::FORBIDDEN,
                format!("nobody may do that to `{path}`; choose another znode"),
            ),
            other => (
                StatusCode::INTERNAL_SERVER_ERROR,
                format!(
                    "the write to `{path}` failed: {other}, which should not happen to an admin's; report it"
                ),
            ),
        };
        Self::new(status, sentence)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Json(Body {
            error: self.sentence,
        });
        let mut response = (self.status, body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let ask = HeaderValue::from_static("Basic realm=\"innkeeper\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
        }
        if let Some(retry_after) = self.retry_after {
            let seconds = HeaderValue::from(retry_after.as_secs());
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

/// The status for a proposal that failed. Only a proposal that is too large is the client's fault.
fn status_of(error: &ProposeError) -> StatusCode {
    match error {
        ProposeError::Refused(Refusal::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        ProposeError::Refused(_) | ProposeError::Stopping | ProposeError::Replaced => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

impl From<ProposeError> for Problem {
    fn from(error: ProposeError) -> Self {
        Self::new(status_of(&error), error.to_string())
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<NoLeader> for Problem {
    fn from(error: NoLeader) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<PushError> for Problem {
    fn from(error: PushError) -> Self {
        Self::new(status_of_push(&error), error.to_string())
    }
}

/// The status for a push that failed.
pub(super) fn status_of_push(error: &PushError) -> StatusCode {
    match error {
        PushError::Module(ModuleError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        PushError::Module(_) => StatusCode::BAD_REQUEST,
        PushError::Folder { .. } => StatusCode::CONFLICT,
        PushError::Propose(error) => status_of(error),
        PushError::Busy { .. } | PushError::Host(_) => StatusCode::SERVICE_UNAVAILABLE,
        PushError::Store(_) | PushError::Elsewhere(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
