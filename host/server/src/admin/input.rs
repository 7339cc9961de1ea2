//! What handlers take out of a request, with every refusal as a sentence.

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use innkeeper_tree::path;
use serde::de::DeserializeOwned;

use super::problem::Problem;

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

/// Reads a body of at most `most` bytes. A request that announces more is refused before
/// anything is read.
pub(super) async fn read_body(
    headers: &HeaderMap,
    body: Body,
    most: usize,
) -> Result<Bytes, Problem> {
    let too_long = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the request's body is too long; send {most} bytes at most"),
        )
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > most as u64) {
        return Err(too_long());
    }
    match Limited::new(body, most).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_long()),
        Err(error) => Err(Problem::bad(format!(
            "the request's body did not arrive whole: {error}; send it again"
        ))),
    }
}

/// Refuses what is no path, with the reason that a person can act on.
pub(super) fn check_path(text: &str) -> Result<(), Problem> {
    if path::is_valid(text) {
        return Ok(());
    }
    Err(Problem::bad(format!(
        "`{}` is not a path; begin it with `/`, put one `/` between names, end it without one, and use no `.` or `..`",
        text.chars().take(200).collect::<String>()
    )))
}
