//! Sending a snapshot to a follower that needs entries which this node has purged.
//!
//! 1. openraft hands over its newest checkpoint, which is a view of `state.redb`. Its last entry
//!    goes into the [holds](super::holds), so that the entries after it are not purged meanwhile.
//! 2. A task that may block reads the view and encodes it, a few pieces ahead of the connection.
//!    So memory stays flat however large the state is.
//! 3. The follower answers when it has installed the snapshot. While it is at work, it says so
//!    from time to time.
//!
//! At most one snapshot is sent at a time. A transfer ends when openraft gives it up, when nothing
//! has moved for `stall_timeout`, and when too much of the log is held for it. openraft then begins anew, with what is its newest
//! checkpoint by then. (test: `a_transfer_that_stalls_ends_and_begins_anew`)

use std::future::pending;
use std::io;

use bytes::Bytes;
use innkeeper_runtime::{Runtime, Select3, ThreadRole, select3};
use openraft::Snapshot;
use openraft::errors::ReplicationClosed;
use openraft::impls::BasicNode;
use tokio::sync::mpsc;

use super::channel::Channel;
use super::link::Link;
use super::message::{BodyError, kind};
use super::peers::Peers;
use super::transfer::{self, Offer, PIECE_BYTES, PIECES_MAX};
use crate::state::SnapshotData;
use crate::types::{NodeId, Term, Vote};

/// Why a snapshot was not sent.
pub(super) enum Unsent {
    /// openraft gave it up.
    Cancelled(ReplicationClosed),
    /// It did not work; a sentence.
    Failed(String),
}

/// Sends a snapshot and waits until the follower has installed it. Returns the follower's vote.
pub(super) async fn send<R: Runtime>(
    peers: &Peers<R>,
    node: NodeId,
    vote: Vote,
    snapshot: Snapshot<Term, NodeId, BasicNode, SnapshotData>,
    cancel: impl Future<Output = ReplicationClosed> + Send,
) -> Result<Vote, Unsent> {
    let inner = peers.inner();
    let Some(last) = snapshot.meta.last_log_id else {
        return Err(Unsent::Failed("the snapshot is empty".to_owned()));
    };
    // Who waits comes back with a newer checkpoint, and keeps no old one open meanwhile.
    let Ok(_turn) = inner.sending.clone().try_acquire_owned() else {
        return Err(Unsent::Failed(
            "a snapshot is being sent to another node first".to_owned(),
        ));
    };
    let Ok(_connection) = peers.bulk(node).try_acquire_owned() else {
        return Err(Unsent::Failed("its bulk connection is in use".to_owned()));
    };
    let over = inner.holds.begin(node, last.index, inner.runtime.now());
    let offer = Offer { vote, last };
    let sending = async {
        let (link, _) = peers.dial(node, Channel::Bulk).await?;
        tracing::info!("a snapshot up to entry {} goes to node {node}", last.index);
        let sent = transfer(peers, node, link, offer, snapshot.snapshot).await;
        if sent.is_ok() {
            peers.works(node, Channel::Bulk);
        }
        sent.map_err(|error| {
            let what = format!("the snapshot did not arrive: {error}");
            peers.complain(node, Channel::Bulk, &what);
            what
        })
    };
    match select3(cancel, over.wait(), sending).await {
        Select3::First(closed) => Err(Unsent::Cancelled(closed)),
        Select3::Second(()) => Err(Unsent::Failed(
            "too much of the log would be kept until it arrives".to_owned(),
        )),
        Select3::Third(Ok(vote)) => Ok(vote),
        Select3::Third(Err(what)) => Err(Unsent::Failed(what)),
    }
}

async fn transfer<R: Runtime>(
    peers: &Peers<R>,
    node: NodeId,
    mut link: Link,
    offer: Offer,
    data: SnapshotData,
) -> io::Result<Vote> {
    let inner = peers.inner();
    let (runtime, stall) = (&inner.runtime, inner.settings.stall_timeout);
    transfer::put(&mut link, kind::SNAPSHOT, 0, |out| offer.put(out))?;
    let (output, mut pieces) = mpsc::channel(PIECES_MAX);
    let reading = runtime.spawn(ThreadRole::Checkpoint, read(data, output));
    let mut reading = reading.abort_on_drop();
    let mut is_sent = false;
    let mut moved = runtime.now();
    loop {
        let has_room = link.has_room();
        let more = async {
            if has_room && !is_sent {
                pieces.recv().await
            } else {
                pending().await
            }
        };
        let stalled = runtime.sleep_until(moved + stall);
        match select3(link.next_or_room(), more, stalled).await {
            Select3::First(frame) => match frame? {
                None => {}
                Some(frame) if frame.kind == kind::WORKING => {}
                Some(frame) if frame.kind == kind::ANSWER => {
                    return Ok(transfer::read_vote(&frame.body).map_err(BodyError::from)?);
                }
                Some(frame) => return Err(transfer::stray(&frame)),
            },
            Select3::Second(Some(piece)) => transfer::put_piece(&mut link, &piece)?,
            Select3::Second(None) => {
                let read = (&mut reading).await;
                read.map_err(io::Error::other)??;
                transfer::put_end(&mut link)?;
                is_sent = true;
            }
            Select3::Third(()) => {
                let what = format!("nothing has moved for {} ms", stall.as_millis());
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
        }
        moved = runtime.now();
        inner.holds.moved(node, moved);
    }
}

/// Reads the snapshot on the thread that may block.
async fn read(data: SnapshotData, output: mpsc::Sender<Bytes>) -> io::Result<()> {
    for piece in data.pieces(PIECE_BYTES)? {
        if output.send(piece?).await.is_err() {
            break;
        }
    }
    Ok(())
}
