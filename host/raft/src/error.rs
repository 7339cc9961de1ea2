//! What can go wrong, in sentences.

use std::io;

use innkeeper_runtime::Latest;

use crate::codec::CodecError;
use crate::log::Unwritable;

/// Why a replica could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is out of range.
    #[error("a replication setting is wrong: {0}")]
    Settings(String),
    /// Another process has the data folder.
    #[error("{0}")]
    Locked(String),
    /// The data folder cannot be read or written.
    #[error(
        "the data folder cannot be used: {0}; check that it exists, that this user may read and write it, and that the disk has room"
    )]
    Folder(#[source] io::Error),
    /// The log is damaged.
    #[error(transparent)]
    Log(#[from] LogError),
    /// `state.redb` is damaged or of a newer version.
    #[error(transparent)]
    State(#[from] StateError),
    /// openraft could not start from what was found.
    #[error(
        "the log and the state do not fit together: {0}; restore the data folder from a backup"
    )]
    Inconsistent(String),
    /// The node did not become ready in time.
    #[error(
        "the node was not ready {seconds} s after it opened its log ({state}); if the log is long, raise the limit"
    )]
    NotReady {
        /// The limit, in seconds.
        seconds: u64,
        /// Where it stood.
        state: String,
    },
    /// It stopped while it was opening.
    #[error("{0}")]
    Stopped(String),
}

/// What is wrong with the log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk refused.
    #[error(
        "the log cannot be read or written: {0}; check the disk and that this user may write the data folder"
    )]
    Io(#[from] io::Error),
    /// A record in the middle is damaged: what follows it was acknowledged.
    #[error(
        "log segment {segment} is damaged at byte {offset} ({what}) although later records are whole, so the disk lost or changed acknowledged data; restore the data folder from a backup or from another node"
    )]
    Corrupt {
        /// The segment's file.
        segment: String,
        /// Where.
        offset: u64,
        /// How it shows.
        what: String,
    },
    /// A segment is missing.
    #[error(
        "the log has a hole before {segment}: the entries between {have} and {need} are missing; restore the data folder from a backup or from another node"
    )]
    Hole {
        /// The first file after the hole.
        segment: String,
        /// The last index that is there.
        have: u64,
        /// The first index after the hole.
        need: u64,
    },
    /// Written by a newer release.
    #[error(
        "log segment {segment} has format version {found}, this release reads version {known}: start the release that wrote it"
    )]
    Version {
        /// The segment's file.
        segment: String,
        /// What it says.
        found: u32,
        /// What this release writes.
        known: u32,
    },
    /// A record could not be read back if it were written.
    #[error(
        "a record cannot be written to the log: {0}; nothing of it was written or acknowledged, so the node can be started again as it is"
    )]
    Unwritable(#[from] Unwritable),
    /// A record does not decode.
    #[error("log segment {segment} holds a record that cannot be read: {source}")]
    Codec {
        /// The segment's file.
        segment: String,
        /// Why.
        #[source]
        source: CodecError,
    },
}

/// What is wrong with `state.redb` or `modules.redb`.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// redb or the disk refused.
    #[error("{file} cannot be read or written: {why}; check the disk and its free space")]
    Store {
        /// The file.
        file: &'static str,
        /// What redb says.
        why: String,
    },
    /// A row could not be read back if it were written.
    #[error(
        "{file} cannot hold a part of the state: {why}; it was not written, and what is there is whole"
    )]
    Unwritable {
        /// The file.
        file: &'static str,
        /// What does not fit.
        why: String,
    },
    /// It does not hold what it should.
    #[error("{file} is damaged: {why}; restore the data folder from a backup or from another node")]
    Damaged {
        /// The file.
        file: &'static str,
        /// How it shows.
        why: String,
    },
    /// Written by a newer release.
    #[error(
        "{file} has format version {found}, this release reads version {known}: start the release that wrote it"
    )]
    Version {
        /// The file.
        file: &'static str,
        /// What it says.
        found: u8,
        /// What this release writes.
        known: u8,
    },
}

impl StateError {
    pub(crate) fn store(file: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Store {
            file,
            why: why.to_string(),
        }
    }

    pub(crate) fn damaged(file: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Damaged {
            file,
            why: why.to_string(),
        }
    }
}

impl From<StateError> for io::Error {
    fn from(error: StateError) -> Self {
        io::Error::other(error)
    }
}

/// Why a read could not be confirmed: ask again, or ask the leader.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// This node does not lead, or could not prove that it does.
    #[error("this node cannot prove that it leads: {0}; ask the leader or try again")]
    NotLeader(String),
    /// This node has stopped.
    #[error("{0}")]
    Stopped(String),
}

/// Why the door refused an operation. Nothing was appended to the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// This node does not lead (any more).
    #[error("this node does not lead; try again")]
    NotLeader,
    /// Its command would be longer than the door's bound: it can never be proposed as it is.
    #[error(
        "it takes {bytes} bytes as a command, with what the `auth` entries in it become, and this node takes {limit} bytes at most; do less at a time, or raise jute.maxbuffer where that is the bound"
    )]
    TooLarge {
        /// The bytes of its command, the time at its longest.
        bytes: usize,
        /// The door's bound, in bytes.
        limit: usize,
    },
    /// A proposal in flight writes what the transaction read: run the guest again.
    #[error("a write in flight changes what the transaction read; try again")]
    Doomed,
    /// The node is shutting down.
    #[error("the node is shutting down; try again when it runs")]
    ShuttingDown,
    /// The node has failed and stops.
    #[error("the node has stopped: {0}")]
    Stopped(String),
}

/// The one place where a node's fatal failure is kept: the first sentence wins.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    first: Latest<Option<String>>,
}

impl Failure {
    pub(crate) fn new() -> Self {
        Self {
            first: Latest::new(None),
        }
    }

    /// Records a failure; the first one is logged and kept.
    pub(crate) fn fail(&self, sentence: impl Into<String>) -> String {
        let sentence = sentence.into();
        let is_first = self.first.update(|first| {
            let empty = first.is_none();
            if empty {
                *first = Some(sentence.clone());
            }
            empty
        });
        if is_first {
            tracing::error!("the node stops: {sentence}");
        }
        self.first.get().unwrap_or(sentence)
    }

    pub(crate) fn get(&self) -> Option<String> {
        self.first.get()
    }

    pub(crate) async fn failed(&self) -> String {
        self.first
            .wait_for(Option::is_some)
            .await
            .unwrap_or_default()
    }
}
