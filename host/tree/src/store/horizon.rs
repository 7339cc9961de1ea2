//! Which zxids someone can look at.

use std::sync::Arc;

use super::Epoch;
use crate::Zxid;

/// The zxids of the open views, and of the one that could be taken now.
///
/// - `open` is ascending and holds each published epoch that some view still refers to.
/// - `published` is the newest: views of it may be taken at any moment.
pub(crate) struct Horizon {
    open: Vec<(u64, Arc<Epoch>)>,
    published: u64,
}

impl Horizon {
    pub(crate) fn new(published: Zxid) -> Horizon {
        Horizon {
            open: Vec::new(),
            published: published.0,
        }
    }

    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    /// Can anyone see a version that was current from `from` until before `until`?
    pub(super) fn sees(&self, from: u64, until: u64) -> bool {
        if from <= self.published && self.published < until {
            return true;
        }
        let at = self.open.partition_point(|(zxid, _)| *zxid < from);
        self.open.get(at).is_some_and(|(zxid, _)| *zxid < until)
    }

    /// A newer epoch was published in the place of `replaced`. Says whether a view has gone
    /// since the last time.
    pub(crate) fn advance(&mut self, replaced: Arc<Epoch>, published: Zxid) -> bool {
        let gone = self.release();
        // An epoch that only this list refers to has no view, and can get none: views are
        // taken of the newest epoch or by cloning a view.
        if Arc::strong_count(&replaced) > 1 {
            self.open.push((replaced.zxid.0, replaced));
        }
        self.published = published.0;
        gone
    }

    /// Forgets the epochs that have no view any more, and says whether there were any.
    pub(crate) fn release(&mut self) -> bool {
        let before = self.open.len();
        self.open.retain(|(_, epoch)| Arc::strong_count(epoch) > 1);
        self.open.len() < before
    }

    /// The oldest zxid at which anyone may look, or could begin to.
    pub(crate) fn oldest_visible(&self) -> u64 {
        self.open.first().map_or(self.published, |(zxid, _)| *zxid)
    }
}
