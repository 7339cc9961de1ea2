//! Which zxids a view can look at.

use std::sync::Arc;

use crate::Zxid;

/// A reference to what the views of one zxid look at. The horizon only counts the references: as
/// long as there is another one than its own, a view of that zxid is open.
pub(crate) type Held = Arc<dyn Send + Sync>;

/// The zxids of the open views, and the zxid of which the next view will be.
///
/// - `open` is in ascending order and holds each published zxid of which a view is still open.
/// - `published` is the newest one: a view of it may be taken at any moment.
pub(crate) struct Horizon {
    open: Vec<(u64, Held)>,
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

    /// Can a view see a version that was current from `from` until before `until`?
    pub(crate) fn sees(&self, from: u64, until: u64) -> bool {
        if from <= self.published && self.published < until {
            return true;
        }
        let at = self.open.partition_point(|(zxid, _)| *zxid < from);
        self.open.get(at).is_some_and(|(zxid, _)| *zxid < until)
    }

    /// The state at `published` takes the place of `replaced`, the state published before.
    /// Returns whether a view was closed since the last call.
    pub(crate) fn advance(&mut self, replaced: Held, published: Zxid) -> bool {
        let closed = self.release();
        // A state that only this list refers to has no view, and can get none: views are taken
        // of the newest state or by cloning a view.
        if Arc::strong_count(&replaced) > 1 {
            self.open.push((self.published, replaced));
        }
        self.published = published.0;
        closed
    }

    /// Forgets the zxids of which no view is open any more. Returns whether there were any.
    pub(crate) fn release(&mut self) -> bool {
        let before = self.open.len();
        self.open.retain(|(_, held)| Arc::strong_count(held) > 1);
        self.open.len() < before
    }

    /// The oldest zxid that a view looks at, or could begin to look at.
    pub(crate) fn oldest_visible(&self) -> u64 {
        self.open.first().map_or(self.published, |(zxid, _)| *zxid)
    }
}
