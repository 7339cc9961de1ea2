//! The instances of one set: checked out, loaded when there are too few, and lost.

use std::collections::VecDeque;
use std::sync::Arc;

use innkeeper_tree::View;
use innkeeper_tree::path::BINDINGS;
use tokio::sync::oneshot;

use super::{AuthorizerState, Instance, Shared, Undecided};
use crate::clock::{Outer, until};
use crate::failure::{FailureKind, GuestFailure, Stopped};
use crate::fair::Held;
use crate::linked::Linked;
use crate::overlay::Overlay;
use crate::text::GuestText;
use crate::wasi::{Seed, Wasi};

impl Shared {
    /// An idle instance, or else the first that becomes idle or is loaded.
    pub(super) async fn check_out(self: &Arc<Self>) -> Result<CheckedOut, Undecided> {
        let waits = {
            let mut state = self.state.lock();
            match state.idle.pop() {
                Some(instance) => return Ok(CheckedOut::new(self, instance)),
                None => {
                    let (sender, receiver) = oneshot::channel();
                    state.waiting.push_back(sender);
                    Waits {
                        shared: self,
                        receiver,
                    }
                }
            }
        };
        self.load_if_needed();
        waits.instance().await
    }

    /// Starts a load, if a request waits, no load runs, and there is room for one more instance.
    fn load_if_needed(self: &Arc<Self>) {
        let further = {
            let mut state = self.state.lock();
            // Checked first: while a load runs, every request comes here.
            if state.is_loading || state.instances >= state.instances_max {
                return;
            }
            state.waiting.retain(|waiter| !waiter.is_closed());
            if state.waiting.is_empty() {
                return;
            }
            let further = match state.instances {
                0 => None,
                // The others serve; this one would only be faster.
                _ => match self
                    .sandbox
                    .further_authorizer(&self.account, &self.definition)
                {
                    Some(held) => Some(held),
                    None => return,
                },
            };
            state.is_loading = true;
            state.instances += 1;
            further
        };
        let loading = Loading {
            shared: Arc::clone(self),
            is_over: false,
        };
        let load = Box::pin(async move {
            let loaded = loading.shared.load(further).await;
            loading.ends(loaded);
        });
        (self.run_load)(&self.account, load);
    }

    async fn load(&self, further: Option<Held>) -> Result<Instance, Undecided> {
        let failed = Undecided::failed;
        let Linked { yielding, pre, .. } = &self.module.0;
        // Checked before it waits for a place, too: the set may be asked no more.
        if !self.is_current(&self.reader.view()) {
            return Err(Undecided::Stale);
        }
        let held = match further {
            Some(held) => held,
            None => {
                let first = self
                    .sandbox
                    .first_authorizer(&self.account, &self.definition);
                first.await.map_err(failed)?
            }
        };
        let view = self.reader.view();
        if !self.is_current(&view) {
            return Err(Undecided::Stale);
        }
        let limits = &self.definition.limits;
        let state = AuthorizerState {
            common: self
                .sandbox
                .common(&self.definition, Outer::Nothing, self.wasi(&view)),
            policy: Some(Overlay::new(
                view,
                Arc::clone(&self.definition),
                Arc::clone(self.sandbox.settings()),
                0,
            )),
        };
        let store = self.sandbox.store(pre.engine(), *yielding, state, limits);
        let mut store = store.map_err(failed)?;
        let deadline = Arc::clone(store.data().common.budget.deadline());
        let loading = async {
            let guest = pre
                .instantiate_async(&mut store)
                .await
                .map_err(Stopped::Starting)?;
            let loaded = guest.call_load(&mut store).await;
            Ok::<_, Stopped>((guest, loaded.map_err(Stopped::Running)?))
        };
        let loading = until(&deadline, yielding.in_a_row, loading);
        let (loaded, charged) = self.sandbox.in_turns(&self.account, loading).await;
        let fuel = limits.fuel - store.get_fuel().unwrap_or(0);
        self.account.charge(fuel.saturating_sub(charged));
        let loaded = match loaded {
            Ok(Ok((guest, Ok(())))) => Ok(guest),
            Ok(Ok((_, Err(text)))) => Err(GuestFailure::new(
                FailureKind::Returned,
                GuestText::new(format_args!("load: {text}")),
            )),
            Ok(Err(stopped)) => Err(stopped.failure(store.data().common.budget.last_error())),
            Err(cut_off) => Err(cut_off),
        };
        let state = store.data_mut();
        state.common.end_call();
        // From here on decisions depend on nothing but what was loaded; the view is let go.
        let mut policy = state.policy.take();
        let refused = policy.as_mut().and_then(Overlay::take_refused);
        let loaded = state.common.budget.tell_refused(refused, loaded);
        let logs = std::mem::take(&mut state.common.budget.logs);
        match loaded {
            Ok(guest) => Ok(Instance {
                store,
                guest,
                calls: 0,
                load_fuel: fuel,
                logs,
                _held: held,
            }),
            Err(failure) => Err(Undecided::Failed {
                failure,
                logs,
                is_booked: false,
            }),
        }
    }

    /// Its clock stands at the time when the binding was made, and its randomness depends on the
    /// policy alone: two instances that differ in either would decide differently.
    fn wasi(&self, view: &View) -> Wasi {
        let document = view.exists(&format!("{BINDINGS}/{}", self.binding));
        let made_ms = document.map_or(0, |(stat, _)| stat.ctime.max(0) as u64);
        let seed = Seed::of("authorizer")
            .and(self.binding.as_bytes())
            .and(&self.policy_zxid.0.to_be_bytes());
        Wasi::new(made_ms, seed)
    }

    fn is_current(&self, view: &View) -> bool {
        view.bindings().get(&self.binding).is_some_and(|binding| {
            binding.active.is_some() && binding.policy_zxid == self.policy_zxid
        })
    }

    /// Gives an instance to the first request that waits, or keeps it as idle.
    fn put(self: &Arc<Self>, mut instance: Instance) {
        let mut state = self.state.lock();
        while let Some(waiter) = state.waiting.pop_front() {
            match waiter.send(Ok(instance)) {
                Ok(()) => return,
                // It went away meanwhile.
                Err(Ok(back)) => instance = back,
                Err(Err(_)) => unreachable!("an instance was sent"),
            }
        }
        state.idle.push(instance);
    }

    /// An instance is gone.
    fn lost(self: &Arc<Self>) {
        self.state.lock().instances -= 1;
        self.load_if_needed();
    }
}

/// A request that waits for an instance.
struct Waits<'a> {
    shared: &'a Arc<Shared>,
    receiver: oneshot::Receiver<Result<Instance, Undecided>>,
}

impl Waits<'_> {
    async fn instance(mut self) -> Result<CheckedOut, Undecided> {
        match (&mut self.receiver).await {
            Ok(Ok(instance)) => Ok(CheckedOut::new(self.shared, instance)),
            Ok(Err(undecided)) => Err(undecided),
            Err(_) => Err(Undecided::failed(GuestFailure::new(
                FailureKind::Host,
                "its load was stopped, because the node stops",
            ))),
        }
    }
}

impl Drop for Waits<'_> {
    /// An instance that came at the moment when the request went away goes to the next request.
    fn drop(&mut self) {
        self.receiver.close();
        if let Ok(Ok(instance)) = self.receiver.try_recv() {
            self.shared.put(instance);
        }
    }
}

/// An instance that decides one request. Unless it is given back, it is dropped: a trap or a
/// request that went away in the middle leaves it in no state to be asked again.
pub(super) struct CheckedOut {
    pub(super) instance: Instance,
    // Last: the instance is gone before others are told of it.
    seat: Seat,
}

/// A guard that makes the set notice that an instance is gone.
struct Seat {
    shared: Arc<Shared>,
    is_kept: bool,
}

impl CheckedOut {
    fn new(shared: &Arc<Shared>, instance: Instance) -> CheckedOut {
        CheckedOut {
            instance,
            seat: Seat {
                shared: Arc::clone(shared),
                is_kept: false,
            },
        }
    }

    pub(super) fn give_back(self) {
        let CheckedOut { instance, mut seat } = self;
        seat.is_kept = true;
        seat.shared.put(instance);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.is_kept {
            self.shared.lost();
        }
    }
}

/// A load that runs.
struct Loading {
    shared: Arc<Shared>,
    is_over: bool,
}

impl Loading {
    fn ends(mut self, loaded: Result<Instance, Undecided>) {
        self.is_over = true;
        let shared = &self.shared;
        let told = {
            let mut state = shared.state.lock();
            state.is_loading = false;
            match &loaded {
                Ok(_) => VecDeque::new(),
                Err(_) => {
                    state.instances -= 1;
                    if state.instances > 0 {
                        // Those that are there go on, and no further one is tried.
                        state.instances_max = state.instances;
                        VecDeque::new()
                    } else {
                        std::mem::take(&mut state.waiting)
                    }
                }
            }
        };
        match loaded {
            Ok(instance) => shared.put(instance),
            Err(undecided) => tell(told, undecided),
        }
        shared.load_if_needed();
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        if !self.is_over {
            let mut state = self.shared.state.lock();
            state.is_loading = false;
            state.instances -= 1;
            // Dropping their senders tells them.
            let waiting = match state.instances {
                0 => std::mem::take(&mut state.waiting),
                _ => VecDeque::new(),
            };
            drop(state);
            drop(waiting);
        }
    }
}

/// Tells all requests that waited for a load that there is no instance; the first that is still
/// there books the failure.
fn tell(waiting: VecDeque<oneshot::Sender<Result<Instance, Undecided>>>, undecided: Undecided) {
    let mut undecided = undecided;
    for waiter in waiting {
        if waiter.send(Err(undecided.clone())).is_ok()
            && let Undecided::Failed {
                logs, is_booked, ..
            } = &mut undecided
        {
            logs.clear();
            *is_booked = true;
        }
    }
}
