//! Sweeping: unused containers and znodes with a time to live are deleted without a client.
//!
//! 1. The leader's sweeper finds the unused znodes in a view ([`crate::View::sweepable`]) and
//!    proposes a command for each.
//! 2. Apply checks that the znode has not changed since. A znode that was set or got a child stays.
//!
//! **Invariant:** a sweep does nothing if the znode has changed since the sweeper looked at it.
//! (test: `an_outlived_znode_goes_and_one_that_is_set_stays`; script `sweeps`)

use super::Cause;
use crate::Tree;
use crate::applied::Applied;
use crate::command::Sweep;

impl Tree {
    pub(super) fn sweep(&mut self, sweep: &Sweep, applied: &mut Applied) {
        let store = self.store.clone();
        let mut change = self.change(&store);
        let unused = change.nodes.find(&sweep.path).filter(|slot| {
            change.nodes.body(*slot).is_some_and(|body| {
                body.owner().is_swept()
                    && body.num_children == 0
                    && body.mzxid == sweep.mzxid.0
                    && body.pzxid == sweep.pzxid.0
            })
        });
        let Some(slot) = unused else {
            return;
        };
        change.delete_unasked(sweep.path.clone(), slot);
        let done = change.commit(&store, &self.horizon);
        self.finish(done, Cause::default(), applied);
    }
}
