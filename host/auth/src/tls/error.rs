//! Why TLS cannot be served.

use std::path::PathBuf;

use innkeeper_runtime::TaskError;

use crate::stores::StoreError;
use crate::values::BadValue;

/// Why TLS cannot be served. Each says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no key store.
    #[error(
        "TLS needs the node's own key and certificate: name their file with ssl.keyStore.location"
    )]
    NoKeyStore,
    /// Certificates are demanded and none would be believed.
    #[error(
        "clients must show a certificate, and none would be believed: name a trust store with \
         ssl.trustStore.location, or set ssl.clientAuth=none"
    )]
    NoTrustStore,
    /// A store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stores were not read to the end.
    #[error("the stores were not read: {0}; ask for it again")]
    Reading(TaskError),
    /// The private key, or its certificate, cannot be used.
    #[error(
        "ssl.keyStore.location={}: {what}",
        innkeeper_tree::text::file_name(path)
    )]
    Key {
        /// The key store.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A certificate of the trust store is damaged.
    #[error("ssl.trustStore.location={}: a certificate in it is damaged: make it again", innkeeper_tree::text::file_name(.0))]
    Anchor(PathBuf),
    /// No certificate of the trust store can be used.
    #[error(
        "ssl.trustStore.location={}: no certificate in it can be used here ({why}): issue the \
         clients' certificates by a key of RSA with 2048 to 8192 bits, of P-256, P-384, or Ed25519",
        innkeeper_tree::text::file_name(path)
    )]
    Anchors {
        /// The trust store.
        path: PathBuf,
        /// Whose certificates they are and why they cannot be used: the first of them.
        why: String,
    },
    /// No protocol version is left.
    #[error("ssl.enabledProtocols={0}: none of these is served here: write TLSv1.2,TLSv1.3")]
    Protocols(String),
    /// No cipher suite is left.
    #[error(
        "ssl.ciphersuites={0}: none of these is served here ({1}): write e.g. \
         TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, and \
         TLS_AES_256_GCM_SHA384 for TLSv1.3"
    )]
    CipherSuites(String, String),
    /// No cipher suite goes with the own key.
    #[error(
        "ssl.ciphersuites={suites}: none of these goes with the node's own key, which is {kind}, in \
         the versions that are served: name suites of ECDHE_RSA for a key of RSA, of ECDHE_ECDSA \
         for any other"
    )]
    NoSuiteForKey {
        /// The suites that `ssl.ciphersuites` names.
        suites: String,
        /// The kind of the node's own key.
        kind: String,
    },
    /// rustls refuses the settings.
    #[error(
        "TLS cannot be set up: {0}; choose other values of ssl.enabledProtocols and ssl.ciphersuites"
    )]
    Setup(String),
    /// A value that is none of those that there are.
    #[error(transparent)]
    Setting(BadValue),
    /// An authentication provider that is not here.
    #[error("ssl.authProvider={0} is not served here: leave it out, or write x509")]
    AuthProvider(String),
}
