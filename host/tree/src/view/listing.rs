//! Listing children in runs, for readers that must not keep a thread for as long as a large
//! listing takes: guests.
//!
//! 1. [`View::list`] finds the znode; nothing is listed yet.
//! 2. Each [`Listing::run`] looks at a short run of its children, under one hold of the
//!    store's lock. What the caller does between two runs is its own affair: it may yield.
//! 3. A child comes with its [`Place`], by which the view finds it without its path.

use crate::View;

/// Where a znode stands in the store. It means something only to the view whose listing gave
/// it (or a clone of that view), which sees the znode and so keeps it in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub(super) u32);

/// A listing in progress.
///
/// - It holds its view, so it is of one moment, however long it takes.
/// - A run costs the same, however many children there are: 128 places at most.
/// - The order of the names is none, and a name may come twice (with one place), when a
///   child moved in the store between two runs.
pub struct Listing {
    view: View,
    place: Place,
    /// Where the next run ends; zero when nothing is left.
    end: usize,
}

impl Listing {
    pub(super) fn new(view: View, place: Place) -> Listing {
        Listing {
            view,
            place,
            end: usize::MAX,
        }
    }

    /// Shows the next children; says how many places it looked at, or `None` when all have
    /// been shown. Places of children that the view does not see are looked at as well.
    /// (test: `a_listing_in_runs_finds_what_a_listing_finds`)
    pub fn run(&mut self, see: &mut dyn FnMut(&str, Place)) -> Option<usize> {
        if self.end == 0 {
            return None;
        }
        let (next, looked_at) = self.view.store().names_before(
            self.place.0,
            self.view.zxid(),
            self.end,
            &mut |name, slot| see(name, Place(slot)),
        );
        self.end = next;
        Some(looked_at)
    }
}
