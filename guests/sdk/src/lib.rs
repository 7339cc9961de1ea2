//! Write guests for Innkeeper in Rust.
//!
//! A guest is a WebAssembly module of one of three worlds: a [`mod@recipe`] reacts to changes
//! of the tree, an [`mod@assignor`] says who shall own what, an [`mod@authorizer`] allows or
//! denies requests. Each world is one trait here, and one macro that makes a type that
//! implements it the module's guest:
//!
//! 1. Make a crate with `crate-type = ["cdylib"]` that depends on this one and on `serde`.
//! 2. Implement the trait of the world. Its `Config` is the binding's `config`, parsed.
//! 3. Build it for `wasm32-unknown-unknown`, push it, bind it.
//!
//! ```
//! use innkeeper_guest::prelude::*;
//!
//! #[derive(Deserialize)]
//! struct Config { total: String }
//! struct CountJobs;
//!
//! impl Recipe for CountJobs {
//!     type Config = Config;
//!     fn react(config: Config, tx: &mut dyn Transaction, _events: &[Event]) -> Result<()> {
//!         let jobs = tx.children("/jobs")?.len();
//!         tx.put(&config.total, jobs.to_string().as_bytes())?;
//!         Ok(())
//!     }
//! }
//! innkeeper_guest::recipe!(CountJobs);
//! ```
//!
//! The traits stand between a guest and the host, so the same code runs natively over
//! [`testing::Memory`], without a node and without WebAssembly:
//!
//! ```
//! # use innkeeper_guest::prelude::*;
//! # struct CountJobs;
//! # impl Recipe for CountJobs {
//! #     type Config = String;
//! #     fn react(total: String, tx: &mut dyn Transaction, _events: &[Event]) -> Result<()> {
//! #         let jobs = tx.children("/jobs")?.len();
//! #         tx.put(&total, jobs.to_string().as_bytes())?;
//! #         Ok(())
//! #     }
//! # }
//! let mut tree = innkeeper_guest::testing::Memory::new();
//! tree.make("/jobs/a", b"").make("/jobs/b", b"");
//! CountJobs::react("/total".to_owned(), &mut tree, &[Event::Resync]).unwrap();
//! assert_eq!(tree.data("/total"), Some(b"2".as_slice()));
//! ```

#[doc(hidden)]
pub mod bindings;
mod config;
mod error;

pub mod assignor;
pub mod authorizer;
pub mod log;
pub mod recipe;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use bindings::innkeeper::guest::types::{Stat, Znode};
pub use config::{Unconfigured, parse as parse_config};
pub use error::{Code, Error, Result};

/// Everything that a guest usually needs.
pub mod prelude {
    pub use crate::assignor::{Assignor, Member, NONE, Request as AssignRequest, Topic};
    pub use crate::authorizer::{Authorizer, Decision, Operation, Policy, Request};
    pub use crate::recipe::{
        AssignError, Change, CreateOptions, Event, Kinds, Recipe, Transaction, Write,
    };
    pub use crate::{Code, Error, Result, Stat, Unconfigured, Znode, log};
    pub use serde::{Deserialize, Serialize};
}

/// For the macros of this crate only.
#[doc(hidden)]
pub mod private {
    pub use crate::config::load as load_config;
}
