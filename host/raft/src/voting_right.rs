//! The data folder's id, and whether this node may vote by it.
//!
//! A node whose folder was emptied has forgotten its votes and what it had acknowledged. It must
//! not look like the node that it was, so each folder has an id of its own, which the node tells
//! its peers. An empty folder joins: its node votes only from one of these moments on.
//!
//! 1. The node is ready to found a group, because a majority of the listed voters is empty like
//!    itself. It stays ready over a restart: others may have begun by then, and need its vote.
//!    (test: `a_forming_that_was_cut_short_goes_on_after_a_restart`)
//! 2. The node has applied the entry by which the group names its folder.
//!
//! **Invariant:** a node that may vote has forgotten nothing that counts: Raft's membership had no
//! member of this number at the point of the log at which the folder was named. (test:
//! `a_wiped_voter_does_not_help_to_elect_a_leader_that_has_less`)

use std::io;
use std::sync::Arc;

use crc32c::crc32c;
use innkeeper_runtime::{Disk, Runtime, Signal, ThreadRole};
use innkeeper_tree::Operation;
use innkeeper_tree::group::GroupChange;
use openraft::EntryPayload;

use crate::error::OpenError;
use crate::log::Log;
use crate::peer::Incarnation;
use crate::state::StateShared;
use crate::types::{Entry, NodeId};

/// The file's name. Its lines are the id in 32 hexadecimal digits, perhaps [`JOINS`] or [`READY`],
/// and [`SUM`] with the CRC-32C of the lines before in 8 hexadecimal digits. The first files had no checksum.
const FILE: &str = "incarnation";

/// The line of a folder that was empty and is not taken in yet.
const JOINS: &str = "joins\n";

/// The line of a folder that was empty when its node was ready to found a group.
const READY: &str = "ready\n";

/// What the line of the checksum begins with.
const SUM: &str = "sum ";

/// The content of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    incarnation: Incarnation,
    place: Place,
}

/// What a folder is to its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It was empty, and no group has named it yet.
    Joins,
    /// It was empty, and its node founds a group with others that were empty, too.
    Ready,
    /// It has forgotten nothing.
    Member,
}

impl Place {
    fn line(self) -> &'static str {
        match self {
            Place::Joins => JOINS,
            Place::Ready => READY,
            Place::Member => "",
        }
    }
}

/// Reads the folder's id. A folder without one gets one, which is durable when [`Disk::settled`]
/// has returned. Blocks.
fn read<R: Runtime>(runtime: &R, disk: &R::Disk) -> io::Result<Stored> {
    // What one read has damaged another one may show.
    let found = disk.read_whole(FILE).map(|content| parse(&content));
    let found = match found {
        Ok(None) => disk.read_whole(FILE).map(|content| parse(&content)),
        found => found,
    };
    match found {
        Ok(Some(stored)) => Ok(stored),
        Ok(None) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "the file {FILE} is damaged: restore it from a backup; a node alone may also remove this one file, and a member of a group may empty its folder and join anew"
            ),
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; 16];
            runtime.fill_random(&mut bytes);
            let drawn = Stored {
                incarnation: Incarnation(bytes),
                place: Place::Member,
            };
            write(disk, drawn)?;
            Ok(drawn)
        }
        Err(error) => Err(error),
    }
}

/// Replaces the file. It is durable when [`Disk::settled`] has returned. Blocks.
fn write<D: Disk>(disk: &D, stored: Stored) -> io::Result<()> {
    let lines = format!("{}\n{}", stored.incarnation, stored.place.line());
    let content = format!("{lines}{SUM}{:08x}\n", crc32c(lines.as_bytes()));
    disk.replace(FILE, content.as_bytes())
}

fn parse(content: &[u8]) -> Option<Stored> {
    let text = std::str::from_utf8(content).ok()?;
    let (digits, rest) = text.split_once('\n')?;
    let places = [Place::Joins, Place::Ready];
    let place = places
        .into_iter()
        .find(|place| rest.starts_with(place.line()));
    let place = place.unwrap_or(Place::Member);
    let (covered, sum) = text.split_at(digits.len() + 1 + place.line().len());
    let expected = format!("{SUM}{:08x}\n", crc32c(covered.as_bytes()));
    let is_first_form = sum.is_empty() && place == Place::Member;
    if sum != expected && !is_first_form {
        return None;
    }
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some(Stored {
        incarnation: Incarnation(u128::from_str_radix(digits, 16).ok()?.to_be_bytes()),
        place,
    })
}

/// Reads the folder's id, and judges whether the folder joins a group. What it writes is durable
/// when [`Disk::settled`] has returned. Blocks.
pub(crate) async fn open<R: Runtime>(
    runtime: &R,
    disk: &R::Disk,
    log: &Log<R>,
    state: &StateShared,
    me: NodeId,
    in_group: bool,
) -> Result<Stored, OpenError> {
    let stored = read(runtime, disk).map_err(OpenError::Folder)?;
    if let Some(group) = state.group.get()
        && let Some((node, _)) = group
            .members
            .iter()
            .find(|(node, member)| **node != me && member.incarnation == Some(stored.incarnation))
    {
        return Err(OpenError::Settings(format!(
            "this data folder is the one of node {node} and the settings say {me}: start it with \
             the number {node}, or give node {me} a folder of its own"
        )));
    }
    let is_empty = log.is_unused() && state.applied().is_none();
    let place = match (in_group, is_empty, stored.place) {
        (true, true, Place::Ready) => Place::Ready,
        (true, true, Place::Joins | Place::Member) => Place::Joins,
        (false, true, _) => Place::Member,
        (_, false, Place::Ready | Place::Member) => Place::Member,
        (false, false, Place::Joins) => {
            return Err(OpenError::Settings(
                "this data folder waits until its group takes it in: start the node with its \
                 peers, or empty the folder"
                    .to_owned(),
            ));
        }
        (true, false, Place::Joins) => {
            let group = state.group.get();
            let is_named = group.is_some_and(|group| group.names(me, stored.incarnation));
            let is_member = is_named || is_named_in_log(log, state, me, stored.incarnation).await?;
            if is_member {
                Place::Member
            } else {
                Place::Joins
            }
        }
    };
    let judged = Stored { place, ..stored };
    if judged != stored {
        write(disk, judged).map_err(OpenError::Folder)?;
    }
    Ok(judged)
}

/// Does an entry behind the checkpoint name this folder? The log was synced when it was opened.
async fn is_named_in_log<R: Runtime>(
    log: &Log<R>,
    state: &StateShared,
    me: NodeId,
    incarnation: Incarnation,
) -> Result<bool, OpenError> {
    let mut next = state.applied().map_or(0, |id| id.index + 1);
    loop {
        let entries = log.some_from(next).await.map_err(OpenError::Folder)?;
        let Some(last) = entries.last() else {
            return Ok(false);
        };
        next = last.log_id.index + 1;
        if is_named_in(&entries, me, incarnation) {
            return Ok(true);
        }
    }
}

/// Does one of these entries name a node's folder?
///
/// An entry that is durable here is enough, even if nobody knows yet whether it is committed. While
/// it is not, no membership has this node as a voter, and nobody counts its vote.
fn is_named_in(entries: &[Entry], me: NodeId, folder: Incarnation) -> bool {
    entries.iter().any(|entry| match &entry.payload {
        EntryPayload::Normal(proposal) => matches!(
            &proposal.command().operation,
            Operation::Group(GroupChange::Admit { node, incarnation, .. })
                if (*node, *incarnation) == (me, folder)
        ),
        EntryPayload::Blank | EntryPayload::Membership(_) => false,
    })
}

/// Whether a node that runs may vote. Clones share it.
pub(crate) struct VotingRight<R: Runtime> {
    runtime: R,
    disk: R::Disk,
    incarnation: Incarnation,
    may_vote: Signal,
    /// The file says that the folder joins; it is changed by one task at a time.
    joins: Arc<tokio::sync::Mutex<bool>>,
}

impl<R: Runtime> Clone for VotingRight<R> {
    fn clone(&self) -> Self {
        Self {
            runtime: self.runtime.clone(),
            disk: self.disk.clone(),
            incarnation: self.incarnation,
            may_vote: self.may_vote.clone(),
            joins: self.joins.clone(),
        }
    }
}

impl<R: Runtime> VotingRight<R> {
    pub(crate) fn new(runtime: R, disk: R::Disk, stored: Stored) -> Self {
        let may_vote = Signal::new();
        let joins = stored.place == Place::Joins;
        if !joins {
            may_vote.raise();
        }
        Self {
            runtime,
            disk,
            incarnation: stored.incarnation,
            may_vote,
            joins: Arc::new(tokio::sync::Mutex::new(joins)),
        }
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// May this node vote? It stays so once it is.
    pub(crate) fn may_vote(&self) -> bool {
        self.may_vote.is_raised()
    }

    /// Lets the node vote. The file still says that the folder joins.
    pub(crate) fn let_vote(&self) {
        self.may_vote.raise();
    }

    /// Makes it durable that this folder does not join any more, since its group has named it: from
    /// now on the node may vote, also after a restart.
    pub(crate) async fn joined(&self) -> io::Result<()> {
        self.keep(Place::Member).await
    }

    /// Makes it durable that this node is ready to found a group: from now on it may vote, also
    /// after a restart, even if the folder is still empty then.
    pub(crate) async fn ready(&self) -> io::Result<()> {
        self.keep(Place::Ready).await
    }

    async fn keep(&self, place: Place) -> io::Result<()> {
        let mut joins = self.joins.lock().await;
        if !*joins {
            return Ok(());
        }
        let (disk, incarnation) = (self.disk.clone(), self.incarnation);
        let written = self.runtime.spawn(ThreadRole::Checkpoint, async move {
            write(&disk, Stored { incarnation, place })?;
            disk.settled().await
        });
        written.await.map_err(io::Error::other)??;
        *joins = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use innkeeper_runtime::Sim;

    use super::*;

    #[test]
    fn a_folder_keeps_its_incarnation_and_an_emptied_one_gets_another() {
        Sim::run(7, async |runtime| {
            let disk = runtime.disk(Path::new("/data")).unwrap();
            let first = read(&runtime, &disk).unwrap();
            assert_eq!(first.place, Place::Member);
            assert_eq!(read(&runtime, &disk).unwrap(), first);
            let joins = Stored {
                place: Place::Joins,
                ..first
            };
            write(&disk, joins).unwrap();
            assert_eq!(read(&runtime, &disk).unwrap(), joins);
            let folder = VotingRight::new(runtime.clone(), disk.clone(), joins);
            assert!(!folder.may_vote());
            folder.joined().await.unwrap();
            assert_eq!(read(&runtime, &disk).unwrap(), first);
            let ready = Stored {
                place: Place::Ready,
                ..first
            };
            write(&disk, joins).unwrap();
            let folder = VotingRight::new(runtime.clone(), disk.clone(), joins);
            folder.ready().await.unwrap();
            assert_eq!(read(&runtime, &disk).unwrap(), ready);
            assert!(VotingRight::new(runtime.clone(), disk.clone(), ready).may_vote());
            disk.remove(FILE).unwrap();
            assert_ne!(read(&runtime, &disk).unwrap(), first);
            for damaged in [&b"0123"[..], b"0123\n", b"\n", b""] {
                disk.replace(FILE, damaged).unwrap();
                let error = read(&runtime, &disk).unwrap_err();
                assert!(error.to_string().contains("is damaged"), "{error}");
            }
            // The first files had the digits alone.
            disk.replace(FILE, format!("{}\n", first.incarnation).as_bytes())
                .unwrap();
            assert_eq!(read(&runtime, &disk).unwrap(), first);
        });
    }

    #[test]
    fn no_flipped_bit_makes_another_folder_of_it() {
        Sim::run(8, async |runtime| {
            let disk = runtime.disk(Path::new("/data")).unwrap();
            let first = read(&runtime, &disk).unwrap();
            for place in [Place::Member, Place::Joins, Place::Ready] {
                write(&disk, Stored { place, ..first }).unwrap();
                let good = disk.read_whole(FILE).unwrap();
                for bit in 0..good.len() * 8 {
                    let mut flipped = good.clone();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    assert_eq!(parse(&flipped), None, "bit {bit}");
                }
            }
        });
    }
}
