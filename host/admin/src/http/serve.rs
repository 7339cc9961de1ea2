//! Connections of the admin HTTP and of the admin socket: one request each.
//!
//! 1. [`accept`] takes every connection; who has to go where there are too many, and whose request
//!    is answered next, is up to [`Places`].
//! 2. hyper reads the request's head, the router answers when there is a place, hyper writes the
//!    answer. A clock of four stages stands beside it ([`Pace`]): who is slower is cut off.
//! 3. The answer is followed by the end of our half of the stream, and what the client still
//!    sends is read and dropped for a moment: closing on unread input would reset the
//!    connection and take the answer (say, "the module is too large") away with it.
//!
//! **Invariant:** an admin connection that is idle, or whose body comes very slowly, holds up
//! neither metrics nor health checks. Each connection has one request, so no idle connection keeps
//! a place; this costs `curl` nothing. (tests:
//! `idle_connections_hold_up_neither_metrics_nor_a_probe`,
//! `bodies_that_trickle_in_hold_up_a_stranger_for_a_second_at_most`,
//! `a_body_that_trickles_in_ends_and_gives_its_place_back`)

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use innkeeper_runtime::{
    Listener, Runtime, Select2, Select4, Signal, Stream, ThreadRole, select2, select4,
};
use innkeeper_server::stats::Counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

use super::methods;
use super::places::{Bounds, Origin, Places, Visit};

/// The longest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The most header fields of a request.
const MAX_HEADERS: usize = 64;

/// How long a client may take to send a request's head.
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// How long a request may take, from its head to the last byte of its answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);

/// How long a trusted client's body may take until it is there, its turn among the uploads
/// included. That it comes fast enough is looked at while it is read.
const UPLOAD_LIMIT: Duration = Duration::from_secs(3600);

/// How long a trusted client's request may take after that: a module is compiled, a binding is
/// waited for.
const TRUSTED_LIMIT: Duration = Duration::from_secs(180);

/// How long input is dropped after the answer, so that it arrives.
const LINGER: Duration = Duration::from_secs(2);

/// How long accepting pauses after an error (usually: out of file descriptors).
const PAUSE: Duration = Duration::from_millis(50);

/// How long requests may go on when the node stops.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Where a request comes from; `None` over the admin socket. It is among the request's
/// extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) Option<SocketAddr>);

/// How far a connection's request has come; it is among the request's extensions.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    begun: Signal,
    trusted: Signal,
    received: Signal,
}

impl Pace {
    /// The client has proved that it may change things: it gets more time.
    pub(super) fn trust(&self) {
        self.trusted.raise();
    }

    /// Of a request whose client is trusted: its whole body is there, or it has none.
    pub(super) fn received(&self) {
        self.received.raise();
    }

    /// Returns when the request has taken too long: longer than `limit`, if one was configured.
    async fn overdue<R: Runtime>(&self, runtime: &R, limit: Option<Duration>) {
        if runtime
            .timeout(limit.unwrap_or(HEAD_LIMIT), self.begun.wait())
            .await
            .is_err()
            || runtime
                .timeout(limit.unwrap_or(REQUEST_LIMIT), self.trusted.wait())
                .await
                .is_err()
            || runtime
                .timeout(UPLOAD_LIMIT, self.received.wait())
                .await
                .is_err()
        {
            return;
        }
        runtime.sleep(TRUSTED_LIMIT).await;
    }
}

/// Connections that can be counted at their end.
const COUNTED_MAX: u32 = 1 << 24;

/// Accepts connections, within bounds, until the node stops; returns when they have ended.
/// `evicted` counts those that had to go before they were answered.
pub(super) async fn accept<R: Runtime>(
    runtime: R,
    listener: R::Listener,
    router: Router,
    bounds: Bounds,
    evicted: Arc<Counter>,
    limit: Option<Duration>,
    stopping: Signal,
) {
    let places = Places::new(runtime.clone(), bounds, evicted);
    // Each connection holds one until it has ended.
    let ended = Arc::new(Semaphore::new(COUNTED_MAX as usize));
    loop {
        let stream = async {
            let counted = ended.clone().acquire_owned().await;
            (counted, listener.accept().await)
        };
        match select2(stopping.wait(), stream).await {
            Select2::First(()) => break,
            Select2::Second((Ok(counted), Ok(stream))) => {
                let pace = Pace::default();
                let origin = Origin::of(stream.peer_addr());
                let connection = connection(
                    runtime.clone(),
                    stream,
                    router.clone(),
                    places.enter(origin, pace.trusted.clone()),
                    pace,
                    limit,
                    stopping.clone(),
                    counted,
                );
                runtime.spawn(ThreadRole::Admin, connection).detach();
            }
            Select2::Second((_, Err(error))) => {
                tracing::warn!("an admin connection could not be accepted: {error}");
                runtime.sleep(PAUSE).await;
            }
            // Nobody closes the semaphore.
            Select2::Second((Err(_), _)) => break,
        }
    }
    drop(listener);
    let _ = ended.acquire_many(COUNTED_MAX).await;
}

#[allow(clippy::too_many_arguments)] // Each is a part of the one connection.
async fn connection<R: Runtime>(
    runtime: R,
    stream: R::Stream,
    router: Router,
    visit: Visit<R>,
    pace: Pace,
    limit: Option<Duration>,
    stopping: Signal,
    _counted: OwnedSemaphorePermit,
) {
    let peer = Peer(stream.peer_addr());
    let visit = Arc::new(visit);
    let service = {
        let (pace, visit) = (pace.clone(), Arc::clone(&visit));
        service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            pace.begun.raise();
            request.extensions_mut().insert(pace.clone());
            request.extensions_mut().insert(peer);
            let method = request.method().clone();
            let (router, visit) = (router.clone(), Arc::clone(&visit));
            async move {
                visit.begin().await;
                let Ok(response) = router.oneshot(request).await;
                Ok::<_, Infallible>(methods::complete(&method, response))
            }
        })
    };
    let answered = http1::Builder::new()
        .keep_alive(false)
        .half_close(true)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD_BYTES)
        // The clock beside this one is the runtime's.
        .header_read_timeout(None)
        // The date would come from a clock that is not the runtime's.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .without_shutdown();
    let stopped = async {
        stopping.wait().await;
        runtime.sleep(STOP_GRACE).await;
    };
    let overdue = pace.overdue(&runtime, limit);
    match select4(answered, overdue, visit.ended.wait(), stopped).await {
        Select4::First(Ok(parts)) => {
            visit.answered();
            // The answer is sent: its place is free for another connection that needs one.
            let _ = select2(visit.ended.wait(), linger(&runtime, parts.io.into_inner())).await;
        }
        Select4::First(Err(error)) => tracing::debug!("an admin request is not HTTP: {error}"),
        Select4::Second(()) => tracing::debug!("an admin request took too long"),
        Select4::Third(()) => tracing::debug!("an idle or slow admin connection made room"),
        Select4::Fourth(()) => {}
    }
}

async fn linger<R: Runtime>(runtime: &R, mut stream: R::Stream) {
    let drain = async move {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut dropped = vec![0; 16 * 1024];
        while let Ok(1..) = stream.read(&mut dropped).await {}
    };
    // Either way the connection ends now.
    let _ = runtime.timeout(LINGER, drain).await;
}
