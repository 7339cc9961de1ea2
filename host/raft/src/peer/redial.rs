//! One connection to a peer that is made again when it has broken.
//!
//! 1. After a dial that failed there is a pause, which doubles from `backoff_min` to `backoff_max`.
//!    It also ends when the peer says hello itself: then the peer is there.
//! 2. A connection that was made proves nothing. Its other end may close it at once, for instance
//!    a proxy before a node that is down. So the pauses begin anew only after the peer has answered
//!    something, and only then the log says that the connection works again.
//! 3. A connection that has stood for `backoff_max` is made again without a pause, for it may have
//!    had nothing to carry.
//!
//! The control and the forward connection are kept by [`keep`]. openraft asks for the log
//! connection when it has something to send (`appends.rs`), and has pauses of its own for the bulk
//! connection.
//!
//! **Invariant:** whatever a peer does with a connection, it is dialed again at a bounded rate, and
//! the log gets at most a line a second about it. (test:
//! `a_peer_that_closes_each_connection_is_dialed_with_pauses`)

use std::io;
use std::time::Duration;

use innkeeper_runtime::{Instant, Runtime, select2};

use super::channel::Channel;
use super::link::Link;
use super::peers::Peers;
use crate::types::NodeId;

/// Dials one peer for one channel again and again.
pub(super) struct Redial<R: Runtime> {
    peers: Peers<R>,
    node: NodeId,
    channel: Channel,
    /// The next pause.
    backoff: Duration,
    /// The present pause ends at this time.
    due: Instant,
    /// The peer's hellos before the last dial.
    hellos: u64,
    /// When the last connection was made.
    made: Instant,
    /// Nothing is left to be said of it.
    is_settled: bool,
}

impl<R: Runtime> Redial<R> {
    /// The first dial needs no pause.
    pub(super) fn new(peers: Peers<R>, node: NodeId, channel: Channel) -> Self {
        let now = peers.inner().runtime.now();
        Self {
            backoff: peers.inner().settings.backoff_min,
            peers,
            node,
            channel,
            due: now,
            hellos: 0,
            made: now,
            is_settled: false,
        }
    }

    /// Waits until it may dial.
    pub(super) async fn pause(&self) {
        let runtime = &self.peers.inner().runtime;
        if self.due <= runtime.now() {
            return;
        }
        let greeted = self.peers.hellos(self.node);
        let greeted = greeted.wait_for(|count| *count > self.hellos);
        select2(greeted, runtime.sleep_until(self.due)).await;
    }

    /// Dials. The error is a sentence.
    pub(super) async fn dial(&mut self) -> Result<Link, String> {
        self.hellos = self.peers.hellos(self.node).get();
        self.is_settled = false;
        let dialed = self.peers.dial(self.node, self.channel).await;
        self.made = self.peers.inner().runtime.now();
        match dialed {
            Ok((link, _)) => {
                let missing = &self.peers.inner().missing;
                missing.forget(self.node, self.channel);
                Ok(link)
            }
            Err(what) => {
                self.is_missing();
                self.back_off();
                Err(what)
            }
        }
    }

    /// The peer has answered something.
    pub(super) fn answered(&mut self) {
        if self.is_settled {
            return;
        }
        self.backoff = self.peers.inner().settings.backoff_min;
        self.is_settled = self.peers.works(self.node, self.channel);
    }

    /// The connection broke. Returns what the log says of it.
    pub(super) fn broke(&mut self, error: &io::Error) -> String {
        let what = format!("the connection broke: {error}");
        self.peers.complain(self.node, self.channel, &what);
        self.is_missing();
        let (now, settings) = (
            self.peers.inner().runtime.now(),
            &self.peers.inner().settings,
        );
        if now.since(self.made) > settings.backoff_max {
            self.backoff = settings.backoff_min;
            self.due = now;
        } else {
            self.back_off();
        }
        what
    }

    fn is_missing(&self) {
        let inner = self.peers.inner();
        let now = inner.runtime.now();
        inner.missing.note(self.node, self.channel, now);
    }

    fn back_off(&mut self) {
        let inner = self.peers.inner();
        self.due = inner.runtime.now() + self.backoff;
        self.backoff = (self.backoff * 2).min(inner.settings.backoff_max);
    }
}

impl<R: Runtime> Drop for Redial<R> {
    fn drop(&mut self) {
        let missing = &self.peers.inner().missing;
        missing.forget(self.node, self.channel);
    }
}

/// What uses a connection that is kept.
pub(super) trait Uses<R: Runtime> {
    /// Uses a connection until it breaks, and tells `redial` of answers.
    fn serve(
        &mut self,
        link: Link,
        redial: &mut Redial<R>,
    ) -> impl Future<Output = io::Error> + Send;

    /// There is no connection, for the reason given. Runs until the pause is over.
    fn without(&mut self, why: String) -> impl Future<Output = ()> + Send;
}

/// Keeps a connection, until it is dropped.
pub(super) async fn keep<R: Runtime>(mut redial: Redial<R>, mut user: impl Uses<R>) {
    loop {
        let why = match redial.dial().await {
            Ok(link) => {
                let error = user.serve(link, &mut redial).await;
                redial.broke(&error)
            }
            Err(why) => why,
        };
        select2(user.without(why), redial.pause()).await;
    }
}
