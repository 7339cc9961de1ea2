//! What a node grants to all guests together.

use std::time::Duration;

use crate::clock::Clock;

/// Sizes of the sandbox: fixed when the node starts, because the instance pool is laid out once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Greatest size of a pushed module and of the component made of it, in bytes.
    pub component_bytes_max: usize,
    /// Recipes that may have an instance at one moment, and as many assignors again: a recipe
    /// that waits for a place for its assignor never waits for another recipe. A caller beyond
    /// that waits.
    pub transient_instances: u32,
    /// Authorizers that may be active at one moment. Each has an instance for certain.
    pub authorizers: u32,
    /// Threads that serve clients: an authorizer has at most one instance for each of them. The
    /// further ones of all authorizers together are bounded, by memory as well; where there is no
    /// room for a further one, callers wait for an existing one.
    pub client_threads: u32,
    /// Threads on which guests run: so many invocations run at one moment, in turns.
    pub guest_threads: u32,
    /// Greatest linear memory of one instance, in bytes; a binding's own limit is at most this.
    pub memory_bytes_max: usize,
    /// Memory of all guests together, in bytes. Each invocation has its binding's
    /// `limits.memory_bytes` set apart before it begins. One quarter is for recipes, one for the
    /// assignors that they call (so that a recipe that waits for its assignor waits for no other
    /// recipe), one for the first instance of each authorizer, one for their further instances.
    pub memory_bytes_total: u64,
    /// Fuel after which a running guest yields its thread to others (about one unit per
    /// Wasm instruction).
    pub yield_fuel: u64,
    /// Calls after which an authorizer instance is replaced by a fresh one: some language
    /// runtimes leak when they are called again and again.
    pub authorizer_calls_max: u64,
    /// Greatest data of a znode that a guest writes, in bytes: what a client's frame may hold
    /// (jute.maxbuffer). More is `bad-arguments`.
    pub data_bytes_max: usize,
    /// Schemes, beside `world`, that an ACL of a guest may name: the schemes that the node serves.
    pub acl_schemes: Vec<String>,
    /// The clock that bounds invocations in time (`limits.time_ms`). By default it stands still,
    /// and nothing is bounded by it.
    pub clock: Clock,
}

/// Most instances of all authorizers together beside the first of each. A pool for more would
/// reserve more address space than is worth it: 4 GiB for each memory of each of them.
const FURTHER_AUTHORIZER_INSTANCES_MAX: u32 = 224;

impl Settings {
    /// Memory that recipes may have together, in bytes, and each of the other three kinds of
    /// instances as well. A binding with a greater limit cannot be invoked.
    pub fn memory_bytes_per_kind(&self) -> u64 {
        self.memory_bytes_total / 4
    }

    /// Instances of authorizers beside the first of each.
    pub(crate) fn further_authorizer_instances(&self) -> u32 {
        let workers = self.client_threads.max(1);
        (self.authorizers * (workers - 1)).min(FURTHER_AUTHORIZER_INSTANCES_MAX)
    }

    /// Instances of all kinds that can live at one moment: what the pool is laid out for.
    pub(crate) fn instances(&self) -> u32 {
        2 * self.transient_instances + self.authorizers + self.further_authorizer_instances()
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            component_bytes_max: 32 << 20,
            transient_instances: 16,
            authorizers: 32,
            client_threads: 2,
            guest_threads: 2,
            memory_bytes_max: 256 << 20,
            memory_bytes_total: 4 << 30,
            yield_fuel: 100_000,
            authorizer_calls_max: 1_000_000,
            data_bytes_max: (1 << 20) - 1,
            acl_schemes: vec!["ip".to_string(), "digest".to_string()],
            clock: Clock::new(|| Duration::ZERO),
        }
    }
}
