//! Authentication: who a client is.
//!
//! How a client of the TLS port becomes an identity in an ACL:
//! 1. At the node's start [`Tls::load`] reads the key store and the trust store (`stores/`), and
//!    [`Auth::new`] reads the users of SASL (`sasl/`) and learns which schemes are served.
//! 2. [`open()`] does the handshake. The client's certificate is believed where Java's default
//!    trust manager believes it (`x509/`).
//! 3. [`Auth::at_connect`] makes identities of the client's address and of its certificate.
//! 4. The client may send credentials: `auth` requests go to [`Auth::authenticate`], the tokens of
//!    a SASL exchange to [`Auth::sasl`] with the connection's [`Negotiation`].
//! 5. Until one of the demanded schemes is among its identities, [`Auth::admits`] says no.
//!
//! Values of ZooKeeper's configuration are read as Java reads them ([`java`]), and addresses are
//! written as Java writes them ([`address`]): ACLs of the scheme `ip` compare texts.
//!
//! *Deliberately absent:* the node, its sessions and its settings; what an identity may do, which
//! the ACLs of the tree say.
//!
//! **Invariant:** this crate decides who a client is, and knows no node: code that handles bytes of
//! unknown clients can be read and tested alone. (test: `each_rule_can_be_broken`)

// They panic where nobody reads any more.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod address;
mod digest;
mod error;
pub mod java;
pub mod limits;
mod sasl;
mod schemes;
mod secrets;
mod settings;
mod stores;
mod tls;
mod values;
mod x509;

pub use digest::{DigestAlgorithm, digest_of, no_digest};
pub use error::AuthError;
pub use sasl::digest_md5::NONCE_BYTES;
pub use sasl::{Negotiation, jaas_text};
pub use schemes::{Auth, SaslAnswer, is_shown};
pub use secrets::{HIDDEN, Secrets};
pub use settings::{AuthSettings, JaasText};
pub use stores::{StoreError, StoreSettings};
pub use tls::{
    ClientAuth, ClientStream, Opened, Port, Refused, Tls, TlsError, TlsSettings, Validity, open,
};
pub use values::{BadValue, Secret};
pub use x509::Distrust;
