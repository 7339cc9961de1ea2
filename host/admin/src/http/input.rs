//! The parts of a request that handlers read. Each refusal is one sentence.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use innkeeper_runtime::Runtime;
use innkeeper_tree::path;
use innkeeper_tree::text::piece;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use super::serve::Pace;

/// How long a body may take to begin.
const BODY_GRACE: Duration = Duration::from_secs(10);

/// The slowest average speed of a body after that, in bytes per second: 32 MiB take 17 minutes.
const BODY_BYTES_PER_S_LEAST: u64 = 32 * 1024;

/// The request's query (`?a=b&c=d`).
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(asked)| Asked(asked))
            .map_err(|error| {
                use std::error::Error;
                let why = error
                    .source()
                    .map_or_else(|| error.to_string(), ToString::to_string);
                let why = piece(why);
                Problem::bad(format!(
                    "the query cannot be read: {why}; GET / lists the routes"
                ))
            })
    }
}

/// The name that stands in the request's path.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(name)| Named(name))
            .map_err(|_| Problem::bad("the name in the path is not UTF-8; correct its encoding"))
    }
}

/// A request's body, not yet read.
pub(super) struct Upload {
    announced: Option<u64>,
    body: Body,
    pace: Pace,
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let announced = request.headers().get(header::CONTENT_LENGTH);
        Ok(Self {
            announced: announced.and_then(|length| length.to_str().ok()?.parse().ok()),
            pace: request.extensions().get().cloned().unwrap_or_default(),
            body: request.into_body(),
        })
    }
}

impl Upload {
    /// Reads a body of at most `most` bytes, which comes at least as fast as
    /// [`BODY_BYTES_PER_S_LEAST`] after [`BODY_GRACE`]. A request that announces more is refused
    /// before anything is read.
    pub(super) async fn read<R: Runtime>(self, runtime: &R, most: usize) -> Result<Bytes, Problem> {
        let too_long = || {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the request's body is too long; send {most} bytes at most"),
            )
        };
        if self.announced.is_some_and(|bytes| bytes > most as u64) {
            return Err(too_long());
        }
        let began = runtime.now();
        let mut body = Limited::new(self.body, most);
        let mut read = BytesMut::new();
        loop {
            let earned = Duration::from_secs(read.len() as u64 / BODY_BYTES_PER_S_LEAST);
            let left = (began + BODY_GRACE + earned).since(runtime.now());
            match runtime.timeout(left, body.frame()).await {
                Ok(None) => break,
                Ok(Some(Ok(frame))) => {
                    if let Some(data) = frame.data_ref() {
                        read.extend_from_slice(data);
                    }
                }
                Ok(Some(Err(error))) if error.is::<LengthLimitError>() => return Err(too_long()),
                Ok(Some(Err(error))) => {
                    return Err(Problem::bad(format!(
                        "the request's body did not arrive whole: {error}; send it again"
                    )));
                }
                Err(_) => {
                    return Err(Problem::new(
                        StatusCode::REQUEST_TIMEOUT,
                        format!(
                            "only {} bytes of the request's body came in {} s, and {} bytes a \
                             second are waited for; send it again, over a faster way",
                            read.len(),
                            runtime.now().since(began).as_secs(),
                            BODY_BYTES_PER_S_LEAST,
                        ),
                    ));
                }
            }
        }
        self.pace.received();
        Ok(read.freeze())
    }
}

/// Refuses what is no path, and says why.
pub(super) fn check_path(text: &str) -> Result<(), Problem> {
    if path::is_valid(text) {
        return Ok(());
    }
    Err(Problem::bad(format!(
        "`{}` is not a path; begin it with `/`, put one `/` between names, end it without one, and use no `.` or `..`",
        piece(text)
    )))
}
