//! TLS for clients: handshakes, and what they are served with.
//!
//! 1. At the node's start the key store and the trust store are read and become one configuration
//!    of rustls ([`Tls::load`], `config`); what is wrong with them stops the start, in one sentence
//!    ([`TlsError`]).
//! 2. A connection on the secure port, or one whose first byte on the plain port is that of a TLS
//!    handshake where that port takes both, goes through a handshake with a time limit
//!    ([`open()`]). A client's certificate is judged by [`Trust`](crate::x509::Trust), not by
//!    webpki.
//! 3. From there on the session speaks to a [`Stream`](innkeeper_runtime::Stream) like any other
//!    ([`ClientStream`]); the certificate's subject is an identity of the scheme `x509`.
//! 4. With `client.certReload` the files are looked at every second; changed stores serve the
//!    handshakes that follow, and stores that cannot be read change nothing.
//! 5. What the cryptography cannot do is refused by name, at the start and whenever the stores are
//!    read again; a certificate of the node's own that ends soon is told of ([`Validity`]).

mod config;
mod error;
mod expiry;
mod open;
mod serve;
mod settings;
mod stream;
mod suites;

#[cfg(test)]
mod tests;

pub use error::TlsError;
pub use expiry::Validity;
pub use open::{Opened, Port, Refused, open};
pub use serve::Tls;
pub use settings::{ClientAuth, TlsSettings};
pub use stream::ClientStream;
