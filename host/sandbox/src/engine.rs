//! One engine for all guests, and the module: compiled and linked once per digest.
//!
//! 1. [`Sandbox::accept`] takes what an author pushed: a component, or a core module out of
//!    which a component is made.
//! 2. [`Sandbox::compile`] compiles it (on the compile thread: it blocks for milliseconds to
//!    seconds), finds its world by its exports, and links it: a missing or unknown import
//!    shows here, not at the first reaction.
//! 3. An invocation makes an instance of the linked module in a fresh store.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use innkeeper_tree::binding::Limits;
use innkeeper_tree::{Digest, World};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use crate::assignor::AssignorState;
use crate::authorizer::AuthorizerState;
use crate::budget::Budget;
use crate::failure::{FailureKind, GuestFailure, ModuleError};
use crate::recipe::RecipeState;
use crate::settings::Settings;
use crate::wit;

/// Stack of a guest, in bytes. The host's own frames under a host call come on top of it.
const WASM_STACK_BYTES: usize = 512 << 10;

/// Stack on which a guest and the host functions that it calls run, in bytes.
const FIBER_STACK_BYTES: usize = 2 << 20;

/// Memory of an instance that stays mapped between invocations: about what a small Rust
/// guest dirties; more is slower (facts measured at 64 KiB and 1 MiB).
const KEEP_RESIDENT_BYTES: usize = 64 << 10;

/// The engine with its pool, and the linkers of the three worlds.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    engine: Engine,
    recipes: Linker<RecipeState>,
    assignors: Linker<AssignorState>,
    authorizers: Linker<AuthorizerState>,
    recipe_slots: Arc<Semaphore>,
    assignor_slots: Arc<Semaphore>,
    authorizer_slots: Arc<Semaphore>,
}

/// A component, compiled and linked. Immutable; named by the SHA-256 of the component.
pub struct Module {
    digest: Digest,
    world: World,
    pub(crate) code: Code,
}

pub(crate) enum Code {
    Recipe(wit::recipe::RecipePre<RecipeState>),
    Assignor(wit::assignor::AssignorPre<AssignorState>),
    Authorizer(wit::authorizer::AuthorizerPre<AuthorizerState>),
}

impl Module {
    /// The SHA-256 of the component.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The world that it exports.
    pub fn world(&self) -> World {
        self.world
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module")
            .field("digest", &self.digest)
            .field("world", &self.world)
            .finish()
    }
}

/// The digest of a component's bytes.
pub fn digest_of(component: &[u8]) -> Digest {
    Digest(Sha256::digest(component).into())
}

impl Sandbox {
    /// Lays out the pool. Fails only where the machine cannot reserve the address space.
    pub fn new(settings: Settings) -> Result<Sandbox, GuestFailure> {
        let host =
            |error: wasmtime::Error| GuestFailure::new(FailureKind::Host, format!("{error:#}"));
        let engine = Engine::new(&config(&settings)).map_err(host)?;
        let mut recipes = Linker::new(&engine);
        wit::recipe::Recipe::add_to_linker::<_, HasSelf<_>>(&mut recipes, |state| state)
            .map_err(host)?;
        let mut assignors = Linker::new(&engine);
        wit::assignor::Assignor::add_to_linker::<_, HasSelf<_>>(&mut assignors, |state| state)
            .map_err(host)?;
        let mut authorizers = Linker::new(&engine);
        wit::authorizer::Authorizer::add_to_linker::<_, HasSelf<_>>(&mut authorizers, |state| {
            state
        })
        .map_err(host)?;
        let slots = |count: u32| Arc::new(Semaphore::new(count as usize));
        Ok(Sandbox {
            shared: Arc::new(Shared {
                recipe_slots: slots(settings.transient_instances),
                assignor_slots: slots(settings.transient_instances),
                authorizer_slots: slots(settings.authorizer_instances),
                settings,
                engine,
                recipes,
                assignors,
                authorizers,
            }),
        })
    }

    /// Makes a component of what was pushed, and compiles it. The component's bytes are what
    /// is stored and replicated; the module's name is their digest. Blocks: call it on the
    /// compile thread.
    pub fn accept(&self, pushed: &[u8]) -> Result<(Vec<u8>, Module), ModuleError> {
        self.check_size(pushed.len())?;
        let component = match pushed.get(..8) {
            Some(b"\0asm\x01\0\0\0") => encode(pushed)?,
            Some(b"\0asm\x0d\0\x01\0") => pushed.to_vec(),
            _ => return Err(ModuleError::NotWasm),
        };
        self.check_size(component.len())?;
        let module = self.compile(&component)?;
        Ok((component, module))
    }

    /// Compiles and links a stored component. Blocks: call it on the compile thread.
    pub fn compile(&self, component: &[u8]) -> Result<Module, ModuleError> {
        let digest = digest_of(component);
        let compiled = guarded(|| Component::from_binary(&self.shared.engine, component))?
            .map_err(|error| ModuleError::Invalid(format!("{error:#}")))?;
        let world = self.world_of(&compiled)?;
        let not_that_world = |error: wasmtime::Error| ModuleError::NotThatWorld {
            world: world.name(),
            reason: format!("{error:#}"),
        };
        let code = match world {
            World::Recipe => self
                .shared
                .recipes
                .instantiate_pre(&compiled)
                .and_then(wit::recipe::RecipePre::new)
                .map(Code::Recipe),
            World::Assignor => self
                .shared
                .assignors
                .instantiate_pre(&compiled)
                .and_then(wit::assignor::AssignorPre::new)
                .map(Code::Assignor),
            World::Authorizer => self
                .shared
                .authorizers
                .instantiate_pre(&compiled)
                .and_then(wit::authorizer::AuthorizerPre::new)
                .map(Code::Authorizer),
        }
        .map_err(not_that_world)?;
        Ok(Module {
            digest,
            world,
            code,
        })
    }

    /// The settings that the sandbox was made with.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    fn check_size(&self, bytes: usize) -> Result<(), ModuleError> {
        let limit = self.shared.settings.component_bytes_max;
        if bytes > limit {
            return Err(ModuleError::TooLarge { bytes, limit });
        }
        Ok(())
    }

    fn world_of(&self, component: &Component) -> Result<World, ModuleError> {
        let mut names: Vec<String> = component
            .component_type()
            .exports(&self.shared.engine)
            .map(|(name, _)| name.to_string())
            .collect();
        names.sort();
        match names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["react"] => Ok(World::Recipe),
            ["assign"] => Ok(World::Assignor),
            ["decide", "load"] => Ok(World::Authorizer),
            [] => Err(ModuleError::UnknownWorld("nothing".to_string())),
            _ => Err(ModuleError::UnknownWorld(format!(
                "`{}`",
                names.join("`, `")
            ))),
        }
    }

    /// Waits for a place in the pool for a recipe.
    pub(crate) async fn recipe_slot(&self) -> Result<OwnedSemaphorePermit, GuestFailure> {
        slot(&self.shared.recipe_slots).await
    }

    /// Waits for a place in the pool for an assignor. Whoever has one waits for no other, so a
    /// recipe may wait for it while it holds its own.
    pub(crate) async fn assignor_slot(&self) -> Result<OwnedSemaphorePermit, GuestFailure> {
        slot(&self.shared.assignor_slots).await
    }

    /// Waits for a place in the pool for an authorizer's instance.
    pub(crate) async fn authorizer_slot(&self) -> Result<OwnedSemaphorePermit, GuestFailure> {
        slot(&self.shared.authorizer_slots).await
    }

    /// A store with its limits and fuel set.
    pub(crate) fn store<T: Send + 'static>(
        &self,
        state: T,
        limits: &Limits,
        budget: fn(&mut T) -> &mut Budget,
    ) -> Result<Store<T>, GuestFailure> {
        let mut store = Store::new(&self.shared.engine, state);
        store.limiter(move |state| budget(state));
        // What one host call may lift from the guest's memory; the meter bounds their sum.
        store.set_hostcall_fuel(limits.output_bytes as usize);
        self.refuel(&mut store, limits.fuel)?;
        Ok(store)
    }

    /// Gives a store the fuel of one more call.
    pub(crate) fn refuel<T>(&self, store: &mut Store<T>, fuel: u64) -> Result<(), GuestFailure> {
        store
            .set_fuel(fuel)
            .and_then(|()| store.fuel_async_yield_interval(Some(self.shared.settings.yield_fuel)))
            .map_err(|error| GuestFailure::new(FailureKind::Host, format!("{error:#}")))
    }
}

async fn slot(slots: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, GuestFailure> {
    Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(|_| GuestFailure::new(FailureKind::Host, "the sandbox is shutting down"))
}

fn config(settings: &Settings) -> Config {
    // Each component of a guest is a main module and wit-component's two small helpers;
    // language runtimes bring a few more.
    const CORE_INSTANCES: u32 = 12;
    const TABLES: u32 = 12;
    const MEMORIES: u32 = 2;
    let instances = 2 * settings.transient_instances + settings.authorizer_instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances * 4)
        .total_memories(instances * MEMORIES)
        .total_tables(instances * 4)
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        .table_elements(200_000)
        .max_memory_size(settings.memory_bytes_max)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(4096);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .consume_fuel(true)
        .concurrency_support(false)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_tail_call(false)
        .wasm_multi_memory(false)
        .cranelift_opt_level(wasmtime::OptLevel::Speed);
    config
}

fn encode(core: &[u8]) -> Result<Vec<u8>, ModuleError> {
    guarded(|| {
        wit_component::ComponentEncoder::default()
            .validate(true)
            .module(core)
            .and_then(|encoder| encoder.encode())
    })?
    .map_err(|error| ModuleError::NotEncodable(format!("{error:#}")))
}

/// Runs the toolchain on bytes that a stranger made: a panic in it is that file's fault.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, ModuleError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("without a message");
        ModuleError::Panicked(text.lines().next().unwrap_or_default().to_string())
    })
}
