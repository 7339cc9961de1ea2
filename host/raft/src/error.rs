//! The errors of this crate. Each is a sentence that says what is wrong and what to do.

use std::io;

use innkeeper_runtime::Latest;
use innkeeper_tree::Digest;

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
    /// openraft could not start from the stored log and state.
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
        /// openraft's state at the time limit.
        state: String,
    },
    /// The node failed while it was opening.
    #[error("{0}")]
    Stopped(String),
}

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk returned an error.
    #[error(
        "the log cannot be read or written: {0}; check the disk and that this user may write the data folder"
    )]
    Io(#[from] io::Error),
    /// A record before the log's tail is damaged. Records after it were acknowledged, so the log
    /// must not be cut there.
    #[error(
        "log segment {segment} is damaged at byte {offset} ({what}) although later records are whole, so the disk lost or changed acknowledged data; restore the data folder from a backup or from another node"
    )]
    Corrupt {
        /// The segment's file.
        segment: String,
        /// The record's offset in the file, in bytes.
        offset: u64,
        /// The kind of damage.
        what: String,
    },
    /// A segment's end looks torn in one read and not in the next one.
    #[error(
        "two reads of log segment {segment} differ at byte {offset}, so the disk or the memory of this machine returns wrong data; check them and start the node again, since nothing was changed"
    )]
    Unsteady {
        /// The segment's file.
        segment: String,
        /// The first byte that differs.
        offset: u64,
    },
    /// A segment is missing.
    #[error(
        "the log has a hole before {segment}: the entries between {have} and {need} are missing; restore the data folder from a backup or from another node"
    )]
    Hole {
        /// The first file after the missing segment.
        segment: String,
        /// The last index before the missing segment.
        have: u64,
        /// The first index after the missing segment.
        need: u64,
    },
    /// A newer release has written the segment.
    #[error(
        "log segment {segment} has format version {found}, this release reads version {known}: start the release that wrote it"
    )]
    Version {
        /// The segment's file.
        segment: String,
        /// The format in the file.
        found: u32,
        /// The newest format that this release knows.
        known: u32,
    },
    /// A record could not be read back if it were written.
    #[error(
        "a record cannot be written to the log: {0}; nothing of it was written or acknowledged, so the node can be started again as it is"
    )]
    Unwritable(#[from] Unwritable),
    /// A record cannot be decoded.
    #[error(
        "log segment {segment} holds a record that cannot be read: {source}; start the release that wrote it, or restore the data folder from a backup or from another node"
    )]
    Codec {
        /// The segment's file.
        segment: String,
        /// The decoding error.
        #[source]
        source: CodecError,
    },
}

/// Why `state.redb` or `modules.redb` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// redb or the disk returned an error.
    #[error("{file} cannot be read or written: {why}; check the disk and its free space")]
    Store {
        /// The file.
        file: &'static str,
        /// redb's message.
        why: String,
    },
    /// A row could not be read back if it were written.
    #[error(
        "{file} cannot hold a part of the state: {why}; it was not written, and what is there is whole"
    )]
    Unwritable {
        /// The file.
        file: &'static str,
        /// The thing that is too long.
        why: String,
    },
    /// The file's content is damaged.
    #[error("{file} is damaged: {why}; restore the data folder from a backup or from another node")]
    Damaged {
        /// The file.
        file: &'static str,
        /// The kind of damage.
        why: String,
    },
    /// Written by a newer release.
    #[error(
        "{file} has format version {found}, this release reads version {known}: start the release that wrote it"
    )]
    Version {
        /// The file.
        file: &'static str,
        /// The format in the file.
        found: u8,
        /// The newest format that this release knows.
        known: u8,
    },
    /// The state has a feature level that this node does not support.
    #[error("the group uses the feature level {used}, and this node supports {known}: update it")]
    Level {
        /// The feature level in the state, or the one to which a command raises it.
        used: u32,
        /// The highest one that this node supports.
        known: u32,
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

/// Why a module could not be taken from another node.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No node has given it.
    #[error("no other node gives the module {digest}: {reasons}; push it again")]
    Nowhere {
        /// The module.
        digest: Digest,
        /// What each node said.
        reasons: String,
    },
    /// It cannot be stored here.
    #[error(transparent)]
    Store(#[from] StateError),
}

/// Why a read could not be confirmed. The caller may try again or ask the leader.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// This node does not lead, or a quorum did not confirm that it does.
    #[error("this node cannot prove that it leads: {0}; ask the leader or try again")]
    NotLeader(String),
    /// This node has stopped.
    #[error("{0}")]
    Stopped(String),
}

/// Why an operation was refused. Nothing was appended to the log for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// This node does not lead, or no longer leads.
    #[error("this node does not lead; try again")]
    NotLeader,
    /// The operation's command would be longer than the bound on commands.
    #[error(
        "it takes {bytes} bytes as a command, with what the `auth` entries in it become, and this node takes {limit} bytes at most; do less at a time, or raise jute.maxbuffer where that is the bound"
    )]
    TooLarge {
        /// The greatest possible number of the command's encoded bytes.
        bytes: usize,
        /// The bound in bytes.
        limit: usize,
    },
    /// A proposal in flight may write what the transaction read. The guest must run again.
    #[error("a write in flight changes what the transaction read; try again")]
    Doomed,
    /// The node is shutting down.
    #[error("the node is shutting down; try again when it runs")]
    ShuttingDown,
    /// The node has failed; the sentence has the reason.
    #[error("the node has stopped: {0}")]
    Stopped(String),
}

/// A node's fatal failure. Only the first one is kept.
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
