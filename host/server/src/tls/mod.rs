//! TLS: stores, trust, handshakes.

pub(crate) mod name;
mod settings;

pub use settings::{ClientAuth, StoreSettings, TlsSettings};
