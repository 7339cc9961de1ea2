//! Calls to one peer over its control connection, which is kept open.
//!
//! Many calls may be under way at once, and each is answered when it is finished. So a vote that
//! waits for its sync holds up no heartbeat.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use innkeeper_runtime::{Runtime, Select3, ThreadRole, select2, select3};
use tokio::sync::{mpsc, oneshot};

use super::channel::Channel;
use super::frame::{Frame, TooLong};
use super::hello;
use super::link::Link;
use super::message::kind;
use super::peers::Peers;
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
            node,
            calls,
            pending: BTreeMap::new(),
            next_number: 1,
        };
        let runtime = &peers.inner().runtime;
        runtime.spawn(ThreadRole::Raft, task.run()).detach();
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
    node: NodeId,
    calls: mpsc::Receiver<Call>,
    pending: BTreeMap<u64, oneshot::Sender<Result<Bytes, NoAnswer>>>,
    next_number: u64,
}

impl<R: Runtime> Task<R> {
    async fn run(mut self) {
        let stop = self.peers.inner().stop.clone();
        // What is dropped with it is answered with `closed`.
        select2(stop.wait(), self.keep()).await;
    }

    async fn keep(&mut self) {
        let runtime = self.peers.inner().runtime.clone();
        let (least, most) = {
            let settings = &self.peers.inner().settings;
            (settings.backoff_min, settings.backoff_max)
        };
        let mut backoff = least;
        loop {
            let began = runtime.now();
            let hellos = self.peers.hellos(self.node).get();
            let why = match self.peers.dial(self.node, Channel::Control).await {
                Ok((link, _)) => {
                    let error = self.serve(link).await;
                    let why = format!("the connection broke: {error}");
                    self.peers.complain(self.node, Channel::Control, &why);
                    why
                }
                Err(why) => why,
            };
            self.fail_all(&why);
            // A connection that stood for a while is dialed again at once.
            if runtime.now().since(began) > most {
                backoff = least;
            } else {
                self.pause(backoff, hellos, &why).await;
                backoff = (backoff * 2).min(most);
            }
        }
    }

    /// Answers all calls that wait.
    fn fail_all(&mut self, why: &str) {
        for (_, answer) in std::mem::take(&mut self.pending) {
            let _ = answer.send(Err(NoAnswer(why.to_owned())));
        }
        while let Ok(call) = self.calls.try_recv() {
            let _ = call.answer.send(Err(NoAnswer(why.to_owned())));
        }
    }

    /// Waits before the next dial, but not longer than until the peer says hello itself. Calls fail
    /// meanwhile.
    async fn pause(&mut self, backoff: Duration, hellos: u64, why: &str) {
        let runtime = &self.peers.inner().runtime;
        let until = runtime.now() + backoff;
        let greeted = self.peers.hellos(self.node);
        loop {
            let greeted = greeted.wait_for(|count| *count > hellos);
            match select3(greeted, runtime.sleep_until(until), self.calls.recv()).await {
                Select3::First(_) | Select3::Second(()) | Select3::Third(None) => return,
                Select3::Third(Some(call)) => {
                    let _ = call.answer.send(Err(NoAnswer(why.to_owned())));
                }
            }
        }
    }

    /// Makes calls over a connection until it breaks.
    async fn serve(&mut self, mut link: Link) -> io::Error {
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
