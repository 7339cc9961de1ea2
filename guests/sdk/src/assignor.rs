//! World `assignor`: a pure function from members and resources to owners.
//!
//! ```
//! use innkeeper_guest::prelude::*;
//!
//! /// Gives everything to the first member.
//! struct WinnerTakesAll;
//!
//! impl Assignor for WinnerTakesAll {
//!     type Config = Unconfigured;
//!     fn assign(_config: &Unconfigured, request: &AssignRequest) -> Result<Vec<u32>> {
//!         let resources: u32 = request.topics.iter().map(|topic| topic.count).sum();
//!         let owner = if request.members.is_empty() { NONE } else { 0 };
//!         Ok(vec![owner; resources as usize])
//!     }
//! }
//! innkeeper_guest::assignor!(WinnerTakesAll);
//! ```

use serde::de::DeserializeOwned;

use crate::Result;
pub use crate::bindings::innkeeper::guest::assignment::{Member, Request, Topic};

/// In an answer: nobody owns this resource.
pub const NONE: u32 = u32::MAX;

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
            impl $crate::bindings::assignor::Guest for Exports {
                fn assign(
                    request: $crate::assignor::Request,
                ) -> ::core::result::Result<::std::vec::Vec<u32>, ::std::string::String> {
                    $crate::private::load_config()
                        .and_then(|config| {
                            <$guest as $crate::assignor::Assignor>::assign(&config, &request)
                        })
                        .map_err(|error| error.to_string())
                }
            }
            $crate::bindings::assignor::export_assignor!(
                Exports with_types_in $crate::bindings::assignor
            );
        };
    };
}
