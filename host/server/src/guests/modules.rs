//! Modules: pushed, stored, registered, and compiled once per digest.

use std::sync::Arc;

use innkeeper_proto::{CreateMode, ErrorCode};
use innkeeper_runtime::{Role, Runtime};
use innkeeper_sandbox::{Module, ModuleError};
use innkeeper_tree::applied::{Reply, TicketResult};
use innkeeper_tree::command::{Write, WriteOp};
use innkeeper_tree::{Digest, Identity, Operation, World, path};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::Guests;
use crate::tickets::ProposeError;

/// The compiled modules of this node. Bounded by the modules that bindings name: one that no
/// binding names any more is let go when another is compiled.
#[derive(Default)]
pub(super) struct ModuleCache {
    compiled: Mutex<FxHashMap<Digest, Arc<Module>>>,
}

/// A module that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Its name: the SHA-256 of the component.
    pub digest: Digest,
    /// What it exports.
    pub world: World,
    /// Of the component, in bytes.
    pub size: u64,
}

/// Why a push came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The file is no module.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// It could not be stored.
    #[error("the module could not be stored: {0}; see the node's log and its disk")]
    Store(String),
    /// It could not be registered.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// The folder of the bindings could not be made.
    #[error("`{path}` could not be made: {error:?}; delete what stands in its place")]
    Folder {
        /// Which.
        path: &'static str,
        /// Why.
        error: ErrorCode,
    },
}

/// The identity under which the node itself writes.
pub(crate) fn super_user() -> Vec<Identity> {
    vec![Identity {
        scheme: "super".to_string(),
        id: String::new(),
    }]
}

impl<R: Runtime> Guests<R> {
    /// Takes a component or a core module: compiles it, stores it durably, registers its name.
    /// Pushing the same bytes again is harmless.
    pub async fn push(&self, pushed: Vec<u8>) -> Result<Pushed, PushError> {
        let this = self.clone();
        let work = self.shared.runtime.spawn(Role::Compile, async move {
            let shared = &this.shared;
            let (component, module) = shared.sandbox.accept(&pushed)?;
            let size = component.len() as u64;
            let stored = shared.store.put(component.into()).await;
            let digest = stored.map_err(|error| PushError::Store(error.to_string()))?;
            let taken = Pushed {
                digest,
                world: module.world(),
                size,
            };
            this.keep(&Arc::new(module));
            Ok::<_, PushError>(taken)
        });
        let taken = work
            .await
            .map_err(|error| PushError::Store(error.to_string()))??;
        self.ensure_folders().await?;
        self.propose(|ticket| Operation::RegisterModule {
            ticket,
            digest: taken.digest,
            size: taken.size,
            world: taken.world,
        })
        .await?;
        Ok(taken)
    }

    /// The registered modules, by digest.
    pub fn modules(&self) -> Vec<Pushed> {
        let view = self.shared.reader.view();
        view.modules()
            .iter()
            .map(|(digest, info)| Pushed {
                digest: *digest,
                world: info.world,
                size: info.size,
            })
            .collect()
    }

    /// The compiled module of that name; compiled now where it is not yet. The error is a
    /// sentence for the binding's status.
    pub(super) async fn module(&self, digest: Digest) -> Result<Arc<Module>, String> {
        if let Some(module) = self.compiled(digest) {
            return Ok(module);
        }
        let this = self.clone();
        let work = self.shared.runtime.spawn(Role::Compile, async move {
            // Whoever asked first has compiled it while this waited for the thread.
            if let Some(module) = this.compiled(digest) {
                return Ok(module);
            }
            let shared = &this.shared;
            let component = shared
                .store
                .get(digest)
                .await
                .map_err(|error| format!("module {digest} cannot be read: {error}"))?
                .ok_or_else(|| format!("module {digest} is not stored here; push it again"))?;
            let module = shared
                .sandbox
                .compile(&component)
                .map(Arc::new)
                .map_err(|error| format!("module {digest} cannot be compiled: {error}"))?;
            this.keep(&module);
            Ok(module)
        });
        work.await
            .map_err(|error| format!("compiling module {digest} ended early: {error}"))?
    }

    /// The compiled module, if it is compiled.
    pub(super) fn compiled(&self, digest: Digest) -> Option<Arc<Module>> {
        self.shared.modules.compiled.lock().get(&digest).cloned()
    }

    /// Keeps a freshly compiled module and lets go of those that no binding names.
    fn keep(&self, module: &Arc<Module>) {
        let view = self.shared.reader.view();
        let mut compiled = self.shared.modules.compiled.lock();
        compiled.retain(|digest, _| {
            view.bindings().iter().any(|binding| {
                binding.wished.module == *digest
                    || binding
                        .active
                        .as_ref()
                        .is_some_and(|active| active.definition.module == *digest)
            })
        });
        compiled.insert(module.digest(), Arc::clone(module));
    }

    /// Makes `/innkeeper` and `/innkeeper/bindings` where they are missing.
    async fn ensure_folders(&self) -> Result<(), PushError> {
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
