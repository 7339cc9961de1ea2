//! World `authorizer`: allows or denies the requests of clients.
//!
//! ```
//! use innkeeper_authorizer::prelude::*;
//!
//! /// Denies every delete while the policy znode says `frozen`.
//! struct Freeze { frozen: bool }
//!
//! #[derive(Deserialize)]
//! struct Config { policy: String }
//!
//! impl Authorizer for Freeze {
//!     type Config = Config;
//!     fn load(config: Config, policy: &dyn Policy) -> Result<Self> {
//!         let znode = policy.get(&config.policy)?;
//!         Ok(Self { frozen: znode.is_some_and(|znode| znode.data == b"frozen") })
//!     }
//!     fn decide(&self, request: &Request) -> Decision {
//!         match request.operation {
//!             Operation::Delete if self.frozen => Decision::Deny(Some("frozen".into())),
//!             _ => Decision::Allow,
//!         }
//!     }
//! }
//! innkeeper_authorizer::authorizer!(Freeze);
//! ```

#[doc(hidden)]
pub mod bindings;

pub use bindings::innkeeper::guest::authorization::{Decision, Operation, Principal, Request};
pub use innkeeper_guest as guest;
use innkeeper_guest::Result;
use innkeeper_guest::policy::Policy;
use serde::de::DeserializeOwned;

/// Everything that an authorizer usually needs.
pub mod prelude {
    pub use crate::{Authorizer, Decision, Operation, Principal, Request};
    pub use innkeeper_guest::prelude::*;
}

/// A guest of world `authorizer`.
pub trait Authorizer: Sized {
    /// The binding's `config`.
    type Config: DeserializeOwned;

    /// Reads the policy and builds what `decide` needs.
    ///
    /// # Errors
    /// A sentence that says why there is no valid policy. The host then denies, unless the
    /// binding says otherwise.
    fn load(config: Self::Config, policy: &dyn Policy) -> Result<Self>;

    /// Decides on one request, by `self` and the request alone.
    fn decide(&self, request: &Request) -> Decision;
}

/// Makes an [`Authorizer`] the guest of this module.
#[macro_export]
macro_rules! authorizer {
    ($guest:ty) => {
        #[allow(unsafe_code, missing_docs, clippy::all)]
        const _: () = {
            struct Exports;
            ::std::thread_local! {
                static LOADED: ::core::cell::OnceCell<$guest> =
                    const { ::core::cell::OnceCell::new() };
            }
            impl $crate::bindings::Guest for Exports {
                fn load() -> ::core::result::Result<(), ::std::string::String> {
                    $crate::guest::report_panics();
                    let guest = $crate::guest::load_config()
                        .and_then(|config| {
                            <$guest as $crate::Authorizer>::load(
                                config,
                                &$crate::guest::policy::HostPolicy,
                            )
                        })
                        .map_err(|error| error.to_string())?;
                    LOADED.with(|loaded| loaded.set(guest)).map_err(|_| {
                        ::std::string::String::from("load was called twice in one instance")
                    })
                }
                fn decide(request: $crate::Request) -> $crate::Decision {
                    LOADED.with(|loaded| {
                        let guest = loaded.get().expect("the host calls load first");
                        $crate::Authorizer::decide(guest, &request)
                    })
                }
            }
    $crate::bindings::export_authorizer!(Exports with_types_in $crate::bindings);
        };
    };
}
