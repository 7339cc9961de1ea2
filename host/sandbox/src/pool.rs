//! The engine of a node's guests, with the pool that their instances come from.
//!
//! The pool reserves more than a terabyte of address space. It is made when the first module is
//! loaded, so a node without bindings has none. Where the machine has no room for it, that module
//! is not loaded, and the next attempt tries again.
//! (test: `the_pool_is_made_for_the_first_module_and_a_lack_of_room_is_said`)

use std::sync::OnceLock;

use parking_lot::Mutex;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::artifact;
use crate::settings::Settings;

/// Stack of a guest, in bytes. The host's own frames under a host call come on top of it.
const WASM_STACK_BYTES: usize = 512 << 10;

/// Stack on which a guest and the host functions that it calls run, in bytes.
const FIBER_STACK_BYTES: usize = 2 << 20;

/// Memory of an instance that stays mapped between invocations: about what a small Rust
/// guest dirties; more is slower (facts measured at 64 KiB and 1 MiB).
const KEEP_RESIDENT_BYTES: usize = 64 << 10;

/// What the host keeps of one core instance or one component instance beside its memories, in
/// bytes: its imports, globals and functions. CPython's take a tenth of it.
const INSTANCE_BYTES_MAX: usize = 1 << 20;

/// The engine, once it is made.
#[derive(Default)]
pub(crate) struct Pool {
    engine: OnceLock<Engine>,
    /// Held while it is made, so that two modules which are loaded at once make one.
    making: Mutex<()>,
}

impl Pool {
    /// The engine, which is made now if there is none yet. After an error the next call tries again.
    pub(crate) fn engine(&self, settings: &Settings) -> wasmtime::Result<&Engine> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let _making = self.making.lock();
        // Another thread may have made it while this one waited.
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = Engine::new(&pooling(settings))?;
        Ok(self.engine.get_or_init(|| engine))
    }
}

/// Which compiler's artifacts the sandboxes of this process load: wasmtime's release and all
/// settings that decide how code is made, in hexadecimal digits. It makes an engine without a pool
/// at its first call. The error is wasmtime's, where it has no compiler for this machine.
pub fn fingerprint() -> Result<&'static str, String> {
    static FINGERPRINT: OnceLock<Result<String, String>> = OnceLock::new();
    let made = FINGERPRINT.get_or_init(|| match Engine::new(&compiling()) {
        Ok(engine) => Ok(artifact::fingerprint(&engine)),
        Err(error) => Err(format!("{error:#}")),
    });
    made.as_deref().map_err(Clone::clone)
}

/// The configuration of a node: instances come from a pool that is laid out once.
fn pooling(settings: &Settings) -> Config {
    // The most that a component may have of each. A guest in Rust or C is one core module and
    // wit-component's two small helpers, with one memory and two tables. Python brings its
    // interpreter and libraries as modules of their own (38 instances, 2 memories), QuickJS a
    // module and the stubs of its imports (2 memories). They bound what one component takes of
    // the pool, whose totals follow from them: a memory reserves 4 GiB of address space, a table
    // 1.6 MB, an instance none.
    const CORE_INSTANCES: u32 = 64;
    const TABLES: u32 = 16;
    const MEMORIES: u32 = 4;
    // A holder of a place finds all that the largest component may need: the totals follow from
    // what one may have.
    let instances = settings.instances();
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances * CORE_INSTANCES)
        .total_memories(instances * MEMORIES)
        .total_tables(instances * TABLES)
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .table_elements(200_000)
        .max_memory_size(settings.memory_bytes_max)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(4096);
    let mut config = compiling();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// The settings that decide which code is made of a component and what it may use: they are equal
/// in the process that compiles and in the node that loads. The pool is none of them, so a process
/// that only compiles makes no pool. (test: `the_compiling_engine_and_the_nodes_are_compatible`)
pub(crate) fn compiling() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .concurrency_support(false)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_tail_call(false)
        .wasm_multi_memory(true)
        // A trap names the functions that it happened in (`trace.rs`); debug information is not
        // kept, whatever the environment says.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable)
        .cranelift_opt_level(wasmtime::OptLevel::Speed);
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn two_threads_that_need_the_pool_at_once_make_one() {
        const THREADS: usize = 4;
        let settings = Settings {
            transient_instances: 1,
            authorizers: 1,
            client_threads: 1,
            ..Settings::default()
        };
        let (pool, barrier) = (Pool::default(), Barrier::new(THREADS));
        let made = || {
            barrier.wait();
            pool.engine(&settings).expect("a small pool fits").clone()
        };
        let engines: Vec<Engine> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(made)).collect();
            let ended = threads.into_iter().map(|thread| thread.join());
            ended.map(|engine| engine.expect("an engine")).collect()
        });
        assert!(
            engines
                .iter()
                .all(|engine| Engine::same(engine, &engines[0]))
        );
    }
}
