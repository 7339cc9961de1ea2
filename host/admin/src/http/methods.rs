//! `OPTIONS`, and `Allow` wherever a method means nothing.
//!
//! 1. The router answers as if the method were any other: where a path has routes, it puts their
//!    methods into `Allow`, whatever it answers.
//! 2. [`complete`] makes the answer to `OPTIONS` out of that: 200, as ZooKeeper's Jetty answers
//!    on every path, known or not. HAProxy's `option httpchk` sends `OPTIONS / HTTP/1.0` unless
//!    it is told otherwise, and takes nothing else for health.
//! 3. A 405 without `Allow` gets one, since HTTP wants it there.

use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;

/// What may be asked of a path that has no routes of its own.
const ANYWHERE: &str = "GET,HEAD";

/// Completes the answer to a request of that method.
pub(super) fn complete(method: &Method, mut response: Response) -> Response {
    let asked = *method == Method::OPTIONS;
    if !asked && response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let routed = response.headers().get(header::ALLOW);
    let routed = routed
        .and_then(|methods| methods.to_str().ok())
        .filter(|methods| !methods.is_empty())
        .unwrap_or(ANYWHERE);
    let allowed = format!("{},OPTIONS", routed.trim_end_matches(",OPTIONS")).replace(',', ", ");
    // Methods are tokens, which any header may hold.
    let allowed = HeaderValue::try_from(allowed).unwrap_or(HeaderValue::from_static(ANYWHERE));
    if asked {
        response = Response::new(Body::empty());
        let none = HeaderValue::from_static("0");
        response.headers_mut().insert(header::CONTENT_LENGTH, none);
    }
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}
