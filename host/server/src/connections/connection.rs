//! One client's connection, from its first bytes to its end.
//!
//! 0. Where it is TLS, the handshake ([`innkeeper_auth::open`]); all that follows goes through it.
//! 1. The first four bytes may be a four-letter word: it is answered, and that is all.
//! 2. The first frame is the connect request, and [`admission`] decides which session the client
//!    gets, if any. Where a command is needed, the answer waits until it was applied here.
//! 3. The connection takes the session's seat in the fan-out; an older connection of the session is
//!    closed.
//! 4. [`crate::sessions`] serves the session until one side ends the connection. The session itself
//!    lives on until it is closed or expires.

use std::io::ErrorKind;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use innkeeper_auth::{self as auth, Port, Refused};
use innkeeper_proto::connect::{ConnectRequest, ConnectResponse};
use innkeeper_proto::frame::{FourLetterWord, FrameError, Inbound};
use innkeeper_runtime::{Runtime, Select2, Stream, select2, yield_now};

use crate::clients::ConnectionGuard;
use crate::connections::admission::{self, NotAdmitted};
use crate::delivery::outbox::{Close, Outbox};
use crate::four_letter_words::{FourLetterWords, Pieces};
use crate::local_sessions::ATTACHMENT;
use crate::service::Service;
use crate::sessions::{Attached, Scope, SessionLoop};
use crate::settings::MAX_PERSISTENT_EVENTS_BYTES;
use crate::socket::{End, Socket, Wants};

/// What a turn is for, while the connection has no session.
const FIRST_INPUT: Wants = Wants {
    read: true,
    probe: false,
    room: false,
};

/// Write the output, nothing else.
const NOTHING: Wants = Wants {
    read: false,
    probe: false,
    room: false,
};

/// Write until the output has room again.
const ROOM: Wants = Wants {
    room: true,
    ..NOTHING
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
                // The client left during the handshake, as port scans and health checks do.
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
            let end = SessionLoop::new(service, attached, present)
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
        End::Throttled | End::NoQuorum | End::NoAuthorizer => {
            tracing::info!(?peer, "a connection was closed: {end}");
        }
        End::Frame(error) => tracing::info!(?peer, "a connection was closed: {error}"),
        End::Message(error) => tracing::info!(?peer, "a connection was closed: {error}"),
        End::Ahead { .. } => tracing::warn!(?peer, "a connection was closed: {end}"),
        End::Told(Close::Overrun) => tracing::warn!(
            session = session.map(tracing::field::display),
            ?peer,
            bytes = MAX_PERSISTENT_EVENTS_BYTES,
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
            // The client may have gone; then nobody needs the rest of the output.
            let _ = socket.finish().await;
        }
        End::Left
        | End::Socket(_)
        | End::Told(_)
        | End::TooLate(_)
        | End::SessionOver
        | End::Silent(_) => {}
    }
}

/// Answers a four-letter word, or connects the client to its session.
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
            let answer = limited.map_err(|_| End::Silent(limit_ms))??;
            // The client may read the answer slowly, since only a few pieces of it are held. It may
            // also have gone; then nobody needs the rest.
            let _ = send_pieces(socket, answer, present).await;
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

/// Asks for the answer to a four-letter word. `stmk` has an argument, which may come later.
async fn answer_word<S: Stream>(
    socket: &mut Socket<S>,
    words: &dyn FourLetterWords,
    word: FourLetterWord,
    present: &ConnectionGuard,
) -> Result<Pieces, End> {
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
    Ok(words.answer(word, argument).await)
}

/// Writes an answer out, a piece at a time: the next is made when the output has room for it.
///
/// Invariant: the output holds at most `MAX_OUTPUT_BYTES` and one piece.
/// (test: `an_answer_that_nobody_reads_is_not_made`)
async fn send_pieces<S: Stream>(
    socket: &mut Socket<S>,
    pieces: Pieces,
    present: &ConnectionGuard,
) -> Result<(), End> {
    let mut sent = 0;
    for piece in pieces {
        sent += piece.len();
        socket.output.extend_from_slice(piece.as_bytes());
        // The other connections of this thread get their turn between two pieces.
        socket.turn(NOTHING, |_| Poll::Ready(())).await?;
        yield_now().await;
        if socket.is_full() {
            socket.turn(ROOM, |_| Poll::Pending).await?;
        }
    }
    present.returned_greeting(sent);
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
    let served_within = (!admitted.read_only).then_some(admitted.timeout_ms);
    let seat = service
        .fanout
        .attach(
            session,
            admitted.attachment,
            outbox.clone(),
            served_within,
            current,
        )
        .ok_or(End::SessionOver)?;
    admitted.still_holds(service)?;
    let heartbeat = service.expiry.heartbeat(session).ok_or(End::SessionOver)?;
    service.expiry.heard(&heartbeat)?;
    ConnectResponse {
        protocol_version: 0,
        timeout_ms: admitted.timeout_ms as i32,
        session_id: session.0 as i64,
        password: admitted.password,
        // The read-only byte is answered only to clients that sent it. (test:
        // `the_read_only_byte_is_answered_only_to_those_who_sent_it`)
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

/// Tells the client that its session has expired.
fn refuse<S: Stream>(socket: &mut Socket<S>, read_only: Option<bool>) -> End {
    ConnectResponse::refused(read_only).encode(&mut socket.output);
    End::Done
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Waker};

    use innkeeper_runtime::Instant;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::*;
    use crate::clients::Clients;
    use crate::settings::MAX_OUTPUT_BYTES;

    /// A client that reads so many bytes and then no more, until it may.
    #[derive(Default)]
    struct Reader {
        may_read: Arc<AtomicUsize>,
        has_read: Arc<AtomicUsize>,
    }

    impl Stream for Reader {
        type Reader = tokio::io::Empty;
        type Writer = tokio::io::Sink;

        fn peer_addr(&self) -> Option<std::net::SocketAddr> {
            None
        }

        fn local_addr(&self) -> Option<std::net::SocketAddr> {
            None
        }

        fn split(self) -> (Self::Reader, Self::Writer) {
            (tokio::io::empty(), tokio::io::sink())
        }
    }

    impl AsyncRead for Reader {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Reader {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            let has_read = self.has_read.load(Ordering::Relaxed);
            match (self.may_read.load(Ordering::Relaxed) - has_read).min(bytes.len()) {
                0 => Poll::Pending,
                taken => {
                    self.has_read.fetch_add(taken, Ordering::Relaxed);
                    Poll::Ready(Ok(taken))
                }
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn an_answer_that_nobody_reads_is_not_made() {
        const PIECE_BYTES: usize = 10_000;
        const PIECES: usize = 10_000;
        let clients = Arc::new(Clients::new(0, 0, Instant::default(), Arc::default()));
        let present = clients.enter(None, 0).unwrap();
        let reader = Reader::default();
        let (may_read, has_read) = (reader.may_read.clone(), reader.has_read.clone());
        let mut socket = Socket::new(reader, 1024);
        let made = Arc::new(AtomicUsize::new(0));
        let counted = made.clone();
        let pieces = (0..PIECES).map(move |_| {
            counted.fetch_add(PIECE_BYTES, Ordering::Relaxed);
            "x".repeat(PIECE_BYTES)
        });
        let mut sending = pin!(send_pieces(&mut socket, Box::new(pieces), &present));
        let mut cx = Context::from_waker(Waker::noop());
        for readable in [0, PIECE_BYTES, 50 * PIECE_BYTES, PIECES / 2 * PIECE_BYTES] {
            may_read.store(readable, Ordering::Relaxed);
            // Far more often than what may be sent needs.
            for _ in 0..2 * PIECES {
                assert!(sending.as_mut().poll(&mut cx).is_pending());
            }
            let made = made.load(Ordering::Relaxed);
            assert_eq!(has_read.load(Ordering::Relaxed), readable);
            assert!(made <= readable + MAX_OUTPUT_BYTES + PIECE_BYTES, "{made}");
        }
        assert_eq!(present.client.shown().sent, 0);
        may_read.store(usize::MAX, Ordering::Relaxed);
        let polls = (0..2 * PIECES + 1).find(|_| sending.as_mut().poll(&mut cx).is_ready());
        // Others of the thread had a turn between any two pieces.
        assert!(polls.unwrap() >= PIECES / 2 - MAX_OUTPUT_BYTES / PIECE_BYTES - 1);
        assert_eq!(has_read.load(Ordering::Relaxed), PIECES * PIECE_BYTES);
        assert_eq!(present.client.shown().sent, 1);
    }
}
