//! World `recipe`: reacts to changes of the tree with a transaction.
//!
//! 1. Make a crate with `crate-type = ["cdylib"]` that depends on this one and on `serde`.
//! 2. Implement [`Recipe`]. Its `Config` is the binding's `config`, parsed.
//! 3. Build it for `wasm32-unknown-unknown`, push it, bind it.
//!
//! ```
//! use innkeeper_recipe::prelude::*;
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
//! innkeeper_recipe::recipe!(CountJobs);
//!
//! // The same code, natively:
//! let mut tree = innkeeper_guest::testing::Memory::new();
//! tree.make("/jobs/a", b"").make("/jobs/b", b"");
//! let config = Config { total: "/total".to_owned() };
//! tree.attempt(|tx| CountJobs::react(config, tx, &[Event::Resync])).unwrap();
//! assert_eq!(tree.data("/total"), Some(b"2".as_slice()));
//! ```

#[doc(hidden)]
pub mod bindings;

pub use bindings::innkeeper::guest::events::{Change, Event, Kinds};
pub use innkeeper_guest as guest;
use innkeeper_guest::Result;
use innkeeper_guest::transaction::Transaction;
use serde::de::DeserializeOwned;

/// Everything that a recipe usually needs.
pub mod prelude {
    pub use crate::{Change, Event, Kinds, Recipe};
    pub use innkeeper_guest::assignment::{Member, NONE, Request as AssignRequest, Topic};
    pub use innkeeper_guest::prelude::*;
}

/// A guest of world `recipe`.
pub trait Recipe {
    /// The binding's `config`.
    type Config: DeserializeOwned;

    /// Reacts to the events, of which there is at least one. Returning `Ok` proposes what was
    /// written.
    ///
    /// # Errors
    /// A sentence for the operator. The transaction is dropped, the events stay queued, and
    /// the host tries again later.
    fn react(
        config: Self::Config,
        transaction: &mut dyn Transaction,
        events: &[Event],
    ) -> Result<()>;
}

/// Makes a [`Recipe`] the guest of this module.
#[macro_export]
macro_rules! recipe {
    ($guest:ty) => {
        #[allow(unsafe_code, missing_docs, clippy::all)]
        const _: () = {
            struct Exports;
            impl $crate::bindings::Guest for Exports {
                fn react(
                    events: ::std::vec::Vec<$crate::Event>,
                ) -> ::core::result::Result<(), ::std::string::String> {
                    $crate::guest::report_panics();
                    $crate::guest::load_config()
                        .and_then(|config| {
                            <$guest as $crate::Recipe>::react(
                                config,
                                &mut $crate::guest::transaction::HostTransaction,
                                &events,
                            )
                        })
                        .map_err(|error| error.to_string())
                }
            }
    $crate::bindings::export_recipe!(Exports with_types_in $crate::bindings);
        };
    };
}
