//! Key stores and trust stores: the files that hold the node's own key and the certificates that
//! it trusts.
//!
//! 1. [`read_key_store`] and [`read_trust_store`] read a file in one of three formats: JKS
//!    ([`jks`]), PKCS12, PEM.
//! 2. A private key under a password is opened ([`sealed`]).
//! 3. An elliptic key without its public half gets it from its certificate ([`halves`]).

pub(crate) mod halves;
mod jks;
mod read;
mod sealed;
mod settings;

#[cfg(test)]
pub(crate) mod tests;

pub use read::StoreError;
pub(crate) use read::{read_key_store, read_trust_store};
pub use settings::StoreSettings;
