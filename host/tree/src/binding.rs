//! Bindings: which module reacts to, assigns or authorizes what (`/innkeeper/bindings/<name>`).
//!
//! A document goes through three steps: 1. a client writes the znode, apply parses and
//! validates the document (a bad one is BadArguments); it is the *wish*; 2. the node compiles
//! the module and proposes Activate; 3. Activate makes it the *active* definition, which alone
//! has effect.
//!
//! The contract below is for the owner of this crate to fill and to refine:
//!
//! ```json
//! { "world": "recipe" | "assignor" | "authorizer",
//!   "module": "sha256:<64 hex digits>",
//!   "watch":  ["/groups/*/members/**"],      // recipe: events; authorizer: whose requests it decides
//!   "read":   ["/groups/**"],                // recipe: may read (watch and write paths are readable too)
//!   "write":  ["/groups/*/assignments/**"],  // recipe: may write
//!   "policy": ["/policies/main"],            // authorizer: what load may read
//!   "config": { … any JSON … },
//!   "limits": { "fuel": …, "memory_bytes": …, "queue": …, "transaction_ops": …, "transaction_bytes": …,
//!               "output_bytes": …, "host_calls": …, "calls_per_second": … },
//!   "on_failure": "deny" | "allow"           // authorizer only, default deny
//! }
//! ```
