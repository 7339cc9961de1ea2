//! Protocol versions and cipher suites, by Java's names.

use innkeeper_tree::text::piece;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{SupportedProtocolVersion, version};

use super::error::TlsError;
use super::settings::TlsSettings;
use crate::x509::kinds::Kind;

/// The versions that are served: those that are named, 1.2 and 1.3 if none is.
pub(super) fn versions_of(
    settings: &TlsSettings,
) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let both = vec![&version::TLS13, &version::TLS12];
    let (named, key) = match (&settings.protocols, &settings.protocol) {
        (Some(named), _) => (named.clone(), "ssl.enabledProtocols"),
        (None, Some(named)) => (vec![named.clone()], "ssl.protocol"),
        (None, None) => return Ok(both),
    };
    let mut versions = Vec::new();
    for name in &named {
        match name.as_str() {
            "TLS" => versions.extend(&both),
            "TLSv1.3" => versions.push(&version::TLS13),
            "TLSv1.2" => versions.push(&version::TLS12),
            other => {
                let other = piece(other);
                tracing::warn!("{key}: {other} is not served here, only TLSv1.2 and TLSv1.3");
            }
        }
    }
    if versions.is_empty() {
        return Err(TlsError::Protocols(piece(named.join(","))));
    }
    Ok(versions)
}

/// What rustls computes with, with the cipher suites that are named, in that order.
pub(super) fn provider_of(settings: &TlsSettings) -> Result<CryptoProvider, TlsError> {
    let mut provider = ring::default_provider();
    let Some(named) = &settings.cipher_suites else {
        return Ok(provider);
    };
    let known = std::mem::take(&mut provider.cipher_suites);
    let mut missing = Vec::new();
    for name in named {
        let suite = known.iter().find(|suite| {
            let suite = format!("{:?}", suite.suite());
            suite.strip_prefix("TLS13_").map_or(suite == *name, |rest| {
                name.strip_prefix("TLS_") == Some(rest)
            })
        });
        match suite {
            Some(suite) => provider.cipher_suites.push(*suite),
            // Not a suite, but a sign that Java's lists carry.
            None if name == "TLS_EMPTY_RENEGOTIATION_INFO_SCSV" => {}
            None => {
                let (why, name) = (why_no_suite(name), piece(name));
                tracing::warn!("ssl.ciphersuites: {name} is left out: {why}");
                missing.push(format!("{name}: {why}"));
            }
        }
    }
    if provider.cipher_suites.is_empty() {
        return Err(TlsError::CipherSuites(
            piece(named.join(",")),
            piece(missing.join("; ")),
        ));
    }
    Ok(provider)
}

/// Whether a suite is left that goes with the own key.
pub(super) fn check_suites(
    settings: &TlsSettings,
    provider: &CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
    own: &CertifiedKey,
) -> Result<(), TlsError> {
    let Some(named) = &settings.cipher_suites else {
        return Ok(());
    };
    let algorithm = own.key.algorithm();
    let fits = provider.cipher_suites.iter().any(|suite| {
        let version = suite.version().version;
        suite.usable_for_signature_algorithm(algorithm)
            && versions.iter().any(|served| served.version == version)
    });
    if fits {
        return Ok(());
    }
    let (_, certificate) = x509_parser::parse_x509_certificate(&own.cert[0])
        .map_err(|error| TlsError::Setup(error.to_string()))?;
    Err(TlsError::NoSuiteForKey {
        suites: piece(named.join(",")),
        kind: Kind::of_public(certificate.public_key().raw).to_string(),
    })
}

/// Why a suite by Java's name is not there.
fn why_no_suite(name: &str) -> &'static str {
    let has = |part: &str| name.contains(part);
    if !name.starts_with("TLS_") && !name.starts_with("SSL_") {
        "it is no name of a suite"
    } else if has("_NULL_") || name.ends_with("_NULL") || has("_anon_") || has("_EXPORT_") {
        "it protects nothing"
    } else if has("_CBC_") {
        "CBC suites are not served here"
    } else if has("_RC4_") {
        "RC4 suites are not served here"
    } else if has("_CCM") {
        "CCM suites are not served here"
    } else if has("TLS_RSA_WITH") || has("_ECDH_") || has("_DH_") {
        "suites without forward secrecy are not served here"
    } else if has("_DHE_") {
        "DHE suites are not served here, only ECDHE"
    } else {
        "it is not known here"
    }
}
