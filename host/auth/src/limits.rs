//! The bounds of what a stranger can make a node do before the node knows who it is.

/// How many identities a connection may gather. Further credentials are refused, since every
/// write of the connection carries all of its identities.
pub const MAX_IDENTITIES: usize = 64;

/// The length of all identities that a connection may gather by credentials, in bytes, for the
/// same reason.
pub const MAX_IDENTITIES_BYTES: usize = 16 * 1024;

/// How long a client may take for its TLS handshake, in milliseconds, unless
/// `ssl.handshakeDetectionTimeoutMillis` says otherwise.
pub const TLS_HANDSHAKE_TIMEOUT_MS: u64 = 10_000;

/// How often the node looks whether the files of its stores have changed, in milliseconds, where
/// `client.certReload` is on.
pub const STORE_LOOK_MS: u64 = 1_000;

/// The largest key store or trust store that is read, in bytes.
pub const MAX_STORE_BYTES: u64 = 16 * 1024 * 1024;

/// How many certificates a client may send, its own included.
pub(crate) const SENT_MAX: usize = 32;

/// How many certificates may stand between the client's own and one of the trust store.
pub(crate) const INTERMEDIATES_MAX: usize = 10;

/// How many signatures are verified for one client, whatever it sends.
pub(crate) const SIGNATURES_MAX: usize = 64;

/// How often a certificate is looked at as the issuer of another one, for one client: once per
/// certificate that it sent, from its own and from each one whose signature was verified.
pub(crate) const LOOKS_MAX: usize = (SIGNATURES_MAX + 1) * (SENT_MAX - 1);

/// The longest SASL response that is read, in bytes.
pub(crate) const MAX_RESPONSE_BYTES: usize = 4096;
