//! Serving one connection of a peer, by its channel.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::pin::Pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{self, FuturesUnordered, Stream, StreamExt};
use innkeeper_runtime::{Runtime, Select2, Select3, select2, select3};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::Fatal;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendResult};
use tokio::sync::mpsc;

use super::channel::Channel;
use super::fetch;
use super::forward;
use super::frame::{Frame, TooLong};
use super::group;
use super::hello::PeerInfo;
use super::incoming;
use super::link::Link;
use super::message::{self, BodyError, kind};
use super::peers::Peers;
use super::reach::Reach;
use super::served::{Never, Served, check};
use super::transfer;
use crate::engine::RaftOf;
use crate::standing::{Standing, hears};
use crate::types::{LogId, NodeId, TypeConfig};

/// Serves a connection until it breaks, and returns why.
pub(super) async fn channel<R: Runtime>(
    peers: &Peers<R>,
    served: &Served<R>,
    link: Link,
    peer: &PeerInfo,
) -> io::Error {
    let served = match peer.channel {
        Channel::Control => control(peers, served, link, peer.identity.node_id).await,
        Channel::Log => log(peers, served, link).await,
        Channel::Forward => forwarded(served, link, peer.identity.node_id).await,
        Channel::Bulk => bulk(peers, served, link).await,
    };
    match served {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// Answers calls, each when it is finished.
async fn control<R: Runtime>(
    peers: &Peers<R>,
    served: &Served<R>,
    mut link: Link,
    from: NodeId,
) -> io::Result<Never> {
    let most = peers.inner().settings.calls_max;
    let mut calls = FuturesUnordered::new();
    loop {
        let reads = calls.len() < most && link.has_room();
        let finished = async {
            match calls.next().await {
                Some(finished) => finished,
                None => pending().await,
            }
        };
        match select2(finished, read(&mut link, reads)).await {
            Select2::First((number, answer)) => put_answer(&mut link, number, answer)?,
            Select2::Second(frame) => {
                let Some(frame) = frame? else {
                    continue;
                };
                check(&frame)?;
                let (peers, served) = (peers.clone(), served.clone());
                calls.push(async move { (frame.number, call(&peers, &served, from, frame).await) });
            }
        }
    }
}

/// The next frame. If nothing may be read, what waits is sent; then it ends with `None` if this was
/// the reason.
async fn read(link: &mut Link, reads: bool) -> io::Result<Option<Frame>> {
    if reads {
        return link.next().await.map(Some);
    }
    let was_full = !link.has_room();
    link.flush().await?;
    if was_full {
        return Ok(None);
    }
    pending().await
}

fn put_answer(link: &mut Link, number: u64, answer: Result<Bytes, String>) -> io::Result<()> {
    let (kind, body) = match answer {
        Ok(body) => (kind::ANSWER, body),
        Err(sentence) => (kind::FAILED, sentence.into_bytes().into()),
    };
    link.put::<TooLong>(kind, number, |out| {
        out.put_slice(&body);
        Ok(())
    })?;
    Ok(())
}

/// Does what a call asks for. The error is a sentence.
async fn call<R: Runtime>(
    peers: &Peers<R>,
    served: &Served<R>,
    from: NodeId,
    frame: Frame,
) -> Result<Bytes, String> {
    let (raft, body) = (&served.raft, &frame.body);
    let asks_for_vote = matches!(
        frame.kind,
        kind::VOTE | kind::PRE_VOTE | kind::TRANSFER | kind::SUCCEED
    );
    if asks_for_vote && !may_vote(served) {
        return Err(
            "this node's data folder was empty: it votes when its group has taken it in".to_owned(),
        );
    }
    match frame.kind {
        kind::VOTE => {
            let request = message::vote_request::<R>(body).map_err(told)?;
            let response = raft.vote(request).await.map_err(told)?;
            Ok(message::bytes(|out| {
                message::put_vote_response(out, &response)
            }))
        }
        kind::PRE_VOTE => {
            let request = message::vote_request::<R>(body).map_err(told)?;
            let mut response = raft.pre_vote(request).await.map_err(told)?;
            if cfg!(innkeeper_break = "pre-vote") {
                // Whoever asks for a vote would get it, and a test must fail.
                response.vote_granted = true;
            }
            Ok(message::bytes(|out| {
                message::put_vote_response(out, &response)
            }))
        }
        kind::HEARTBEAT => {
            let request = message::append::<R>(body).map_err(told)?;
            let (prev, last) = (request.prev_log_id, last_of(&request));
            let term = request.vote.leader_id.term;
            let response = raft.append_entries(request).await.map_err(told)?;
            if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
                served.heard_leader.note(term);
            }
            let result = response.into_stream_result(prev, last);
            Ok(message::bytes(|out| {
                message::put_append_result::<R>(out, &result)
            }))
        }
        kind::TRANSFER => {
            let request = message::transfer::<R>(body).map_err(told)?;
            // openraft's reasons for a refusal cannot be named, so they go as a sentence.
            let taken = raft.handle_transfer_leader(request).await.map_err(told)?;
            taken.map_err(told)?;
            Ok(Bytes::new())
        }
        kind::READ_INDEX => {
            let id = served.read_index.led().await.map_err(told)?;
            Ok(message::bytes(|out| message::put_read_index(out, &id)))
        }
        kind::HASH => {
            let zxid = message::zxid(body).map_err(told)?;
            let hash = served.state.reader().view().digest_at(zxid);
            Ok(message::bytes(|out| message::put_hash(out, hash)))
        }
        kind::SERVER => {
            let applied = served.state.applied();
            let leads = Standing::leads_under_lease(raft, applied, served.lease);
            // What a node's server asks counts only while the node gets the log, too.
            let is_heard = hears(&raft.metrics().borrow_watched(), from, served.contact);
            let is_led = leads.is_some() && is_heard;
            served.delivery.asked(from, is_led, body)
        }
        kind::REACH => {
            let vote = raft.metrics().borrow_watched().vote;
            let unreached = peers.unreached();
            let mut out = BytesMut::new();
            Reach { vote, unreached }.put(&mut out).map_err(told)?;
            Ok(out.freeze())
        }
        kind::SUCCEED => served.succession.answer(body).map_err(told),
        kind::ABOUT => {
            // The asker's own list is not needed: it judges the difference itself.
            let about = group::about(raft, &served.right, &served.voters).await?;
            let mut out = BytesMut::new();
            about.put(&mut out).map_err(told)?;
            Ok(out.freeze())
        }
        unknown => Err(format!(
            "this node does not know calls of kind {unknown}: update it first"
        )),
    }
}

/// With this guard out a test must fail: a wiped voter votes.
fn may_vote<R: Runtime>(served: &Served<R>) -> bool {
    cfg!(innkeeper_break = "wiped-vote") || served.right.may_vote()
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn last_of<R: Runtime>(request: &AppendEntriesRequest<TypeConfig<R>>) -> Option<LogId> {
    let last = request.entries.last().map(|entry| entry.log_id);
    last.or(request.prev_log_id)
}

/// What openraft says to a stream of appends.
type Results<R> = Pin<
    Box<dyn Stream<Item = Result<StreamAppendResult<TypeConfig<R>>, Fatal<TypeConfig<R>>>> + Send>,
>;

/// One stream of appends on a log connection.
struct Appending<R: Runtime> {
    input: mpsc::Sender<AppendEntriesRequest<TypeConfig<R>>>,
    results: Results<R>,
    /// The numbers and bytes of the appends without a result, in order.
    waiting: VecDeque<(u64, usize)>,
    /// Their bytes.
    bytes: usize,
}

impl<R: Runtime> Appending<R> {
    fn start(raft: &RaftOf<R>, appends_max: usize) -> Self {
        let (input, queue) = mpsc::channel(appends_max.max(1));
        let requests = stream::unfold(queue, |mut queue| async move {
            queue.recv().await.map(|request| (request, queue))
        });
        Self {
            input,
            results: Box::pin(raft.stream_append(requests)),
            waiting: VecDeque::new(),
            bytes: 0,
        }
    }

    fn take(&mut self, frame: &Frame) -> Result<(), BodyError> {
        let request = message::append::<R>(&frame.body)?;
        self.waiting.push_back((frame.number, frame.body.len()));
        self.bytes += frame.body.len();
        // If openraft has stopped, the results end and say why.
        let _ = self.input.try_send(request);
        Ok(())
    }

    /// The number of the append that has a result now.
    fn answered(&mut self) -> Option<u64> {
        let (number, bytes) = self.waiting.pop_front()?;
        self.bytes -= bytes;
        Some(number)
    }
}

/// Takes appends, hands them to openraft in their order, and sends its results. While too much
/// waits on this node, it takes no further ones. If that lasts, the leader dials again and again.
async fn log<R: Runtime>(
    peers: &Peers<R>,
    served: &Served<R>,
    mut link: Link,
) -> io::Result<Never> {
    let settings = &peers.inner().settings;
    let most = settings.appends_max;
    let mut appending: Option<Appending<R>> = None;
    loop {
        let received = appending.as_ref().map_or(0, |appending| appending.bytes);
        let is_full = served.backlog.is_full(received);
        let has_room = appending.as_ref().is_none_or(|appending| {
            appending.input.capacity() > 0 && appending.bytes < settings.append_bytes_max
        });
        let reads = link.has_room() && has_room && !is_full;
        let shrinks = async {
            match is_full {
                true => served.backlog.has_room(received).await,
                false => pending().await,
            }
        };
        let result = async {
            match &mut appending {
                Some(appending) => appending.results.next().await,
                None => pending().await,
            }
        };
        match select3(result, read(&mut link, reads), shrinks).await {
            Select3::First(Some(Ok(result))) => {
                let is_over = result.is_err();
                let number = appending.as_mut().and_then(Appending::answered);
                let number = number.ok_or_else(|| io::Error::other("a result of no append"))?;
                link.put::<BodyError>(kind::ANSWER, number, |out| {
                    message::put_append_result::<R>(out, &result);
                    Ok(())
                })?;
                if is_over {
                    // The leader begins another stream. What it had sent before goes nowhere.
                    appending = None;
                }
            }
            Select3::First(Some(Err(fatal))) => return Err(io::Error::other(fatal.to_string())),
            Select3::First(None) => appending = None,
            Select3::Third(()) => {}
            Select3::Second(frame) => {
                let Some(frame) = frame? else {
                    continue;
                };
                check(&frame)?;
                match frame.kind {
                    kind::APPEND_FIRST => appending = Some(Appending::start(&served.raft, most)),
                    kind::APPEND => {}
                    unknown => {
                        let what = format!("a frame of kind {unknown} on the log channel");
                        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                    }
                }
                if let Some(appending) = &mut appending {
                    appending.take(&frame)?;
                }
            }
        }
    }
}

/// Takes the operations of another node while this node leads.
async fn forwarded<R: Runtime>(
    served: &Served<R>,
    mut link: Link,
    node: NodeId,
) -> io::Result<Never> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let opening = link.next().await?;
    check(&opening)?;
    if opening.kind != kind::FORWARD_OPEN {
        return Err(invalid(format!("a stream begins with {}", opening.kind)));
    }
    let (term, run) = forward::read_open(&opening.body).map_err(BodyError::from)?;
    let opened = served.intake.open(node, run, term);
    let refused = opened.clone().err();
    let answer = opened.map(|taken| message::bytes(|out| forward::put_taken(out, taken)));
    put_answer(&mut link, opening.number, answer)?;
    link.flush().await?;
    if let Some(sentence) = refused {
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, sentence));
    }
    loop {
        served.intake.room(node).await;
        let frame = link.next().await?;
        if frame.kind != kind::FORWARD {
            return Err(invalid(format!(
                "a frame of kind {} in a stream",
                frame.kind
            )));
        }
        let operations = forward::read_operations(frame.body).map_err(BodyError::from)?;
        let pushed = served.intake.push(node, run, term, operations);
        pushed.map_err(io::Error::other)?;
    }
}

/// Serves one transfer of a snapshot or a module.
async fn bulk<R: Runtime>(
    peers: &Peers<R>,
    served: &Served<R>,
    mut link: Link,
) -> io::Result<Never> {
    let opening = link.next().await?;
    check(&opening)?;
    match opening.kind {
        kind::SNAPSHOT => incoming::serve(peers, served, &mut link, &opening).await?,
        kind::MODULE => fetch::serve(peers, &served.modules, &mut link, &opening).await?,
        unknown => {
            let sentence =
                format!("this node does not know transfers of kind {unknown}: update it first");
            transfer::put_failed(&mut link, opening.number, &sentence)?;
        }
    }
    // What the dialer had sent before it heard the answer is read, since closing the connection
    // over it could lose the answer.
    let stall = peers.inner().settings.stall_timeout;
    loop {
        let frame = peers.inner().runtime.timeout(stall, link.next()).await;
        frame.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    }
}
