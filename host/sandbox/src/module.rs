//! Modules: compiled components, loaded and linked. A module has the type of its world, so that
//! nobody can ask an assignor to react.
//!
//! 1. [`Sandbox::load`] takes what a compiler made of a component (`compile`, in a process of its
//!    own) and checks its seal (`artifact`).
//! 2. [`link()`] finds its world by its exports, and links it with the host's functions of that
//!    world: a missing or unknown import shows here, not at the first invocation.

use std::sync::Arc;

use innkeeper_tree::{Digest, World};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::artifact::{Artifact, ArtifactError};
use crate::assignor::AssignorModule;
use crate::authorizer::{AuthorizerModule, AuthorizerState};
use crate::engine::Sandbox;
use crate::failure::ModuleError;
use crate::link;
use crate::linked::Linked;
use crate::recipe::{RecipeModule, RecipeState};
use crate::state::{Common, State};
use crate::text::GuestText;
use crate::wasi;
use crate::wit::assignor::AssignorPre;
use crate::wit::authorizer::AuthorizerPre;
use crate::wit::recipe::RecipePre;
use crate::world::world_of;

/// A module of one of the worlds. Immutable; clones are the same module.
#[derive(Clone, Debug)]
pub enum Module {
    /// It exports `react`.
    Recipe(Arc<RecipeModule>),
    /// It exports `assign`.
    Assignor(Arc<AssignorModule>),
    /// It exports `load` and `decide`.
    Authorizer(Arc<AuthorizerModule>),
}

impl Module {
    /// The SHA-256 of the component.
    pub fn digest(&self) -> Digest {
        match self {
            Module::Recipe(module) => module.digest(),
            Module::Assignor(module) => module.digest(),
            Module::Authorizer(module) => module.digest(),
        }
    }

    /// The world that it exports.
    pub fn world(&self) -> World {
        match self {
            Module::Recipe(_) => World::Recipe,
            Module::Assignor(_) => World::Assignor,
            Module::Authorizer(_) => World::Authorizer,
        }
    }
}

/// A component that is linked with the host's functions of its world.
pub(crate) enum Pre {
    Recipe(RecipePre<RecipeState>),
    Assignor(AssignorPre<Common>),
    Authorizer(AuthorizerPre<AuthorizerState>),
}

impl Pre {
    /// The world that the component exports.
    pub(crate) fn world(&self) -> World {
        match self {
            Pre::Recipe(_) => World::Recipe,
            Pre::Assignor(_) => World::Assignor,
            Pre::Authorizer(_) => World::Authorizer,
        }
    }
}

impl Sandbox {
    /// Loads what a compiler made of the component with that digest, and links it. Blocks for
    /// milliseconds: the code is copied and its checksum is verified. The first call makes the pool
    /// of instances.
    pub fn load(&self, digest: Digest, artifact: &Artifact) -> Result<Module, ArtifactError> {
        let engine = self.engine().map_err(ArtifactError::NoPool)?;
        let component = artifact.open(engine, digest)?;
        let yielding = self.yielding(artifact.hands_strings_inside());
        Ok(match link(engine, &component)? {
            Pre::Recipe(pre) => Module::Recipe(Arc::new(RecipeModule(Linked {
                digest,
                yielding,
                pre,
            }))),
            Pre::Assignor(pre) => Module::Assignor(Arc::new(AssignorModule(Linked {
                digest,
                yielding,
                pre,
            }))),
            Pre::Authorizer(pre) => Module::Authorizer(Arc::new(AuthorizerModule(Linked {
                digest,
                yielding,
                pre,
            }))),
        })
    }
}

/// Finds a component's world by its exports, and links it with the host's functions of that world.
pub(crate) fn link(engine: &Engine, component: &Component) -> Result<Pre, ModuleError> {
    let world = world_of(engine, component)?;
    let not_that_world = |error: wasmtime::Error| ModuleError::NotThatWorld {
        world: world.name(),
        reason: GuestText::of_error(&error),
    };
    match world {
        World::Recipe => linker(engine, component, link::recipes)
            .and_then(|linker| linker.instantiate_pre(component))
            .and_then(RecipePre::new)
            .map(Pre::Recipe),
        World::Assignor => linker(engine, component, link::assignors)
            .and_then(|linker| linker.instantiate_pre(component))
            .and_then(AssignorPre::new)
            .map(Pre::Assignor),
        World::Authorizer => linker(engine, component, link::authorizers)
            .and_then(|linker| linker.instantiate_pre(component))
            .and_then(AuthorizerPre::new)
            .map(Pre::Authorizer),
    }
    .map_err(not_that_world)
}

/// The functions of one world, with what the component imports of WASI besides.
fn linker<T: State>(
    engine: &Engine,
    component: &Component,
    world: fn(&mut Linker<T>) -> wasmtime::Result<()>,
) -> wasmtime::Result<Linker<T>> {
    let mut linker = Linker::new(engine);
    world(&mut linker)?;
    wasi::link(&mut linker, component)?;
    Ok(linker)
}
