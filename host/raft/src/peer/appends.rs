//! The leader's end of a log connection: appends go out one after another, without waiting for the
//! answer of the one before.

use std::collections::VecDeque;
use std::future::pending;
use std::io;

use futures_util::stream::{self, Stream, StreamExt};
use innkeeper_runtime::{Instant, Runtime, Select3, select3};
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use parking_lot::Mutex;

use super::channel::Channel;
use super::frame::Frame;
use super::hello;
use super::link::Link;
use super::message::{self, BodyError, kind};
use super::peers::Peers;
use super::redial::Redial;
use crate::status::Unanswered;
use crate::types::{NodeId, TypeConfig};

/// Sends streams of appends to one follower, one stream at a time, over one connection.
pub(super) struct Appends<R: Runtime> {
    peers: Peers<R>,
    node: NodeId,
    redial: Redial<R>,
    /// openraft wants its network to be `Sync`. Nobody else has this, so it is never locked.
    link: Mutex<Option<Link>>,
    next_number: u64,
}

/// An append without its answer.
struct Waiting {
    number: u64,
    entries: usize,
    bytes: usize,
}

impl<R: Runtime> Appends<R> {
    pub(super) fn new(peers: Peers<R>, node: NodeId) -> Self {
        Self {
            redial: Redial::new(peers.clone(), node, Channel::Log),
            peers,
            node,
            link: Mutex::new(None),
            next_number: 1,
        }
    }

    /// Connects, unless the connection of the last stream stands. The error is a sentence.
    async fn connect(&mut self) -> Result<(), String> {
        if self.link.get_mut().is_none() {
            self.redial.pause().await;
            *self.link.get_mut() = Some(self.redial.dial().await?);
        }
        Ok(())
    }

    /// The results of the appends in `input`, in its order. It ends after the input has ended, or
    /// after the first error; an error is a sentence. It connects first if it must. That is a part
    /// of the stream, since openraft drops the stream when this node leads no more.
    pub(super) fn stream<'s, S>(
        &'s mut self,
        input: S,
    ) -> impl Stream<Item = Result<StreamAppendResult<TypeConfig<R>>, String>> + Send + 's
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig<R>>> + Send + Unpin + 's,
    {
        let heard = self.peers.inner().runtime.now();
        let state = Sending {
            appends: self,
            input: Some(input),
            waiting: VecDeque::new(),
            unanswered: Unanswered::default(),
            is_first: true,
            heard,
        };
        stream::unfold(Some(state), |state| async move {
            let mut state = state?;
            if let Err(what) = state.appends.connect().await {
                return Some((Err(what), None));
            }
            match state.next().await {
                Ok(Some(Ok(matching))) => Some((Ok(Ok(matching)), Some(state))),
                // After an error the follower takes nothing more of this stream.
                Ok(Some(Err(error))) => Some((Ok(Err(error)), None)),
                Ok(None) => None,
                Err(error) => {
                    *state.appends.link.get_mut() = None;
                    let what = state.appends.redial.broke(&error);
                    Some((Err(what), None))
                }
            }
        })
    }
}

struct Sending<'s, R: Runtime, S> {
    appends: &'s mut Appends<R>,
    /// `None` after its end.
    input: Option<S>,
    waiting: VecDeque<Waiting>,
    /// What `waiting` comes to.
    unanswered: Unanswered,
    is_first: bool,
    /// When the last answer came, or the first append went out after a time without any.
    heard: Instant,
}

impl<R: Runtime, S> Drop for Sending<'_, R, S> {
    fn drop(&mut self) {
        let Appends { peers, node, .. } = &*self.appends;
        peers.set_unanswered(*node, Unanswered::default());
    }
}

impl<R, S> Sending<'_, R, S>
where
    R: Runtime,
    S: Stream<Item = AppendEntriesRequest<TypeConfig<R>>> + Send + Unpin,
{
    /// The next result; `None` if the input has ended and everything is answered.
    async fn next(&mut self) -> io::Result<Option<StreamAppendResult<TypeConfig<R>>>> {
        let runtime = self.appends.peers.inner().runtime.clone();
        let settings = self.appends.peers.inner().settings.clone();
        loop {
            if self.input.is_none() && self.waiting.is_empty() {
                return Ok(None);
            }
            let Some(link) = self.appends.link.get_mut() else {
                return Err(io::ErrorKind::NotConnected.into());
            };
            let has_room = link.has_room()
                && self.unanswered.requests < settings.appends_max
                && self.unanswered.bytes < settings.append_bytes_max;
            let input = &mut self.input;
            let more = async {
                match input {
                    Some(input) if has_room => input.next().await,
                    _ => pending().await,
                }
            };
            let waits = !self.waiting.is_empty();
            let quiet = runtime.sleep_until(self.heard + settings.silence_timeout);
            let quiet = async {
                if waits {
                    quiet.await;
                } else {
                    pending::<()>().await;
                }
            };
            match select3(link.next_or_room(), more, quiet).await {
                Select3::First(frame) => {
                    let Some(frame) = frame? else {
                        continue;
                    };
                    self.heard = runtime.now();
                    if let Some(result) = self.answered(frame)? {
                        self.appends.redial.answered();
                        return Ok(Some(result));
                    }
                }
                Select3::Second(Some(request)) => {
                    if self.waiting.is_empty() {
                        self.heard = runtime.now();
                    }
                    self.put(&request)?;
                }
                Select3::Second(None) => self.input = None,
                Select3::Third(()) => {
                    let what = format!("no answer for {} ms", settings.silence_timeout.as_millis());
                    return Err(io::Error::new(io::ErrorKind::TimedOut, what));
                }
            }
        }
    }

    fn tell(&self) {
        let Appends { peers, node, .. } = &*self.appends;
        peers.set_unanswered(*node, self.unanswered);
    }

    fn put(&mut self, request: &AppendEntriesRequest<TypeConfig<R>>) -> io::Result<()> {
        let number = self.appends.next_number;
        self.appends.next_number += 1;
        let first = std::mem::take(&mut self.is_first);
        let kind = if first {
            kind::APPEND_FIRST
        } else {
            kind::APPEND
        };
        let mut bytes = 0;
        if let Some(link) = self.appends.link.get_mut() {
            link.put::<BodyError>(kind, number, |out| {
                let before = out.len();
                message::put_append(out, request)?;
                bytes = out.len() - before;
                Ok(())
            })?;
        }
        let entries = request.entries.len();
        self.waiting.push_back(Waiting {
            number,
            entries,
            bytes,
        });
        self.unanswered.requests += 1;
        self.unanswered.entries += entries;
        self.unanswered.bytes += bytes;
        self.tell();
        Ok(())
    }

    /// The result in an answer; `None` if it belongs to an earlier stream.
    fn answered(&mut self, frame: Frame) -> io::Result<Option<StreamAppendResult<TypeConfig<R>>>> {
        if let Some(sentence) = hello::refusal(&frame) {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, sentence));
        }
        let oldest = self.waiting.front().map(|waiting| waiting.number);
        if frame.number < oldest.unwrap_or(self.appends.next_number) {
            return Ok(None);
        }
        if oldest != Some(frame.number) {
            let what = format!("the answer {} came before its turn", frame.number);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        if frame.kind != kind::ANSWER {
            return Err(io::Error::other(hello::shown(&frame.body)));
        }
        let result = message::append_result::<R>(&frame.body);
        let result = result.map_err(BodyError::from)?;
        if let Some(done) = self.waiting.pop_front() {
            self.unanswered.requests -= 1;
            self.unanswered.entries -= done.entries;
            self.unanswered.bytes -= done.bytes;
            self.tell();
        }
        Ok(Some(result))
    }
}
