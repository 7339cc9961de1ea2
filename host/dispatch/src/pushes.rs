//! Pushes: each is answered at once, and its author asks for its state until it has ended.
//!
//! 1. [`Guests::push`] takes the bytes, unless too many wait already, and returns a [`Push`]. Its
//!    name ([`PushName`]) is the SHA-256 of the bytes and this node's number, so a second push of the
//!    same bytes joins it, and every node of the group knows whom to ask about it.
//! 2. Its task joins the module's compilation, stores the component durably, loads it, waits until
//!    a quorum of the group stores it (`copies`), and registers its name by a command.
//! 3. An author who asks sees the state ([`PushState`]) and may wait for the next one. A push that
//!    nobody has asked about for [`push_idle_ms`](crate::settings::CompileSettings::push_idle_ms)
//!    is cancelled, and so is one on request: its compilation goes on only if another task waits
//!    for it.
//!    Another node asks on behalf of an author who asks there (`elsewhere`).
//! 4. The states of the last [`ENDED_MAX`] pushes that ended are kept, for authors who ask late.
//!
//! **Invariant:** a push is answered at once, and a push that is cancelled or forgotten leaves no
//! child process behind. (tests: `a_push_is_answered_at_once_and_can_be_asked`,
//! `a_cancelled_push_leaves_no_child`, `the_same_bytes_pushed_twice_are_compiled_once`)

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use innkeeper_runtime::{Instant, Latest, Runtime, Select3, Signal, ThreadRole, select2, select3};
use innkeeper_server::copies::Copies;
use innkeeper_tree::{Digest, Operation};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::Guests;
use super::compile::{Stage, Wanted};
use super::modules::{PushError, Pushed};

/// Pushes that may be under way at a time.
const UNDER_WAY_MAX: usize = 32;

/// The bytes of all pushes that are under way.
const UNDER_WAY_BYTES_MAX: usize = 128 << 20;

/// Ended pushes that are remembered.
const ENDED_MAX: usize = 64;

/// The name of a push: `sha256:HEX@NODE`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PushName {
    /// The SHA-256 of what was pushed.
    pub pushed: Digest,
    /// The number of the node that took it. A name without it is of a push at the node that is asked.
    pub node: Option<u64>,
}

impl fmt::Display for PushName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pushed)?;
        match self.node {
            Some(node) => write!(f, "@{node}"),
            None => Ok(()),
        }
    }
}

/// A text is the name of no push.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a push's name is `sha256:`, 64 hexadecimal digits, `@` and the number of a node")]
pub struct NoPushName;

impl FromStr for PushName {
    type Err = NoPushName;

    fn from_str(text: &str) -> Result<Self, NoPushName> {
        let (pushed, node) = match text.split_once('@') {
            Some((pushed, node)) => {
                // One push has one name.
                let is_plain = !node.starts_with('+') && (node == "0" || !node.starts_with('0'));
                let node = node.parse().ok().filter(|_| is_plain);
                (pushed, Some(node.ok_or(NoPushName)?))
            }
            None => (text, None),
        };
        let pushed = pushed.parse().map_err(|_| NoPushName)?;
        Ok(Self { pushed, node })
    }
}

/// The state of a push.
#[derive(Clone, Debug)]
pub enum PushState {
    /// Others are compiled before it; again, if it was slow while others waited.
    Waiting,
    /// It is compiled, since this wall-clock time in milliseconds since 1970.
    Compiling {
        /// The wall clock at its beginning, in milliseconds since 1970.
        since_ms: u64,
    },
    /// It waits until so many voters of the group store it.
    Storing(Copies),
    /// Bindings may name it.
    Ready(Pushed),
    /// It failed.
    Failed(Arc<PushError>),
    /// Its author cancelled it, or nobody asked about it.
    Cancelled,
}

impl PushState {
    /// Whether the push is over.
    pub fn is_over(&self) -> bool {
        match self {
            PushState::Waiting | PushState::Compiling { .. } | PushState::Storing(_) => false,
            PushState::Ready(_) | PushState::Failed(_) | PushState::Cancelled => true,
        }
    }
}

/// One push; clones are the same.
#[derive(Clone)]
pub struct Push<R: Runtime> {
    runtime: R,
    shared: Arc<SharedPush>,
}

struct SharedPush {
    id: Digest,
    /// The node that takes it: this one.
    node: Option<u64>,
    state: Latest<PushState>,
    cancel: Signal,
    /// How many wait for its state at this moment.
    asking: AtomicUsize,
    asked: Mutex<Instant>,
    /// How long nobody may ask.
    idle: Duration,
}

/// The pushes of one node.
#[derive(Default)]
pub(super) struct Pushes {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    all: FxHashMap<Digest, Known>,
    /// Those that are over, the oldest first.
    ended: VecDeque<Digest>,
}

struct Known {
    push: Arc<SharedPush>,
    /// Of those that are under way; 0 afterwards.
    bytes: usize,
}

impl<R: Runtime> Push<R> {
    /// Its name, for every node of the group.
    pub fn name(&self) -> PushName {
        PushName {
            pushed: self.shared.id,
            node: self.shared.node,
        }
    }

    /// The SHA-256 of what was pushed.
    pub(super) fn id(&self) -> Digest {
        self.shared.id
    }

    /// How far it is. Asking keeps it alive.
    pub fn state(&self) -> PushState {
        *self.shared.asked.lock() = self.runtime.now();
        self.shared.state.get()
    }

    /// Waits until it is over, but no longer than `limit`; how far it is then. Waiting keeps it
    /// alive, and so does having waited.
    pub async fn wait(&self, limit: Duration) -> PushState {
        let _asking = Asking::begin(self);
        let over = self.shared.state.wait_for(PushState::is_over);
        match self.runtime.timeout(limit, over).await {
            Ok(state) => state,
            Err(_) => self.shared.state.get(),
        }
    }

    /// Ends it, unless it is over; how far it is then.
    pub async fn cancel(&self) -> PushState {
        self.shared.cancel.raise();
        self.shared.state.wait_for(PushState::is_over).await
    }

    /// Returns when nobody has asked for too long.
    async fn forsaken(&self) {
        loop {
            let asked = *self.shared.asked.lock();
            let deadline = asked + self.shared.idle;
            if self.shared.asking.load(Ordering::SeqCst) > 0 {
                self.runtime.sleep(self.shared.idle).await;
            } else if self.runtime.now() >= deadline {
                return;
            } else {
                self.runtime.sleep_until(deadline).await;
            }
        }
    }
}

/// Somebody waits for a push's state.
struct Asking<'a, R: Runtime> {
    push: &'a Push<R>,
}

impl<'a, R: Runtime> Asking<'a, R> {
    fn begin(push: &'a Push<R>) -> Asking<'a, R> {
        push.shared.asking.fetch_add(1, Ordering::SeqCst);
        Asking { push }
    }
}

impl<R: Runtime> Drop for Asking<'_, R> {
    fn drop(&mut self) {
        *self.push.shared.asked.lock() = self.push.runtime.now();
        self.push.shared.asking.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Inner {
    fn under_way(&self) -> (usize, usize) {
        let bytes = self.all.values().map(|known| known.bytes);
        (self.all.len() - self.ended.len(), bytes.sum())
    }

    fn ended(&mut self, id: Digest) {
        let Some(known) = self.all.get_mut(&id) else {
            return;
        };
        known.bytes = 0;
        self.ended.push_back(id);
        if self.ended.len() > ENDED_MAX
            && let Some(oldest) = self.ended.pop_front()
        {
            self.all.remove(&oldest);
        }
    }
}

impl<R: Runtime> Guests<R> {
    /// Takes a component or a core module: it is compiled, stored durably, and its name is
    /// registered. This answers at once; the [`Push`] tells what becomes of it. Pushing the same
    /// bytes again is harmless. An error is of what can be seen at a glance.
    pub fn push(&self, pushed: Bytes) -> Result<Push<R>, PushError> {
        innkeeper_sandbox::check_pushed(&pushed, self.module_bytes_max())?;
        let id = innkeeper_sandbox::digest_of(&pushed);
        let now = self.shared.runtime.now();
        let mut inner = self.shared.pushes.inner.lock();
        if let Some(known) = inner.all.get(&id) {
            let push = self.handle(known.push.clone());
            match push.state() {
                PushState::Ready(taken) if self.is_here(&taken) => return Ok(push),
                state if !state.is_over() => return Ok(push),
                _ => {}
            }
            inner.ended.retain(|other| *other != id);
            inner.all.remove(&id);
        }
        let (count, bytes) = inner.under_way();
        if count >= UNDER_WAY_MAX || bytes + pushed.len() > UNDER_WAY_BYTES_MAX {
            return Err(PushError::Busy { count });
        }
        let push = Arc::new(SharedPush {
            id,
            node: self.own_number(),
            state: Latest::new(PushState::Waiting),
            cancel: Signal::new(),
            asking: AtomicUsize::new(0),
            asked: Mutex::new(now),
            idle: Duration::from_millis(self.shared.push_idle_ms),
        });
        let known = Known {
            push: push.clone(),
            bytes: pushed.len(),
        };
        inner.all.insert(id, known);
        drop(inner);
        let push = self.handle(push);
        let (this, task) = (self.clone(), push.clone());
        let run = async move { this.run_push(task, pushed).await };
        self.shared.runtime.spawn(ThreadRole::Client, run).detach();
        Ok(push)
    }

    /// The push of that name, if this node took it and it is under way or ended not long ago.
    pub fn find_push(&self, name: PushName) -> Option<Push<R>> {
        let is_here = name.node.is_none() || name.node == self.own_number();
        if is_here {
            self.pushed_here(name.pushed)
        } else {
            None
        }
    }

    /// The push of what has this digest.
    pub(super) fn pushed_here(&self, id: Digest) -> Option<Push<R>> {
        let inner = self.shared.pushes.inner.lock();
        let known = inner.all.get(&id)?;
        Some(self.handle(known.push.clone()))
    }

    fn handle(&self, shared: Arc<SharedPush>) -> Push<R> {
        Push {
            runtime: self.shared.runtime.clone(),
            shared,
        }
    }

    /// Whether what was pushed is still what bindings may name, and can run without compiling.
    fn is_here(&self, taken: &Pushed) -> bool {
        let view = self.shared.reader.view();
        view.modules().contains_key(&taken.digest) && self.compiled(taken.digest).is_some()
    }

    /// What was pushed, if it is a component that is registered, stored and compiled already, or a
    /// core module of which such a one was made: an earlier process of the node took it.
    async fn known(&self, id: Digest) -> Result<Option<Pushed>, PushError> {
        let made = self.made_of(id).await?;
        let digest = made.unwrap_or(id);
        let Some(info) = self.shared.reader.view().modules().get(&digest).copied() else {
            return Ok(None);
        };
        let stored = self.shared.store.get(digest).await;
        let stored = stored.map_err(|error| PushError::Store(error.to_string()))?;
        if stored.is_none() || self.load_kept(digest).await?.is_none() {
            return Ok(None);
        }
        self.look_again(digest);
        Ok(Some(Pushed {
            digest,
            world: info.world,
            size: info.size,
            made_component: made.is_some(),
        }))
    }

    async fn run_push(&self, push: Push<R>, pushed: Bytes) {
        let unwanted = async {
            select2(push.shared.cancel.wait(), push.forsaken()).await;
        };
        let stopping = self.shared.stopping.wait();
        let work = self.take(&push, pushed);
        let state = match select3(work, unwanted, stopping).await {
            Select3::First(Ok(taken)) => PushState::Ready(taken),
            Select3::First(Err(error)) => PushState::Failed(Arc::new(error)),
            Select3::Second(()) | Select3::Third(()) => PushState::Cancelled,
        };
        match &state {
            PushState::Ready(taken) => tracing::info!(
                event = "module-pushed",
                module = %taken.digest,
                bytes = taken.size,
                "the {} {} was pushed, and bindings may name it",
                taken.world,
                taken.digest
            ),
            PushState::Failed(error) if error.is_the_hosts() => tracing::warn!(
                event = "module-refused",
                pushed = %push.id(),
                "a module was pushed and is not taken: {error}"
            ),
            PushState::Failed(error) => tracing::info!(
                event = "module-refused",
                pushed = %push.id(),
                "a module was pushed and is not taken: {error}"
            ),
            _ => tracing::debug!(pushed = %push.id(), "a push was cancelled"),
        }
        self.shared.pushes.inner.lock().ended(push.id());
        push.shared.state.set(state);
    }

    async fn take(&self, push: &Push<R>, pushed: Bytes) -> Result<Pushed, PushError> {
        if let Some(taken) = self.known(push.id()).await? {
            return Ok(taken);
        }
        let compilations = &self.shared.compilations;
        let mut compilation = compilations.join(push.id(), pushed.clone(), Wanted::ByPush);
        let mut stage = compilation.stage();
        let done = loop {
            match stage {
                Stage::Waiting => push.shared.state.set(PushState::Waiting),
                Stage::Compiling { since_ms } => {
                    push.shared.state.set(PushState::Compiling { since_ms });
                }
                Stage::Over(result) => break result?,
            }
            stage = compilation.changed().await;
        };
        let made_component = done.made.is_some();
        let component = done.made.unwrap_or(pushed);
        let size = component.len() as u64;
        let stored = self.shared.store.put(component).await;
        let digest = stored.map_err(|error| PushError::Store(error.to_string()))?;
        let core = made_component.then(|| push.id());
        let module = self.load(digest, core, done.artifact).await?;
        let taken = Pushed {
            digest,
            world: module.world(),
            size,
            made_component,
        };
        self.wait_for_copies(push, digest).await;
        self.ensure_folders().await?;
        self.propose(|ticket| Operation::RegisterModule {
            ticket,
            digest: taken.digest,
            size: taken.size,
            world: taken.world,
        })
        .await?;
        self.look_again(digest);
        Ok(taken)
    }

    /// Waits until a quorum of the group stores a module, which this node stores.
    async fn wait_for_copies(&self, push: &Push<R>, module: Digest) {
        if let Some(service) = self.service_in_group() {
            let tell = |copies| push.shared.state.set(PushState::Storing(copies));
            service.is_stored_by_quorum(module, tell).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_has_one_name() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for node in ["", "@0", "@1", "@18446744073709551615"] {
            let text = format!("{digest}{node}");
            assert_eq!(text.parse::<PushName>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "@1",
            "x@1",
            &format!("{digest}@"),
            &format!("{digest}@-1"),
            &format!("{digest}@+1"),
            &format!("{digest}@01"),
            &format!("{digest}@1@1"),
            &format!("{digest}@18446744073709551616"),
        ] {
            assert_eq!(text.parse::<PushName>(), Err(NoPushName), "{text}");
        }
    }
}
