//! One client's connection, from its first bytes to its end.
//!
//! 0. Where it is TLS, the handshake ([`innkeeper_auth::open`]); all that follows goes through it.
//! 1. The first four bytes may be a four-letter word: it is answered, and that is all.
//! 2. The first frame is the connect request, and [`admission`] decides which session the client
//!    gets, if any; a command's answer waits until it was applied here.
//! 3. The connection takes the session's seat in the fan-out; an older one is closed.
//! 4. The session takes over ([`crate::sessions`]) until one side ends it. The session itself
//!    lives on until it is closed or expires.

use std::io::ErrorKind;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use innkeeper_auth::{self as auth, Port, Refused};
use innkeeper_proto::connect::{ConnectRequest, ConnectResponse};
use innkeeper_proto::frame::{FourLetterWord, FrameError, Inbound};
use innkeeper_runtime::{Runtime, Select2, Stream, select2};

use crate::clients::ConnectionGuard;
use crate::connections::admission::{self, NotAdmitted};
use crate::delivery::outbox::{Close, Outbox};
use crate::local_sessions::ATTACHMENT;
use crate::service::Service;
use crate::sessions::{Attached, Scope, Session};
use crate::settings::MAX_LASTING_BYTES;
use crate::socket::{End, Socket, Wants};
use crate::words::FourLetterWords;

/// What is wanted of a connection that has no session yet.
const FIRST_INPUT: Wants = Wants {
    read: true,
    probe: false,
    room: false,
};

/// Serves one accepted connection until its end.
pub(crate) async fn serve<R: Runtime, S: Stream>(
    service: Arc<Service<R>>,
    stream: S,
    port: Port,
    words: Arc<dyn FourLetterWords>,
    present: ConnectionGuard,
) {
    let peer = present.client.peer;
    let stopping = service.stopping.clone();
    let opening = auth::open(service.tls.as_deref(), &service.runtime, stream, port);
    let opened = match select2(stopping.wait(), opening).await {
        Select2::First(()) => return,
        Select2::Second(Ok(opened)) => opened,
        Select2::Second(Err(refused)) => {
            service.stats.refused(&refused);
            match refused {
                Refused::Silent(_) | Refused::Left => tracing::debug!(?peer, "{refused}"),
                // It left before the end: a port scan, a health check.
                Refused::Handshake(why) if why.kind() != ErrorKind::InvalidData => {
                    tracing::debug!(?peer, "the TLS handshake failed: {why}");
                }
                refused => tracing::warn!(?peer, "a connection was closed: {refused}"),
            }
            return;
        }
    };
    if opened.is_tls() {
        present.is_secure();
    }
    let (stream, certificate) = (opened.stream, opened.certificate);
    let mut socket = Socket::new(stream, service.settings.jute_max_buffer_bytes);
    let greeted = match select2(
        stopping.wait(),
        greet(&service, &mut socket, &*words, &present),
    )
    .await
    {
        Select2::First(()) => Err(End::Told(Close::Stopping)),
        Select2::Second(greeted) => greeted,
    };
    let stats = service.stats.clone();
    let session = greeted.as_ref().ok().map(|attached| attached.id);
    let end = match greeted {
        Ok(mut attached) => {
            attached.identities = service.auth.at_connect(peer, certificate.as_deref());
            let id = attached.id;
            let end = Session::new(service, attached, present)
                .run(&mut socket)
                .await;
            tracing::debug!(session = %id, ?peer, "a connection ended: {end}");
            end
        }
        Err(end) => {
            tracing::debug!(?peer, "a connection ended before it had a session: {end}");
            end
        }
    };
    match &end {
        End::Left | End::Socket(_) => stats.connections_dropped.add(1),
        End::Silent(_) if session.is_none() => stats.sessionless_expired.add(1),
        End::Stale => stats.stale_requests.add(1),
        End::LargeRequests(_) | End::Frame(FrameError::TooLong { .. }) => {
            stats.large_requests_rejected.add(1);
        }
        _ => {}
    }
    match end {
        End::LargeRequests(_) => tracing::warn!(?peer, "a connection was closed: {end}"),
        End::Stale => tracing::warn!(?peer, "a connection was closed: {end}"),
        End::Throttled | End::NoQuorum => {
            tracing::info!(?peer, "a connection was closed: {end}");
        }
        End::Frame(error) => tracing::info!(?peer, "a connection was closed: {error}"),
        End::Message(error) => tracing::info!(?peer, "a connection was closed: {error}"),
        End::Ahead { .. } => tracing::warn!(?peer, "a connection was closed: {end}"),
        End::Told(Close::Overrun) => tracing::warn!(
            session = session.map(tracing::field::display),
            ?peer,
            bytes = MAX_LASTING_BYTES,
            "a connection was closed: its client has left 8 MiB of events of its persistent watches \
             unread; it comes back and reads everything anew"
        ),
        End::Told(Close::Stalled) => tracing::warn!(
            session = session.map(tracing::field::display),
            ?peer,
            "a connection was closed: its client has hardly read its large answer for some \
             seconds, while others waited for theirs"
        ),
        End::Unavailable(why) => tracing::warn!(?peer, "a connection was closed: {why}"),
        End::Done => {
            // The client may have gone; then the last words are for nobody.
            let _ = socket.finish().await;
        }
        End::Left | End::Socket(_) | End::Told(_) | End::SessionOver | End::Silent(_) => {}
    }
}

/// Answers a word, or connects the client to its session.
async fn greet<R: Runtime, S: Stream>(
    service: &Arc<Service<R>>,
    socket: &mut Socket<S>,
    words: &dyn FourLetterWords,
    present: &ConnectionGuard,
) -> Result<Attached, End> {
    let limit_ms = service.settings.handshake_timeout_ms;
    let limit = Duration::from_millis(limit_ms);
    let first = service
        .runtime
        .timeout(limit, first_frame(socket))
        .await
        .map_err(|_| End::Silent(limit_ms))??;
    let frame = match first {
        Inbound::Word(word) => {
            let answered = answer_word(socket, words, word, present);
            let limited = service.runtime.timeout(limit, answered).await;
            limited.map_err(|_| End::Silent(limit_ms))??;
            return Err(End::Done);
        }
        Inbound::Frame(frame) => frame,
    };
    present.greeted(frame.len() + 4);
    service.stats.connection_requests.add(1);
    let (asked, before) = (service.runtime.now(), socket.output.len());
    let attached = connect(service, socket, ConnectRequest::decode(frame)?).await?;
    present.returned_greeting(socket.output.len() - before);
    let (timeout_ms, zxid) = (attached.timeout_ms, service.reader.last_zxid().0 as i64);
    present.serves(attached.id, timeout_ms, zxid, asked, service.runtime.now());
    Ok(attached)
}

async fn first_frame<S: Stream>(socket: &mut Socket<S>) -> Result<Inbound, End> {
    loop {
        if let Some(first) = socket.next_frame()? {
            return Ok(first);
        }
        socket.turn(FIRST_INPUT, |_| Poll::Pending).await?;
    }
}

/// Answers a word. One of them is followed by an argument, which may come later.
async fn answer_word<S: Stream>(
    socket: &mut Socket<S>,
    words: &dyn FourLetterWords,
    word: FourLetterWord,
    present: &ConnectionGuard,
) -> Result<(), End> {
    present.greeted(word.as_str().len());
    let mut argument = None;
    if word == FourLetterWord::Stmk && words.is_allowed(word) {
        let mask = loop {
            if let Some(bytes) = socket.take_raw() {
                break i64::from_be_bytes(bytes);
            }
            socket.turn(FIRST_INPUT, |_| Poll::Pending).await?;
        };
        argument = Some(mask);
    }
    let before = socket.output.len();
    for piece in words.answer(word, argument).await {
        socket.output.extend_from_slice(piece.as_bytes());
    }
    present.returned_greeting(socket.output.len() - before);
    Ok(())
}

/// Connects the client to its session, and answers the connect request.
async fn connect<R: Runtime, S: Stream>(
    service: &Arc<Service<R>>,
    socket: &mut Socket<S>,
    request: ConnectRequest,
) -> Result<Attached, End> {
    let admitted = match admission::admit(service, &request).await {
        Ok(admitted) => admitted,
        Err(NotAdmitted::Refused) => return Err(refuse(socket, request.read_only.map(|_| false))),
        Err(NotAdmitted::Closed(end)) => return Err(end),
    };
    let session = admitted.session;
    if request.session_id != 0 {
        service.stats.connections_revalidated.add(1);
    }
    let outbox = Arc::new(Outbox::default());
    let known = service.reader.view().session(session);
    let current = || match admitted.local {
        true => service
            .local_sessions
            .contains(session)
            .then_some(ATTACHMENT),
        false => service
            .reader
            .view()
            .session(session)
            .map(|known| known.attachment),
    };
    let seat = service
        .fanout
        .attach(session, admitted.attachment, outbox.clone(), current)
        .ok_or(End::SessionOver)?;
    admitted.still_holds(service)?;
    let heartbeat = service.expiry.heartbeat(session).ok_or(End::SessionOver)?;
    heartbeat.touch(service.expiry.now_tick());
    ConnectResponse {
        protocol_version: 0,
        timeout_ms: admitted.timeout_ms as i32,
        session_id: session.0 as i64,
        password: admitted.password,
        // Only those who sent the byte are answered it.
        // (test: `the_read_only_byte_is_answered_only_to_those_who_sent_it`)
        read_only: request.read_only.map(|_| admitted.read_only),
    }
    .encode(&mut socket.output);
    Ok(Attached {
        id: session,
        attachment: admitted.attachment,
        seat,
        outbox,
        heartbeat,
        identities: Vec::new(),
        zxid: service.reader.last_zxid(),
        scope: match (admitted.read_only, admitted.local) {
            (true, _) => Scope::ReadOnly,
            (false, true) => Scope::Local,
            (false, false) if known.is_some_and(|known| known.local) => Scope::LocalRecorded,
            (false, false) => Scope::Global,
        },
        timeout_ms: admitted.timeout_ms,
    })
}

/// Tells the client that its session is no more.
fn refuse<S: Stream>(socket: &mut Socket<S>, read_only: Option<bool>) -> End {
    ConnectResponse::refused(read_only).encode(&mut socket.output);
    End::Done
}
