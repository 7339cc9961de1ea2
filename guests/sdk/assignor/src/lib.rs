//! World `assignor`: a pure function from members and resources to owners.
//!
//! ```
//! use innkeeper_assignor::prelude::*;
//!
//! /// Gives everything to the first member.
//! struct WinnerTakesAll;
//!
//! impl Assignor for WinnerTakesAll {
//!     type Config = Unconfigured;
//!     fn assign(_config: &Unconfigured, request: &Request) -> Result<Vec<u32>> {
//!         let resources: u32 = request.topics.iter().map(|topic| topic.count).sum();
//!         let owner = if request.members.is_empty() { NONE } else { 0 };
//!         Ok(vec![owner; resources as usize])
//!     }
//! }
//! innkeeper_assignor::assignor!(WinnerTakesAll);
//! ```

#[doc(hidden)]
pub mod bindings;

pub use innkeeper_guest as guest;
use innkeeper_guest::Result;
pub use innkeeper_guest::assignment::{Member, NONE, Request, Topic};
use serde::de::DeserializeOwned;

/// Everything that an assignor usually needs.
pub mod prelude {
    pub use crate::{Assignor, Member, NONE, Request, Topic};
    pub use innkeeper_guest::prelude::*;
}

/// A guest of world `assignor`.
pub trait Assignor {
    /// The binding's `config`.
    type Config: DeserializeOwned;

    /// Deals the resources out: one entry per resource, the index of its owner in
    /// `request.members` or [`NONE`].
    ///
    /// # Errors
    /// A sentence that says why the request cannot be met.
    fn assign(config: &Self::Config, request: &Request) -> Result<Vec<u32>>;
}

/// Makes an [`Assignor`] the guest of this module.
#[macro_export]
macro_rules! assignor {
    ($guest:ty) => {
        #[allow(unsafe_code, missing_docs, clippy::all)]
        const _: () = {
            struct Exports;
            impl $crate::bindings::Guest for Exports {
                fn assign(
                    request: $crate::Request,
                ) -> ::core::result::Result<::std::vec::Vec<u32>, ::std::string::String> {
                    $crate::guest::report_panics();
                    $crate::guest::load_config()
                        .and_then(|config| <$guest as $crate::Assignor>::assign(&config, &request))
                        .map_err(|error| error.to_string())
                }
            }
    $crate::bindings::export_assignor!(Exports with_types_in $crate::bindings);
        };
    };
}
