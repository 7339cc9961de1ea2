//! The configuration of rustls: the own key, whose certificates are believed, versions and suites.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::Runtime;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::server::{
    ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert,
};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::time_provider::TimeProvider;

use super::error::TlsError;
use super::expiry::Validity;
use super::settings::{ClientAuth, TlsSettings};
use super::suites::{check_suites, provider_of, versions_of};
use crate::stores::{self, halves};
use crate::x509::kinds::{self, Kind};
use crate::x509::{self, Trust, name};

/// The wall clock, as the node has it, for the validity of certificates.
#[derive(Debug)]
struct Clock<R>(R);

impl<R: Runtime> TimeProvider for Clock<R> {
    fn current_time(&self) -> Option<UnixTime> {
        let since_1970 = Duration::from_millis(self.0.wall_ms());
        Some(UnixTime::since_unix_epoch(since_1970))
    }
}

/// Always the node's own certificate, whatever the client asks for.
#[derive(Debug)]
pub(super) struct Own(Arc<CertifiedKey>);

impl ResolvesServerCert for Own {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// The configuration of rustls by these settings, and until when the own certificate is valid.
pub(super) fn config_of<R: Runtime>(
    runtime: &R,
    settings: &TlsSettings,
) -> Result<(ServerConfig, Validity), TlsError> {
    let provider = provider_of(settings)?;
    let algorithms = provider.signature_verification_algorithms;
    let (own, validity) = own_key(settings)?;
    let versions = versions_of(settings)?;
    check_suites(settings, &provider, &versions, &own.0)?;
    let clock = Arc::new(Clock(runtime.clone()));
    let builder = ServerConfig::builder_with_details(Arc::new(provider), clock)
        .with_protocol_versions(&versions)
        .map_err(|error| TlsError::Setup(error.to_string()))?;
    let builder = match (settings.client_auth, &settings.trust_store.location) {
        (ClientAuth::None, _) => builder.with_client_cert_verifier(Arc::new(NoClientAuth)),
        (ClientAuth::Need, None) => return Err(TlsError::NoTrustStore),
        (wish, location) => {
            let trusted = match location {
                Some(path) => {
                    let trusted = stores::read_trust_store(&settings.trust_store, path)?;
                    check_anchors(path, &trusted)?;
                    trusted
                }
                None => Vec::new(),
            };
            let trust = Trust::new(trusted, wish == ClientAuth::Need, algorithms);
            let path = location.clone().unwrap_or_default();
            let trust = trust.map_err(|_| TlsError::Anchor(path))?;
            builder.with_client_cert_verifier(Arc::new(trust))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(own));
    // A resumed session would skip the look at the client's certificate.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok((config, validity))
}

/// Certificates of a trust store that are named one by one.
const ANCHORS_NAMED: usize = 10;

/// Names the certificates of the trust store by whose keys nothing can be verified here. A store
/// of nothing else is refused; beside others they are a warning, since stores of public
/// authorities hold some of every kind.
pub(super) fn check_anchors(path: &Path, trusted: &[Vec<u8>]) -> Result<(), TlsError> {
    let (mut unserved, mut doubtful) = (Vec::new(), Vec::new());
    for der in trusted {
        // What is damaged is refused where it is taken.
        let Ok((_, certificate)) = x509_parser::parse_x509_certificate(der) else {
            continue;
        };
        let subject = x509::shown(&name::rfc2253(certificate.subject()));
        let kind = Kind::of_public(certificate.public_key().raw);
        let signature = &certificate.signature_algorithm;
        if !kind.is_verified() {
            unserved.push(format!("{subject}: its key is {kind}"));
        } else if !kinds::is_signature_verified(signature) {
            let signature = kinds::signature_name(signature);
            doubtful.push(format!("{subject}: it is signed with {signature}"));
        }
    }
    let named = |all: &[String]| {
        let more = all.len().saturating_sub(ANCHORS_NAMED);
        let mut named = all[..all.len() - more].join(", ");
        if more > 0 {
            named.push_str(&format!(", and {more} more"));
        }
        named
    };
    if unserved.len() == trusted.len() && !trusted.is_empty() {
        return Err(TlsError::Anchors {
            path: path.to_owned(),
            why: named(&unserved),
        });
    }
    if !unserved.is_empty() {
        tracing::warn!(
            "ssl.trustStore.location={}: clients whose certificates are issued by these are \
             refused, since their kind is not served here: {}",
            innkeeper_tree::text::file_name(path),
            named(&unserved)
        );
    }
    if !doubtful.is_empty() {
        tracing::warn!(
            "ssl.trustStore.location={}: clients whose certificates are signed as these are, are \
             refused, since that is not served here: {}",
            innkeeper_tree::text::file_name(path),
            named(&doubtful)
        );
    }
    Ok(())
}

/// Reads the node's own key and certificate, and checks that they go together.
pub(super) fn own_key(settings: &TlsSettings) -> Result<(Own, Validity), TlsError> {
    let path = settings
        .key_store
        .location
        .as_ref()
        .ok_or(TlsError::NoKeyStore)?;
    let error = |what: String| TlsError::Key {
        path: path.clone(),
        what,
    };
    let own = stores::read_key_store(&settings.key_store, path)?;
    let kind = Kind::of_private(&own.key);
    let unserved = |why: &str| {
        error(format!(
            "its private key is {kind}, which is not served here{why}: {}",
            kinds::REMEDY
        ))
    };
    if !kind.signs() && kind != Kind::Damaged {
        return Err(unserved(""));
    }
    let mixed = || {
        error(
            "its certificate is of another key than its private key: put the two that belong \
             together into it"
                .to_owned(),
        )
    };
    let (_, certificate) = x509_parser::parse_x509_certificate(&own.chain[0])
        .map_err(|_| error("its certificate is damaged: make it again".to_owned()))?;
    let public = certificate.public_key().raw;
    if kind.signs() && Kind::of_public(public) != kind {
        return Err(mixed());
    }
    let completed = halves::completed(&own.key, public);
    let key = ring::sign::any_supported_type(completed.as_ref().unwrap_or(&own.key));
    let key = key.map_err(|why| match completed {
        // Its public half is the certificate's, and they do not go together.
        Some(_) => mixed(),
        None => unserved(&format!(" ({why})")),
    })?;
    if key.public_key().is_some_and(|own| own.as_ref() != public) {
        return Err(mixed());
    }
    let validity = Validity::of(own.chain.iter().map(AsRef::as_ref))
        .ok_or_else(|| error("a certificate in it is damaged: make it again".to_owned()))?;
    Ok((Own(Arc::new(CertifiedKey::new(own.chain, key))), validity))
}
