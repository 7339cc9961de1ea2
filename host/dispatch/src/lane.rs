//! Which threads a guest's task runs on.
//!
//! 1. It begins as [`ThreadRole::Guest`], and stays there whenever it does not run its guest, and as long
//!    as its binding is light ([`Account::wants_spare_thread`]).
//! 2. While the guest of a heavy binding runs, it moves to [`ThreadRole::Spare`], between two turns:
//!    threads that run only where a processor has nothing else to do. So who computes for long
//!    costs clients nothing, and is as fast as ever on a node with time to spare.
//! 3. On a node without, it must not stand still. A turn that took long there was kept from its
//!    processor by others; half of that time it may then run as [`ThreadRole::Guest`].

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use innkeeper_runtime::{Runtime, ThreadRole};
use innkeeper_sandbox::Account;
use parking_lot::Mutex;

/// A poll on a spare thread that took longer was kept from its processor: a turn is about 100
/// microseconds of fuel.
const KEPT: Duration = Duration::from_millis(5);

/// The most that a task may run as a light one after it was kept.
const CREDIT_MOST: Duration = Duration::from_millis(250);

/// What says whether a task is heavy: the account of the binding that it works for. Clones are
/// the same lane.
#[derive(Clone, Default)]
pub(super) struct Lane {
    account: Arc<Mutex<Option<Arc<Account>>>>,
}

impl Lane {
    /// The lane of one account.
    pub(super) fn of(account: &Arc<Account>) -> Lane {
        let lane = Lane::default();
        lane.follow(account);
        lane
    }

    /// From now on this account says it.
    pub(super) fn follow(&self, account: &Arc<Account>) {
        *self.account.lock() = Some(Arc::clone(account));
    }

    fn wants_spare_thread(&self) -> bool {
        let account = self.account.lock();
        account
            .as_ref()
            .is_some_and(|account| account.wants_spare_thread())
    }
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs `work` to its end, on the threads that its lane says.
pub(super) fn spawn<R: Runtime>(runtime: &R, lane: &Lane, work: Work) {
    spawn_as(
        runtime,
        lane.clone(),
        work,
        ThreadRole::Guest,
        Duration::ZERO,
    );
}

fn spawn_as<R: Runtime>(runtime: &R, lane: Lane, work: Work, role: ThreadRole, credit: Duration) {
    let drive = drive(runtime.clone(), lane, work, role, credit);
    runtime.spawn(role, drive).detach();
}

async fn drive<R: Runtime>(
    runtime: R,
    lane: Lane,
    mut work: Work,
    role: ThreadRole,
    mut credit: Duration,
) {
    // The first poll counts from here: a spare thread may come late to it.
    let mut began = Some(runtime.now());
    let moves_to = poll_fn(|cx| {
        let began = began.take().unwrap_or_else(|| runtime.now());
        let polled = work.as_mut().poll(cx);
        let took = runtime.now() - began;
        credit = match role {
            ThreadRole::Spare if took > KEPT => (credit + took / 2).min(CREDIT_MOST),
            ThreadRole::Spare => credit,
            _ => credit.saturating_sub(took),
        };
        if polled.is_ready() {
            return Poll::Ready(None);
        }
        let wanted = match lane.wants_spare_thread() && credit.is_zero() {
            true => ThreadRole::Spare,
            false => ThreadRole::Guest,
        };
        match wanted == role {
            true => Poll::Pending,
            false => Poll::Ready(Some(wanted)),
        }
    });
    if let Some(role) = moves_to.await {
        spawn_as(&runtime, lane, work, role, credit);
    }
}
