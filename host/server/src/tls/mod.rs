//! TLS for clients: stores, trust, handshakes.
//!
//! 1. At the node's start the key store and the trust store are read ([`store`]) and become one
//!    configuration of rustls ([`Tls::load`]); what is wrong with them stops the start, in one
//!    sentence.
//! 2. A connection on the secure port, or one whose first byte on the plain port is that of a
//!    TLS handshake where that port takes both, goes through a handshake with a time limit
//!    ([`open`]). A client's certificate is judged by [`trust`], not by webpki.
//! 3. From there on the session speaks to a [`Stream`](innkeeper_runtime::Stream) like any other;
//!    the certificate's subject is an identity of the scheme `x509`.
//! 4. With `client.certReload` the files are looked at every few seconds; changed stores serve
//!    the handshakes that follow, and stores that cannot be read change nothing.
//! 5. What the cryptography cannot do is refused by name, here and whenever the stores are read
//!    again ([`kinds`]); a certificate of the node's own that ends soon is told of ([`expiry`]).

mod der;
mod expiry;
mod halves;
mod jks;
mod kinds;
pub(crate) mod name;
mod open;
mod path;
mod sealed;
mod settings;
mod store;
mod stream;
mod suites;
mod trust;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use innkeeper_runtime::{Runtime, Select2, Signal, select2};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::server::{
    ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert,
};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::time_provider::TimeProvider;

pub(crate) use expiry::Validity;
pub(crate) use open::{Port, Refused, open};
pub use settings::{ClientAuth, StoreSettings, TlsSettings};
pub use store::StoreError;

use crate::auth::BadValue;
use crate::settings::{NodeSettings, STORE_LOOK_MS};
use kinds::Kind;
use suites::{check_suites, provider_of, versions_of};
use trust::Trust;

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
    /// A store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key.
    #[error("ssl.keyStore.location={}: {what}", path.display())]
    Key {
        /// The key store.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A certificate of the trust store.
    #[error("ssl.trustStore.location={}: a certificate in it is damaged: make it again", .0.display())]
    Anchor(PathBuf),
    /// No certificate of the trust store can be used.
    #[error(
        "ssl.trustStore.location={}: no certificate in it can be used here ({why}): issue the \
         clients' certificates by a key of RSA with 2048 to 8192 bits, of P-256, P-384, or Ed25519",
        path.display()
    )]
    Anchors {
        /// The trust store.
        path: PathBuf,
        /// Of each of the first ones, whose it is and why not.
        why: String,
    },
    /// No version is left.
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
        /// Those that are named.
        suites: String,
        /// What kind of key it is.
        kind: String,
    },
    /// What rustls says.
    #[error(
        "TLS cannot be set up: {0}; choose other values of ssl.enabledProtocols and ssl.ciphersuites"
    )]
    Setup(String),
    /// A value that cannot be meant.
    #[error(transparent)]
    Setting(BadValue),
    /// An authentication provider that is not here.
    #[error("ssl.authProvider={0} is not served here: leave it out, or write x509")]
    AuthProvider(String),
}

/// TLS as this node serves it.
#[derive(Debug)]
pub struct Tls {
    settings: TlsSettings,
    config: ArcSwap<ServerConfig>,
    /// Of the certificate that is served.
    validity: ArcSwap<Validity>,
    handshakes: AtomicUsize,
}

impl Tls {
    /// Reads the stores; `None` if neither port takes TLS.
    pub(crate) fn load<R: Runtime>(
        runtime: &R,
        settings: &NodeSettings,
    ) -> Result<Option<Self>, TlsError> {
        if settings.secure_listen.is_none() && !settings.port_unification {
            return Ok(None);
        }
        let settings = settings.tls.clone();
        if let Some(mistake) = settings.mistake {
            return Err(TlsError::Setting(mistake));
        }
        if settings.auth_provider != "x509" {
            return Err(TlsError::AuthProvider(settings.auth_provider));
        }
        let (config, validity) = config_of(runtime, &settings)?;
        let tls = Self {
            settings,
            config: ArcSwap::from_pointee(config),
            validity: ArcSwap::from_pointee(validity),
            handshakes: AtomicUsize::new(0),
        };
        tls.warn_of_end(runtime);
        Ok(Some(tls))
    }

    /// When the node's own certificate is valid.
    pub(crate) fn validity(&self) -> Validity {
        **self.validity.load()
    }

    /// Says in the log that the own certificate has ended, or will soon, if that is so.
    fn warn_of_end<R: Runtime>(&self, runtime: &R) {
        if let Some(warning) = self.validity().warning(wall_s(runtime)) {
            tracing::warn!("{warning}");
        }
    }

    /// Says it again once a day, until the node stops.
    pub(crate) async fn warn_daily<R: Runtime>(&self, runtime: &R, stopping: Signal) {
        while let Select2::Second(()) = select2(stopping.wait(), runtime.sleep(expiry::EVERY)).await
        {
            self.warn_of_end(runtime);
        }
    }

    /// Reads the stores again: handshakes from now on are served by them. Where something is wrong
    /// with them, the old ones stay in use.
    pub(crate) fn read_again<R: Runtime>(&self, runtime: &R) -> Result<(), TlsError> {
        let (config, validity) = config_of(runtime, &self.settings)?;
        self.config.store(Arc::new(config));
        self.validity.store(Arc::new(validity));
        self.warn_of_end(runtime);
        Ok(())
    }

    /// How many handshakes are under way.
    pub(crate) fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::Relaxed)
    }

    /// Looks at the files now and then, and reads them again when they have changed. Returns at
    /// once if that is not wished.
    pub(crate) async fn keep_fresh<R: Runtime>(&self, runtime: &R, stopping: Signal) {
        if !self.settings.reload {
            return;
        }
        let mut interval = runtime.interval(Duration::from_millis(STORE_LOOK_MS));
        let mut seen = self.changed_at();
        loop {
            if let Select2::First(()) = select2(stopping.wait(), interval.tick()).await {
                return;
            }
            let now = self.changed_at();
            if now == seen {
                continue;
            }
            match self.read_again(runtime) {
                Ok(()) => {
                    tracing::info!("the stores of TLS have changed and were read again");
                    seen = now;
                }
                // Perhaps it is being written: the next look may find it whole.
                Err(error) => tracing::warn!("the old stores of TLS stay in use: {error}"),
            }
        }
    }

    fn changed_at(&self) -> Vec<Option<SystemTime>> {
        let stores = [&self.settings.key_store, &self.settings.trust_store];
        let paths = stores
            .into_iter()
            .flat_map(|store| [&store.location, &store.password_path]);
        paths
            .flatten()
            .map(|path| {
                std::fs::metadata(path)
                    .and_then(|about| about.modified())
                    .ok()
            })
            .collect()
    }
}

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
struct Own(Arc<CertifiedKey>);

impl ResolvesServerCert for Own {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

fn wall_s<R: Runtime>(runtime: &R) -> i64 {
    i64::try_from(runtime.wall_ms() / 1000).unwrap_or(i64::MAX)
}

fn config_of<R: Runtime>(
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
                    let trusted = store::read_trust_store(&settings.trust_store, path)?;
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
fn check_anchors(path: &Path, trusted: &[Vec<u8>]) -> Result<(), TlsError> {
    let (mut unserved, mut doubtful) = (Vec::new(), Vec::new());
    for der in trusted {
        // What is damaged is refused where it is taken.
        let Ok((_, certificate)) = x509_parser::parse_x509_certificate(der) else {
            continue;
        };
        let subject = trust::shown(&name::rfc2253(certificate.subject()));
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
            path.display(),
            named(&unserved)
        );
    }
    if !doubtful.is_empty() {
        tracing::warn!(
            "ssl.trustStore.location={}: clients whose certificates are signed as these are, are \
             refused, since that is not served here: {}",
            path.display(),
            named(&doubtful)
        );
    }
    Ok(())
}

fn own_key(settings: &TlsSettings) -> Result<(Own, Validity), TlsError> {
    let path = settings
        .key_store
        .location
        .as_ref()
        .ok_or(TlsError::NoKeyStore)?;
    let error = |what: String| TlsError::Key {
        path: path.clone(),
        what,
    };
    let own = store::read_key_store(&settings.key_store, path)?;
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
