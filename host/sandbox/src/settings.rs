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
    /// Authorizer instances that may live at one moment: authorizer bindings times client
    /// worker threads. A caller beyond that waits; it is never a denial.
    pub authorizer_instances: u32,
    /// Greatest linear memory of one instance, in bytes; a binding's own limit is at most this.
    pub memory_bytes_max: usize,
    /// Fuel after which a running guest yields its thread to others (about one unit per
    /// Wasm instruction).
    pub yield_fuel: u64,
    /// Calls after which an authorizer instance is replaced by a fresh one: some language
    /// runtimes leak when they are called again and again.
    pub authorizer_calls_max: u64,
    /// Greatest data of a znode that a guest writes, in bytes: what a client's frame may hold
    /// (jute.maxbuffer). More is `bad-arguments`.
    pub data_bytes_max: usize,
    /// Schemes, beside `world`, that an ACL of a guest may name: those that the node serves.
    pub acl_schemes: Vec<String>,
    /// The clock that bounds invocations in time (`limits.time_ms`). By default it stands still,
    /// and nothing is bounded by it.
    pub clock: Clock,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            component_bytes_max: 32 << 20,
            transient_instances: 16,
            authorizer_instances: 128,
            memory_bytes_max: 256 << 20,
            yield_fuel: 100_000,
            authorizer_calls_max: 1_000_000,
            data_bytes_max: (1 << 20) - 1,
            acl_schemes: vec!["ip".to_string(), "digest".to_string()],
            clock: Clock::new(|| Duration::ZERO),
        }
    }
}
