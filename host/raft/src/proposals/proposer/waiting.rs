//! When the proposer may propose, and what it waits for.

use std::future::pending;
use std::time::Duration;

use innkeeper_runtime::{Instant, Runtime, Select4, select2, select4};
use openraft::async_runtime::watch::WatchReceiver;

use super::{Around, Proposer};
use crate::disk_progress::DiskProgress;
use crate::proposals::Submission;
use crate::standing::Standing;

/// The proposer does not wait for less than this: timers are not finer, and clients do not notice.
const PACED_AHEAD: Duration = Duration::from_millis(1);

/// Why the proposer goes on.
pub(super) enum Event {
    More(Submission),
    Look,
    Stop,
}

impl<R: Runtime> Proposer<R> {
    /// May this node propose a batch right now?
    pub(super) fn may_propose(&self) -> bool {
        self.has_turn() && !self.is_behind() && self.paced().is_none()
    }

    /// May this node propose a batch, if its disk is not behind and it need not wait for a time?
    fn has_turn(&self) -> bool {
        matches!(self.standing, Standing::Leads { .. })
            && self.flights.len() < self.around.settings.batches_in_flight
            && self.around.failure.get().is_none()
    }

    /// Is the lag of the checkpoints at its bound, or what the log has not synced?
    fn is_behind(&self) -> bool {
        let Around {
            checkpointer, log, ..
        } = &self.around;
        checkpointer.lag.is_full(self.flights.weight()) || log.is_full(0)
    }

    /// The time until which the proposer must wait, because of its pace or for a lease.
    fn paced(&self) -> Option<Instant> {
        let now = self.around.runtime.now();
        let paced = self.paced.filter(|paced| *paced > now + PACED_AHEAD);
        let lapsed = self.lapsed.filter(|lapsed| *lapsed > now);
        paced.into_iter().chain(lapsed).max()
    }

    /// Waits until there is something to do.
    pub(super) async fn wait(&mut self) -> Event {
        // Other threads make room at any moment, and time passes, also since the last look. So
        // this listens before it looks, and looks once: if one look found no room and the next one
        // found some, it would neither propose nor wait for room.
        let (log, durable) = (
            self.around.log.clone(),
            self.around.checkpointer.durable.clone(),
        );
        let disk = DiskProgress::listen(&log, &durable);
        let (behind, paced) = (self.is_behind(), self.paced());
        let may_propose = self.has_turn() && !behind && paced.is_none();
        let hungry = self.waiting.is_empty();
        if !hungry && may_propose {
            return Event::Look;
        }
        let leads = matches!(self.standing, Standing::Leads { .. });
        // If nothing can be proposed, the end of a batch in flight wakes the task anyway.
        let held = self.fairness.deadline();
        let paced = paced.filter(|_| !hungry || held.is_some());
        let held = held.filter(|_| may_propose);
        let deadline = [held, paced].into_iter().flatten().min();
        let Around {
            runtime,
            state,
            failure,
            intake,
            stop,
            ..
        } = &self.around;
        let queue = &mut self.queue;
        let more = async {
            match hungry {
                true => queue.recv().await,
                false => pending().await,
            }
        };
        let others = async {
            match hungry && leads {
                true => intake.arrived().await,
                false => pending().await,
            }
        };
        // A change that came after the last look ends the wait at once.
        let mut server = self.server.clone();
        let changed = async {
            let moved = async {
                if server.changed().await.is_err() {
                    pending::<()>().await;
                }
            };
            select2(state.advanced.notified(), moved).await;
        };
        let due = async {
            let room = async {
                match behind {
                    true => disk.comes().await,
                    false => pending().await,
                }
            };
            let time_comes = async {
                match deadline {
                    Some(at) => runtime.sleep_until(at).await,
                    None => pending().await,
                }
            };
            select2(room, time_comes).await;
        };
        let end = async {
            select2(stop.wait(), failure.failed()).await;
        };
        match select4(end, select2(changed, others), more, due).await {
            Select4::First(()) | Select4::Third(None) => Event::Stop,
            Select4::Third(Some(submission)) => Event::More(submission),
            Select4::Second(_) | Select4::Fourth(()) => Event::Look,
        }
    }
}
