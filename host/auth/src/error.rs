//! Why a node cannot tell who its clients are.

use std::path::PathBuf;

/// Why a node cannot tell who its clients are. Each says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The JAAS file cannot be read.
    #[error(
        "the JAAS file {} cannot be read: {error}; correct java.security.auth.login.config, or leave it out",
        innkeeper_tree::text::file_name(path)
    )]
    JaasFile {
        /// The file, as the configuration names it.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The JAAS file is no JAAS file.
    #[error(
        "the JAAS file {} is not usable: {what}",
        innkeeper_tree::text::file_name(path)
    )]
    Jaas {
        /// The file, as the configuration names it.
        path: PathBuf,
        /// The line, and what is wrong in it.
        what: String,
    },
    /// Authentication is demanded, and no scheme is named.
    #[error(
        "enforce.auth.enabled is true and enforce.auth.schemes is empty: name a scheme, e.g. sasl"
    )]
    NoScheme,
    /// Authentication is demanded by a scheme that is not served.
    #[error(
        "authentication by {} is demanded, and that scheme is not served: add \
         authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider for sasl, \
         X509AuthenticationProvider for x509",
        innkeeper_tree::text::piece(scheme)
    )]
    SchemeNotServed {
        /// The scheme, as `enforce.auth.schemes` names it.
        scheme: String,
    },
}
