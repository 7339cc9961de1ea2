//! Modules. Each is pushed at one node, stored by a quorum of its group (`copies`) and registered. A node makes it runnable once,
//! from the code that an earlier compilation has left (`artifacts`), or by compiling it (`compile`).
//! What is not stored on a node of a group is fetched from another one, by its digest.
//! (test: `a_module_that_was_pushed_at_one_node_runs_at_the_next_leader`)

use std::sync::Arc;

use bytes::Bytes;
use innkeeper_proto::{CreateMode, ErrorCode};
use innkeeper_runtime::{Runtime, Select2, ThreadRole, select2};
use innkeeper_sandbox::{Artifact, ArtifactError, Module, ModuleError};
use innkeeper_server::delivery::pending_proposals::ProposeError;
use innkeeper_tree::applied::{Reply, TicketResult};
use innkeeper_tree::command::{Write, WriteOp};
use innkeeper_tree::{Digest, Identity, Operation, World, path};
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};

use super::Guests;
use super::compile::{CompileError, Wanted};

/// The compiled modules of this node. Bounded by the modules that bindings name: one that no
/// binding names any more is let go when another is compiled.
#[derive(Default)]
pub(super) struct ModuleCache {
    compiled: Mutex<FxHashMap<Digest, Module>>,
}

/// Why a module that a binding names cannot run; it follows "module NAME".
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum MakeError {
    /// Its bytes are not here.
    #[error("is not stored here; push it again")]
    Missing,
    /// Its bytes are not here, and no other node of the group has given them.
    #[error("is not stored here: {0}")]
    NotGiven(String),
    /// Its bytes cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// It cannot be compiled.
    #[error("cannot be compiled: {0}")]
    Compile(#[from] CompileError),
}

/// A module that was pushed and registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Its name: the SHA-256 of the component.
    pub digest: Digest,
    /// The world that it exports.
    pub world: World,
    /// The size of the component, in bytes.
    pub size: u64,
    /// Whether a core module was pushed, of which the component was made here.
    pub made_component: bool,
}

/// Why a push failed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The file is no module.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// Too many other pushes wait.
    #[error(
        "{count} pushes are under way, which is as many, or as many bytes, as a node takes; push it again when they are over"
    )]
    Busy {
        /// How many pushes wait.
        count: usize,
    },
    /// The host could not compile it; it may be fine.
    #[error("the module could not be compiled: {0}; push it again later")]
    Host(String),
    /// It could not be stored.
    #[error(
        "the module could not be stored: {0}; look at the disk of the node's data folder, then push it again"
    )]
    Store(String),
    /// It could not be registered.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// The folder of the bindings could not be made.
    #[error("`{path}` could not be made: {error:?}; delete what stands in its place")]
    Folder {
        /// The folder's path.
        path: &'static str,
        /// Why it could not be made.
        error: ErrorCode,
    },
    /// It failed at the node that took it, which says this.
    #[error("{0}")]
    Elsewhere(String),
}

impl PushError {
    /// Whether the node or its machine is at fault, and not what was pushed.
    pub(super) fn is_the_hosts(&self) -> bool {
        matches!(self, PushError::Host(_) | PushError::Store(_))
    }
}

impl From<CompileError> for PushError {
    fn from(error: CompileError) -> PushError {
        match error {
            CompileError::Module(error) => PushError::Module(error),
            CompileError::Host(_) => PushError::Host(error.to_string()),
        }
    }
}

impl From<MakeError> for PushError {
    fn from(error: MakeError) -> PushError {
        match error {
            MakeError::Compile(error) => error.into(),
            MakeError::Missing | MakeError::NotGiven(_) | MakeError::Unreadable(_) => {
                PushError::Host(error.to_string())
            }
        }
    }
}

/// The identity under which the node itself writes.
pub(crate) fn super_user() -> Vec<Identity> {
    vec![Identity {
        scheme: "super".to_string(),
        id: String::new(),
    }]
}

impl<R: Runtime> Guests<R> {
    /// The compiled module of that name; loaded or compiled now where it is not yet. The error is a
    /// sentence for the binding's status.
    pub(super) async fn module(&self, digest: Digest) -> Result<Module, String> {
        let made = self.make(digest).await;
        made.map_err(|error| format!("module {digest} {error}"))
    }

    /// As [`Guests::module`]; what is wrong is told apart.
    pub(super) async fn make(&self, digest: Digest) -> Result<Module, MakeError> {
        if let Some(module) = self.compiled(digest) {
            return Ok(module);
        }
        if let Some(module) = self.load_kept(digest).await? {
            return Ok(module);
        }
        let component = match self.stored(digest).await? {
            Some(component) => component,
            None => self.given(digest).await?,
        };
        let compilation = self
            .shared
            .compilations
            .join(digest, component, Wanted::ByBinding);
        let done = compilation.over().await?;
        self.load(digest, None, done.artifact).await
    }

    pub(super) async fn stored(&self, digest: Digest) -> Result<Option<Bytes>, MakeError> {
        let component = self.shared.store.get(digest).await;
        component.map_err(|error| MakeError::Unreadable(error.to_string()))
    }

    /// Has another node of the group give a component, which is stored here then.
    pub(super) async fn given(&self, digest: Digest) -> Result<Bytes, MakeError> {
        let Some(service) = self.service_in_group() else {
            return Err(MakeError::Missing);
        };
        let replica = service.replica();
        let replica = replica.map_err(|stopped| MakeError::NotGiven(stopped.to_string()))?;
        let given = replica.fetch_module(digest, self.module_bytes_max());
        // The node's stop waits until the replica is let go.
        let given = match select2(self.shared.stopping.wait(), given).await {
            Select2::First(()) => Err("the node is stopping".to_owned()),
            Select2::Second(given) => given.map_err(|error| error.to_string()),
        };
        given.map_err(MakeError::NotGiven)?;
        self.stored(digest).await?.ok_or(MakeError::Missing)
    }

    /// Loads what an earlier compilation has left, if it is there and whole.
    pub(super) async fn load_kept(&self, digest: Digest) -> Result<Option<Module>, MakeError> {
        let this = self.clone();
        self.on_compile_thread(move || {
            // Another task may have loaded it while this one waited for the thread.
            if let Some(module) = this.compiled(digest) {
                return Ok(Some(module));
            }
            let shared = &this.shared;
            let Some(artifact) = shared.artifacts.get(digest) else {
                return Ok(None);
            };
            match shared.sandbox.load(digest, &artifact) {
                Ok(module) => {
                    shared.stats.modules_loaded.add(1);
                    Ok(Some(this.keep(module, &this.named())))
                }
                Err(ArtifactError::NotLinked(error)) => Err(CompileError::from(error).into()),
                // The code may be good, and stays.
                Err(error @ ArtifactError::NoPool(_)) => {
                    Err(CompileError::Host(error.to_string()).into())
                }
                Err(error) => {
                    tracing::warn!("module {digest} is compiled anew: {error}");
                    shared.artifacts.remove(digest);
                    Ok(None)
                }
            }
        })
        .await
    }

    /// Loads what a child has just compiled, and keeps it for the next start; the component was
    /// made of `core`, if that is one.
    pub(super) async fn load(
        &self,
        digest: Digest,
        core: Option<Digest>,
        artifact: Artifact,
    ) -> Result<Module, MakeError> {
        let this = self.clone();
        self.on_compile_thread(move || {
            let shared = &this.shared;
            let module = shared.sandbox.load(digest, &artifact);
            let module = module.map_err(|error| match error {
                ArtifactError::NotLinked(error) => CompileError::from(error),
                error @ ArtifactError::NoPool(_) => CompileError::Host(error.to_string()),
                // The seal is right: it is this node's own code, and more than its pool holds.
                ArtifactError::Refused(error) => ModuleError::Invalid(error).into(),
                error => CompileError::Host(format!(
                    "what the compiling process made is of no use ({error}): was the program replaced while the node runs? Start the node again"
                )),
            })?;
            let named = this.named();
            shared.artifacts.put(digest, core, &artifact, |other| named.contains(other));
            Ok(this.keep(module, &named))
        })
        .await
    }

    /// The component that an earlier process of the node made of a core module, if what was
    /// compiled of it is kept.
    pub(super) async fn made_of(&self, core: Digest) -> Result<Option<Digest>, MakeError> {
        let this = self.clone();
        // On that thread the folder has been read.
        self.on_compile_thread(move || Ok(this.shared.artifacts.made_of(core)))
            .await
    }

    /// Runs something that blocks for a moment on a thread where nobody waits for it.
    async fn on_compile_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, MakeError> + Send + 'static,
    ) -> Result<T, MakeError> {
        let work = self
            .shared
            .runtime
            .spawn(ThreadRole::Compile, async move { work() });
        let done = work.await;
        done.unwrap_or_else(|error| Err(CompileError::Host(error.to_string()).into()))
    }

    /// The compiled module, if it is compiled.
    pub(super) fn compiled(&self, digest: Digest) -> Option<Module> {
        self.shared.modules.compiled.lock().get(&digest).cloned()
    }

    /// The modules that bindings wish for or run.
    fn named(&self) -> FxHashSet<Digest> {
        let view = self.shared.reader.view();
        let bindings = view.bindings().iter();
        bindings.flat_map(|binding| binding.modules()).collect()
    }

    /// Keeps a freshly loaded module and lets go of those that no binding names.
    fn keep(&self, module: Module, named: &FxHashSet<Digest>) -> Module {
        let mut compiled = self.shared.modules.compiled.lock();
        compiled.retain(|digest, _| named.contains(digest));
        let digest = module.digest();
        compiled.entry(digest).or_insert(module).clone()
    }

    /// Has the bindings looked at again that name a module which has just come.
    pub(super) fn look_again(&self, module: Digest) {
        let view = self.shared.reader.view();
        let bindings = view.bindings().iter();
        let naming = bindings.filter(|binding| binding.names(module));
        let names: Vec<_> = naming.map(|binding| Arc::clone(&binding.name)).collect();
        self.changed(&names);
    }

    /// Makes `/innkeeper` and `/innkeeper/bindings` where they are missing.
    pub(super) async fn ensure_folders(&self) -> Result<(), PushError> {
        for folder in [path::INNKEEPER, path::BINDINGS] {
            if self.shared.reader.view().exists(folder).is_some() {
                continue;
            }
            let settled = self
                .propose(|ticket| Operation::Admin {
                    ticket,
                    identities: super_user(),
                    write: Write::Single(WriteOp::Create {
                        path: folder.to_string(),
                        data: None,
                        acl: innkeeper_tree::acl::read_only(),
                        mode: CreateMode::Persistent,
                        ttl_ms: 0,
                    }),
                    enforce_quota: false,
                })
                .await?;
            match settled.result {
                TicketResult::Admin(Reply::Single(Err(error)))
                    if error != ErrorCode::NodeExists =>
                {
                    return Err(PushError::Folder {
                        path: folder,
                        error,
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }
}
