//! World `authorizer`: allows or denies the requests of clients.
//!
//! ```
//! use innkeeper_guest::prelude::*;
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
//! innkeeper_guest::authorizer!(Freeze);
//! ```

use serde::de::DeserializeOwned;

use crate::bindings::authorizer::innkeeper::guest::policy;
use crate::{Error, Result, Znode};

pub use crate::bindings::authorizer::{Decision, Operation, Principal, Request};

/// What an authorizer may read, in `load` only.
pub trait Policy {
    /// The znode at `path`, or none.
    ///
    /// # Errors
    /// If the path is none, or not in the binding's `policy`.
    fn get(&self, path: &str) -> Result<Option<Znode>>;

    /// The names of the children of `path`, in byte order.
    ///
    /// # Errors
    /// As `get`, and if there is no such znode.
    fn children(&self, path: &str) -> Result<Vec<String>>;

    /// The znode at `prefix` and everything below it, parents first.
    ///
    /// # Errors
    /// As `get`.
    fn scan(&self, prefix: &str) -> Result<Vec<Znode>>;
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

/// The host's policy.
#[doc(hidden)]
pub struct HostPolicy;

impl Policy for HostPolicy {
    fn get(&self, path: &str) -> Result<Option<Znode>> {
        policy::get(path).map_err(Error::operation("get", path))
    }

    fn children(&self, path: &str) -> Result<Vec<String>> {
        policy::children(path).map_err(Error::operation("list the children of", path))
    }

    fn scan(&self, prefix: &str) -> Result<Vec<Znode>> {
        policy::scan(prefix).map_err(Error::operation("scan", prefix))
    }
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
            impl $crate::bindings::authorizer::Guest for Exports {
                fn load() -> ::core::result::Result<(), ::std::string::String> {
                    let guest = $crate::private::load_config()
                        .and_then(|config| {
                            <$guest as $crate::authorizer::Authorizer>::load(
                                config,
                                &$crate::authorizer::HostPolicy,
                            )
                        })
                        .map_err(|error| error.to_string())?;
                    LOADED.with(|loaded| loaded.set(guest)).map_err(|_| {
                        ::std::string::String::from("load was called twice in one instance")
                    })
                }
                fn decide(request: $crate::authorizer::Request) -> $crate::authorizer::Decision {
                    LOADED.with(|loaded| {
                        let guest = loaded.get().expect("the host calls load first");
                        $crate::authorizer::Authorizer::decide(guest, &request)
                    })
                }
            }
            $crate::bindings::authorizer::export_authorizer!(
                Exports with_types_in $crate::bindings::authorizer
            );
        };
    };
}
