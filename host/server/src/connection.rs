//! One client's connection, from its first bytes to its end.
//!
//! 0. Where it is TLS, the handshake ([`crate::tls`]); all that follows goes through it.
//! 1. The first four bytes may be a four-letter word: it is answered, and that is all.
//! 2. The first frame is the connect request. A new session is created, an old one reattached:
//!    both are commands, and the answer waits until the command was applied here.
//! 3. Only then is the client's lastZxidSeen judged: a node that merely lagged has caught up.
//! 4. The session takes over ([`crate::session`]) until one side ends it. The session itself
//!    lives on until it is closed or expires.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use innkeeper_proto::connect::{ConnectRequest, ConnectResponse, PASSWORD_LEN};
use innkeeper_proto::frame::{FourLetterWord, Inbound};
use innkeeper_runtime::{Runtime, Select2, Stream, select2};
use innkeeper_tree::applied::TicketResult;
use innkeeper_tree::{Operation, SessionId};

use crate::clients::Present;
use crate::connection_throttle::Wanted;
use crate::core::Core;
use crate::outbox::{Close, Outbox};
use crate::session::{Attached, Session};
use crate::settings::MAX_LASTING_BYTES;
use crate::tls::{self, Port, Refused};
use crate::wire::{End, Wants, Wire};
use crate::words;

/// Serves one accepted connection until its end.
pub(crate) async fn serve<R: Runtime, S: Stream>(
    core: Arc<Core<R>>,
    stream: S,
    port: Port,
    present: Present,
) {
    let peer = present.client.peer;
    let stopping = core.stopping.clone();
    let opened = match select2(stopping.wait(), tls::open(&core, stream, port)).await {
        Select2::First(()) => return,
        Select2::Second(Ok(opened)) => opened,
        Select2::Second(Err(refused)) => {
            match refused {
                Refused::Silent(_) | Refused::Left => tracing::debug!(?peer, "{refused}"),
                refused => tracing::warn!(?peer, "a connection was closed: {refused}"),
            }
            return;
        }
    };
    let (stream, certificate) = (opened.stream, opened.certificate);
    let mut wire = Wire::new(stream, core.settings.jute_max_buffer_bytes);
    let greeted = match select2(stopping.wait(), greet(&core, &mut wire)).await {
        Select2::First(()) => Err(End::Told(Close::Stopping)),
        Select2::Second(greeted) => greeted,
    };
    let end = match greeted {
        Ok(mut attached) => {
            attached.identities = core.auth.at_connect(peer, certificate.as_deref());
            let session = attached.id;
            let end = Session::new(core, attached, present).run(&mut wire).await;
            tracing::debug!(%session, ?peer, "a connection ended: {end}");
            end
        }
        Err(end) => {
            tracing::debug!(?peer, "a connection ended before it had a session: {end}");
            end
        }
    };
    match end {
        End::LargeRequests(_) => tracing::warn!(?peer, "a connection was closed: {end}"),
        End::Throttled => tracing::info!(?peer, "a connection was closed: {end}"),
        End::Frame(error) => tracing::info!(?peer, "a connection was closed: {error}"),
        End::Message(error) => tracing::info!(?peer, "a connection was closed: {error}"),
        End::Ahead { .. } => tracing::warn!(?peer, "a connection was closed: {end}"),
        End::Told(Close::Overrun) => tracing::warn!(
            ?peer,
            bytes = MAX_LASTING_BYTES,
            "a connection was closed: its client does not read what its persistent watches bring; \
             it comes back and reads everything anew"
        ),
        End::Unavailable(why) => tracing::warn!(?peer, "a connection was closed: {why}"),
        End::Done => {
            // The client may have gone; then the last words are for nobody.
            let _ = wire.finish().await;
        }
        End::Left | End::Socket(_) | End::Told(_) | End::SessionOver | End::Silent(_) => {}
    }
}

/// Answers a word, or connects the client to its session.
async fn greet<R: Runtime, S: Stream>(
    core: &Arc<Core<R>>,
    wire: &mut Wire<S>,
) -> Result<Attached, End> {
    let limit_ms = core.settings.handshake_timeout_ms;
    let limit = Duration::from_millis(limit_ms);
    let first = core
        .runtime
        .timeout(limit, first_frame(wire))
        .await
        .map_err(|_| End::Silent(limit_ms))??;
    let frame = match first {
        Inbound::Word(word) => {
            answer_word(core, wire, word);
            return Err(End::Done);
        }
        Inbound::Frame(frame) => frame,
    };
    connect(core, wire, ConnectRequest::decode(frame)?).await
}

async fn first_frame<S: Stream>(wire: &mut Wire<S>) -> Result<Inbound, End> {
    loop {
        if let Some(first) = wire.next_frame()? {
            return Ok(first);
        }
        let wants = Wants {
            read: true,
            probe: false,
            room: false,
        };
        wire.turn(wants, |_| Poll::Pending).await?;
    }
}

fn answer_word<R: Runtime, S: Stream>(core: &Core<R>, wire: &mut Wire<S>, word: FourLetterWord) {
    let answer = words::answer(core, word);
    wire.output.extend_from_slice(answer.as_bytes());
}

/// Creates or reattaches the session, and answers the connect request.
async fn connect<R: Runtime, S: Stream>(
    core: &Arc<Core<R>>,
    wire: &mut Wire<S>,
    request: ConnectRequest,
) -> Result<Attached, End> {
    let wanted = match (request.session_id, core.settings.local_sessions) {
        (0, false) => Wanted::Session,
        (0, true) => Wanted::LocalSession,
        _ => Wanted::OldSession,
    };
    let chance = || core.runtime.random_u64() as f64 / u64::MAX as f64;
    let now = core.runtime.now();
    if !core.connection_throttle.admits(wanted, now, chance) {
        core.clients.stats.rejected.fetch_add(1, Ordering::Relaxed);
        return Err(End::Throttled);
    }
    let timeout_ms = core.settings.negotiate_timeout_ms(request.timeout_ms);
    let read_only = request.read_only.map(|_| false);
    let password = if request.session_id == 0 {
        let mut password = [0; PASSWORD_LEN];
        core.runtime.fill_random(&mut password);
        password
    } else {
        match request.password.as_ref().try_into() {
            Ok(password) => password,
            Err(_) => return Err(refuse(wire, read_only)),
        }
    };
    let settled = core
        .propose(|ticket| {
            if request.session_id == 0 {
                let number = core.runtime.random_u64() >> 8;
                Operation::CreateSession {
                    ticket,
                    session: SessionId(u64::from(core.settings.node_id) << 56 | number),
                    password,
                    timeout_ms,
                    local: false,
                }
            } else {
                Operation::Reattach {
                    ticket,
                    session: SessionId(request.session_id as u64),
                    password,
                    timeout_ms,
                }
            }
        })
        .await
        .map_err(|error| End::Unavailable(error.to_string()))?;
    let TicketResult::Attached {
        session,
        attachment,
        timeout_ms,
    } = settled.result
    else {
        return Err(refuse(wire, read_only));
    };
    let here = core.reader.last_zxid();
    if request.last_zxid_seen > here.0 as i64 {
        return Err(End::Ahead {
            seen: request.last_zxid_seen,
            here: here.0,
        });
    }
    let outbox = Arc::new(Outbox::default());
    let seat = core
        .fanout
        .attach(session, attachment, outbox.clone(), &core.reader)
        .ok_or(End::SessionOver)?;
    let heartbeat = core.expiry.heartbeat(session).ok_or(End::SessionOver)?;
    heartbeat.touch(core.expiry.now_tick());
    ConnectResponse {
        protocol_version: 0,
        timeout_ms: timeout_ms as i32,
        session_id: session.0 as i64,
        password,
        read_only,
    }
    .encode(&mut wire.output);
    Ok(Attached {
        id: session,
        attachment,
        seat,
        outbox,
        heartbeat,
        identities: Vec::new(),
        last_zxid_seen: request.last_zxid_seen,
    })
}

/// Tells the client that its session is no more.
fn refuse<S: Stream>(wire: &mut Wire<S>, read_only: Option<bool>) -> End {
    ConnectResponse::refused(read_only).encode(&mut wire.output);
    End::Done
}
