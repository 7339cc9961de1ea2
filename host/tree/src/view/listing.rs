//! Listing children in runs. Guests list in runs, because they must not keep a thread for the time
//! of a large listing.
//!
//! 1. [`View::list`] finds the znode and lists nothing yet.
//! 2. Each [`Listing::run`] visits a short run of children and holds the store's lock for this
//!    run only. Between two runs the caller may yield.
//! 3. Each child comes with its [`Place`], by which the view finds it faster than by its path.

use crate::View;

/// A znode's place in the store. It is valid only for the view whose listing returned it, and for
/// clones of this view: as long as they are open, the znode keeps its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub(super) u32);

/// A listing in progress.
///
/// - A listing holds its view, so it shows one zxid, however long it takes.
/// - A run visits 128 places at most, however many children there are.
/// - The names come in no order. A name may come twice, with the same place, if the child moved in
///   the store between two runs.
pub struct Listing {
    view: View,
    place: Place,
    /// The place before which the next run ends; zero after the last run.
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

    /// Shows the next children to `see`. Returns how many places it visited, places of children
    /// that the view does not show included; `None` when all children were shown.
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
