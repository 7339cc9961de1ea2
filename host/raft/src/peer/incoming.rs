//! Taking a snapshot from the leader.
//!
//! 1. The pieces go to a task that may block. It makes a file of them beside `state.redb`, and
//!    checks them on the way ([`Incoming`]).
//! 2. When all have arrived and are right, openraft gets the snapshot and has it installed.
//!    Meanwhile the leader is told that this node is at work.
//! 3. The answer is this node's vote.
//!
//! A snapshot that is damaged, and a disk that is full or fails, cost the transfer and nothing
//! else: the state in force is not touched before openraft has taken the snapshot. The leader gets
//! the reason as a sentence and begins anew after a pause.
//! (tests: `a_node_without_room_for_a_snapshot_goes_on_until_there_is_room`,
//! `bytes_that_are_damaged_on_the_way_cost_the_transfer_only`)
//!
//! If the connection ends in step 1, what has arrived is dropped. If it ends in step 2, the node
//! goes on with installing. (test: `a_snapshot_arrives_whatever_happens_on_the_way`)

use std::io;

use bytes::Bytes;
use innkeeper_runtime::{AbortOnDrop, Disk, Runtime, Select3, ThreadRole, select3};
use openraft::Snapshot;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::frame::Frame;
use super::link::Link;
use super::message::{BodyError, kind};
use super::peers::Peers;
use super::served::Served;
use super::transfer::{self, Offer, PIECES_MAX};
use crate::engine::RaftOf;
use crate::error::StateError;
use crate::state::{Folder, Incoming, SnapshotData};
use crate::types::{SnapshotMeta, Vote};

/// Takes one snapshot and answers. The error ends the connection.
pub(super) async fn serve<R: Runtime>(
    peers: &Peers<R>,
    served: &Served<R>,
    link: &mut Link,
    opening: &Frame,
) -> io::Result<()> {
    let offer = Offer::read(&opening.body).map_err(BodyError::from)?;
    let vote = match already(&served.raft, &offer) {
        Some(vote) => Ok(vote),
        None => receive(peers, served, link, offer).await?,
    };
    match vote {
        Ok(vote) => transfer::put(link, kind::ANSWER, opening.number, |out| {
            transfer::put_vote(out, &vote);
        }),
        Err(sentence) => {
            tracing::warn!(
                "the snapshot up to entry {} is refused: {sentence}",
                offer.last.index
            );
            transfer::put_failed(link, opening.number, &sentence)
        }
    }
}

/// This node's vote, if it is enough of an answer: it is a newer one, or the node has applied all
/// that is in the snapshot.
fn already<R: Runtime>(raft: &RaftOf<R>, offer: &Offer) -> Option<Vote> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let has_all = metrics.vote == offer.vote && metrics.last_applied >= Some(offer.last);
    (has_all || metrics.vote > offer.vote).then_some(metrics.vote)
}

/// Takes the pieces and has them installed. The inner error is the sentence of a refusal.
async fn receive<R: Runtime>(
    peers: &Peers<R>,
    served: &Served<R>,
    link: &mut Link,
    offer: Offer,
) -> io::Result<Result<Vote, String>> {
    let inner = peers.inner();
    let (runtime, stall) = (&inner.runtime, inner.settings.stall_timeout);
    // openraft panics over such a snapshot.
    if **offer.last.committed_leader_id() > offer.vote.leader_id.term {
        return Ok(Err(
            "its last entry is of a later term than its leader".to_owned()
        ));
    }
    let Ok(permit) = served.receiving.clone().try_acquire_owned() else {
        return Ok(Err("another snapshot arrives at this node".to_owned()));
    };
    tracing::info!("a snapshot up to entry {} arrives", offer.last.index);
    let place = Place {
        folder: served.folder.clone(),
        _permit: permit,
    };
    let (input, queue) = mpsc::channel(PIECES_MAX);
    let writing = runtime.spawn(ThreadRole::Checkpoint, write(place, queue));
    let writing = writing.abort_on_drop();
    loop {
        let next = async {
            match input.reserve().await {
                Ok(room) => Some((room, link.next().await)),
                Err(_) => None,
            }
        };
        let next = runtime.timeout(stall, next).await;
        let Ok(next) = next else {
            let what = format!("nothing has moved for {} ms", stall.as_millis());
            return Ok(Err(what));
        };
        // The task has ended early, and says why.
        let Some((room, frame)) = next else {
            break;
        };
        let frame = frame?;
        match frame.kind {
            kind::PIECE => room.send(Some(transfer::read_piece(&frame)?)),
            kind::END => {
                room.send(None);
                break;
            }
            _ => return Err(transfer::stray(&frame)),
        }
    }
    let install = install(runtime.clone(), served.raft.clone(), offer, writing);
    let mut installing = runtime.spawn(ThreadRole::Raft, install);
    loop {
        let a_while = runtime.sleep(stall / 4);
        match select3(&mut installing, link.next(), a_while).await {
            Select3::First(installed) => {
                return Ok(installed.unwrap_or_else(|e| Err(e.to_string())));
            }
            Select3::Second(frame) => return Err(transfer::stray(&frame?)),
            Select3::Third(()) => transfer::put_working(link)?,
        }
    }
}

/// The place of the one snapshot that arrives. Dropping it removes what is left of the file, then
/// another one may begin. That blocks.
struct Place<D: Disk> {
    folder: Folder<D>,
    // After the removal.
    _permit: OwnedSemaphorePermit,
}

impl<D: Disk> Drop for Place<D> {
    fn drop(&mut self) {
        self.folder.tidy();
    }
}

/// A snapshot that has arrived whole and is not installed.
struct Written<D: Disk> {
    meta: SnapshotMeta,
    data: SnapshotData,
    // Last, since the file is to be closed when it is removed.
    place: Place<D>,
}

/// Writes the pieces; `None` is the end.
async fn write<D: Disk>(
    place: Place<D>,
    mut queue: mpsc::Receiver<Option<Bytes>>,
) -> Result<Written<D>, StateError> {
    let mut incoming = Incoming::begin(place.folder.clone())?;
    while let Some(Some(piece)) = queue.recv().await {
        incoming.take(&piece)?;
    }
    let (meta, data) = incoming.finish()?;
    Ok(Written { meta, data, place })
}

/// Hands the snapshot to openraft when it is written, and returns this node's vote.
async fn install<R: Runtime>(
    runtime: R,
    raft: RaftOf<R>,
    offer: Offer,
    writing: AbortOnDrop<Result<Written<R::Disk>, StateError>>,
) -> Result<Vote, String> {
    let written = writing.await.map_err(|error| error.to_string())?;
    let Written { meta, data, place } = written.map_err(|error| error.to_string())?;
    let is_offered = meta.last_log_id == Some(offer.last);
    let installed = if is_offered {
        let snapshot = Snapshot {
            meta,
            snapshot: data.clone(),
        };
        let response = raft.install_full_snapshot(offer.vote, snapshot).await;
        response
            .map(|response| response.vote)
            .map_err(|fatal| fatal.to_string())
    } else {
        Err("it ends at another entry than its leader says".to_owned())
    };
    // openraft may have had no use for it. It has as many znodes as the state.
    let tidy = async move {
        drop(data.as_received().and_then(|received| received.take()));
        drop(place);
    };
    let tidied = runtime.spawn(ThreadRole::Checkpoint, tidy).await;
    tidied.map_err(|error| error.to_string())?;
    installed
}
