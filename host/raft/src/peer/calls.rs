//! Calls to one peer over its control connection, which is kept open.
//!
//! Many calls may be under way at once, and each is answered when it is finished. So a vote that
//! waits for its sync holds up no heartbeat.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;

use bytes::{BufMut, Bytes};
use innkeeper_runtime::{Runtime, Select3, ThreadRole, select2, select3};
use tokio::sync::{mpsc, oneshot};

use super::channel::Channel;
use super::frame::{Frame, TooLong};
use super::hello;
use super::link::Link;
use super::message::kind;
use super::peers::Peers;
use super::redial::{self, Redial, Uses};
use crate::types::NodeId;

/// Why a call has no answer. Whether the peer has done what was asked is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoAnswer(pub(super) String);

struct Call {
    kind: u8,
    body: Bytes,
    answer: oneshot::Sender<Result<Bytes, NoAnswer>>,
}

/// Makes calls to one peer. Clones share the connection.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    queue: mpsc::Sender<Call>,
}

impl Caller {
    /// Starts a task that keeps the control connection to `node` open until the peers are closed.
    pub(super) fn start<R: Runtime>(peers: &Peers<R>, node: NodeId) -> Self {
        let (queue, calls) = mpsc::channel(peers.inner().settings.calls_max.max(1));
        let task = Task {
            peers: peers.clone(),
            calls,
            pending: BTreeMap::new(),
            next_number: 1,
        };
        let stop = peers.inner().stop.clone();
        let redial = Redial::new(peers.clone(), node, Channel::Control);
        // What is dropped with the task is answered with `closed`.
        let kept = async move {
            select2(stop.wait(), redial::keep(redial, task)).await;
        };
        let runtime = &peers.inner().runtime;
        runtime.spawn(ThreadRole::Raft, kept).detach();
        Self { queue }
    }

    /// Makes a call and returns the body of its answer. The caller limits the time.
    pub(super) async fn call(&self, kind: u8, body: Bytes) -> Result<Bytes, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        let call = Call { kind, body, answer };
        self.queue.try_send(call).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                NoAnswer("too many calls to this node wait".to_owned())
            }
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }
}

fn closed() -> NoAnswer {
    NoAnswer("this node closes its connections".to_owned())
}

struct Task<R: Runtime> {
    peers: Peers<R>,
    calls: mpsc::Receiver<Call>,
    pending: BTreeMap<u64, oneshot::Sender<Result<Bytes, NoAnswer>>>,
    next_number: u64,
}

impl<R: Runtime> Uses<R> for Task<R> {
    /// Makes calls over a connection until it breaks.
    async fn serve(&mut self, mut link: Link, redial: &mut Redial<R>) -> io::Error {
        let runtime = self.peers.inner().runtime.clone();
        let silence = self.peers.inner().settings.silence_timeout;
        let mut heard = runtime.now();
        loop {
            let waits = !self.pending.is_empty();
            let has_room = link.has_room() && self.has_room();
            let more = async {
                if has_room {
                    self.calls.recv().await
                } else {
                    pending().await
                }
            };
            let quiet = async {
                if waits {
                    runtime.sleep_until(heard + silence).await;
                } else {
                    pending::<()>().await;
                }
            };
            match select3(link.next_or_room(), more, quiet).await {
                Select3::First(Ok(None)) => {}
                Select3::First(Ok(Some(frame))) => {
                    heard = runtime.now();
                    if let Err(error) = self.answered(frame) {
                        return error;
                    }
                    redial.answered();
                }
                Select3::First(Err(error)) => return error,
                Select3::Second(None) => return io::ErrorKind::BrokenPipe.into(),
                Select3::Second(Some(call)) => {
                    if self.pending.is_empty() {
                        heard = runtime.now();
                    }
                    self.put(&mut link, call);
                }
                Select3::Third(()) => {
                    return io::Error::new(
                        io::ErrorKind::TimedOut,
                        format!("no answer for {} ms", silence.as_millis()),
                    );
                }
            }
        }
    }

    /// Answers all calls that wait, and those that come.
    async fn without(&mut self, why: String) {
        let no_answer = NoAnswer(why);
        for (_, answer) in std::mem::take(&mut self.pending) {
            let _ = answer.send(Err(no_answer.clone()));
        }
        while let Some(call) = self.calls.recv().await {
            let _ = call.answer.send(Err(no_answer.clone()));
        }
        // Nobody can call any more.
        pending().await
    }
}

impl<R: Runtime> Task<R> {
    /// May another call wait for its answer? Calls that nobody waits for any more count only while
    /// there is room.
    fn has_room(&mut self) -> bool {
        let most = self.peers.inner().settings.calls_max;
        if self.pending.len() >= most {
            self.pending.retain(|_, answer| !answer.is_closed());
        }
        self.pending.len() < most
    }

    fn put(&mut self, link: &mut Link, call: Call) {
        let number = self.next_number;
        self.next_number += 1;
        let put = link.put(call.kind, number, |out| {
            out.put_slice(&call.body);
            Ok::<(), TooLong>(())
        });
        match put {
            Ok(()) => {
                self.pending.insert(number, call.answer);
            }
            Err(error) => {
                let _ = call.answer.send(Err(NoAnswer(error.to_string())));
            }
        }
    }

    fn answered(&mut self, frame: Frame) -> Result<(), io::Error> {
        if let Some(sentence) = hello::refusal(&frame) {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, sentence));
        }
        let Some(waiting) = self.pending.remove(&frame.number) else {
            let what = format!("an answer {} to no question", frame.number);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        };
        let answer = match frame.kind {
            kind::ANSWER => Ok(frame.body),
            _ => Err(NoAnswer(hello::shown(&frame.body))),
        };
        // The asker may have lost its patience.
        let _ = waiting.send(answer);
        Ok(())
    }
}
