//! What Innkeeper's guests in Rust share, whatever their world.
//!
//! A guest is a WebAssembly module of one of three worlds, and depends on the crate of its
//! world, which offers one trait to implement, one macro, and a `prelude` with all of this:
//!
//! | Crate | The guest |
//! |---|---|
//! | `innkeeper-recipe` | reacts to changes of the tree with a transaction |
//! | `innkeeper-assignor` | says who shall own what |
//! | `innkeeper-authorizer` | allows or denies requests |
//!
//! Here are the traits that stand between a guest and the host ([`transaction::Transaction`]
//! and [`policy::Policy`]), so that the same code runs natively over [`testing::Memory`],
//! without a node and without WebAssembly:
//!
//! ```
//! use innkeeper_guest::prelude::*;
//!
//! fn count_jobs(tx: &mut dyn Transaction) -> Result<()> {
//!     let jobs = tx.children("/jobs")?.len();
//!     tx.put("/total", jobs.to_string().as_bytes())?;
//!     Ok(())
//! }
//!
//! let mut tree = innkeeper_guest::testing::Memory::new();
//! tree.make("/jobs/a", b"").make("/jobs/b", b"");
//! tree.attempt(count_jobs).unwrap();
//! assert_eq!(tree.data("/total"), Some(b"2".as_slice()));
//! ```

#[doc(hidden)]
pub mod bindings;
mod config;
mod error;
mod panics;

pub mod assignment;
pub mod log;
pub mod policy;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod transaction;

pub use bindings::innkeeper::guest::types::{Stat, Znode};
pub use config::{Unconfigured, load as load_config, parse as parse_config};
pub use error::{Code, Error, Result};
#[doc(hidden)]
pub use panics::report_panics;

/// What guests of every world usually need.
pub mod prelude {
    pub use crate::policy::Policy;
    pub use crate::transaction::{AssignError, CreateOptions, Transaction, Write};
    pub use crate::{Code, Error, Result, Stat, Unconfigured, Znode, log};
    pub use serde::{Deserialize, Serialize};
}
