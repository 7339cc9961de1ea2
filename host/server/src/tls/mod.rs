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

mod der;
mod jks;
pub(crate) mod name;
mod open;
mod path;
mod settings;
mod store;
mod stream;
mod trust;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use innkeeper_runtime::{Runtime, Select2, Signal, select2};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::server::{
    ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert,
};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::time_provider::TimeProvider;
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion, version};

pub(crate) use open::{Port, Refused, open};
pub use settings::{ClientAuth, StoreSettings, TlsSettings};
pub use store::StoreError;

use crate::settings::{NodeSettings, STORE_LOOK_MS};
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
    /// No version is left.
    #[error("ssl.enabledProtocols={0}: none of these is served here: write TLSv1.2,TLSv1.3")]
    Protocols(String),
    /// No cipher suite is left.
    #[error("ssl.ciphersuites={0}: none of these is known here: write e.g. TLS_AES_256_GCM_SHA384")]
    CipherSuites(String),
    /// What rustls says.
    #[error(
        "TLS cannot be set up: {0}; choose other values of ssl.enabledProtocols and ssl.ciphersuites"
    )]
    Setup(String),
    /// An authentication provider that is not here.
    #[error("ssl.authProvider={0} is not served here: leave it out, or write x509")]
    AuthProvider(String),
}

/// TLS as this node serves it.
#[derive(Debug)]
pub(crate) struct Tls {
    settings: TlsSettings,
    config: ArcSwap<ServerConfig>,
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
        if settings.auth_provider != "x509" {
            return Err(TlsError::AuthProvider(settings.auth_provider));
        }
        let config = config_of(runtime, &settings)?;
        Ok(Some(Self {
            settings,
            config: ArcSwap::from_pointee(config),
            handshakes: AtomicUsize::new(0),
        }))
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
            match config_of(runtime, &self.settings) {
                Ok(config) => {
                    tracing::info!("the stores of TLS have changed and were read again");
                    self.config.store(Arc::new(config));
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

fn config_of<R: Runtime>(runtime: &R, settings: &TlsSettings) -> Result<ServerConfig, TlsError> {
    let provider = provider_of(settings)?;
    let algorithms = provider.signature_verification_algorithms;
    let own = own_key(settings)?;
    let versions = versions_of(settings)?;
    let clock = Arc::new(Clock(runtime.clone()));
    let builder = ServerConfig::builder_with_details(Arc::new(provider), clock)
        .with_protocol_versions(&versions)
        .map_err(|error| TlsError::Setup(error.to_string()))?;
    let builder = match (settings.client_auth, &settings.trust_store.location) {
        (ClientAuth::None, _) => builder.with_client_cert_verifier(Arc::new(NoClientAuth)),
        (ClientAuth::Need, None) => return Err(TlsError::NoTrustStore),
        (wish, location) => {
            let trusted = match location {
                Some(path) => store::read_trust_store(&settings.trust_store, path)?,
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
    Ok(config)
}

fn own_key(settings: &TlsSettings) -> Result<Own, TlsError> {
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
    let key = ring::sign::any_supported_type(&own.key).map_err(|why| {
        error(format!(
            "its private key is of no kind that is served here ({why}): make one of RSA with 2048 \
             bits or more, of P-256, P-384, or Ed25519"
        ))
    })?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&own.chain[0])
        .map_err(|_| error("its certificate is damaged: make it again".to_owned()))?;
    if let Some(public) = key.public_key()
        && public.as_ref() != certificate.public_key().raw
    {
        return Err(error(
            "its certificate is of another key than its private key: put the two that belong \
             together into it"
                .to_owned(),
        ));
    }
    Ok(Own(Arc::new(CertifiedKey::new(own.chain, key))))
}

/// The versions that are served: those that are named, 1.2 and 1.3 if none is.
fn versions_of(settings: &TlsSettings) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
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
            other => tracing::warn!("{key}: {other} is not served here, only TLSv1.2 and TLSv1.3"),
        }
    }
    if versions.is_empty() {
        return Err(TlsError::Protocols(named.join(",")));
    }
    Ok(versions)
}

/// What rustls computes with, with the cipher suites that are named, in that order.
fn provider_of(settings: &TlsSettings) -> Result<CryptoProvider, TlsError> {
    let mut provider = ring::default_provider();
    let Some(named) = &settings.cipher_suites else {
        return Ok(provider);
    };
    let known = std::mem::take(&mut provider.cipher_suites);
    for name in named {
        let suite = known.iter().find(|suite| {
            let suite = format!("{:?}", suite.suite());
            suite.strip_prefix("TLS13_").map_or(suite == *name, |rest| {
                name.strip_prefix("TLS_") == Some(rest)
            })
        });
        match suite {
            Some(suite) => provider.cipher_suites.push(*suite),
            None => tracing::warn!("ssl.ciphersuites: {name} is not known here and is left out"),
        }
    }
    if provider.cipher_suites.is_empty() {
        return Err(TlsError::CipherSuites(named.join(",")));
    }
    Ok(provider)
}
