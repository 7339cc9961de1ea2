//! What is served and what is refused, with stores made on the spot.
#![allow(clippy::disallowed_methods)] // Tests write files of their own.

mod kinds;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use innkeeper_runtime::{Real, RealConfig, Runtime, Signal, Sim, ThreadRole, select2};
use parking_lot::Mutex;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::config::{check_anchors, own_key};
use super::error::TlsError;
use super::serve::Tls;
use super::settings::{ClientAuth, TlsSettings};
use super::suites::{provider_of, versions_of};
use crate::stores::tests::{Stores, sections, with_password};
use crate::stores::{self, StoreSettings, halves};
use crate::values::Secret;
use crate::x509::tests::{Draft, key, pem, verify, verify_at};

/// What `work` writes into the log.
fn logged(work: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = lines.0.lock().clone();
    String::from_utf8(bytes).unwrap()
}

fn own_in(path: &Path) -> TlsSettings {
    TlsSettings {
        key_store: StoreSettings {
            location: Some(path.to_owned()),
            ..StoreSettings::default()
        },
        client_auth: ClientAuth::None,
        ..TlsSettings::default()
    }
}

#[test]
fn keys_that_do_not_fit_are_refused() {
    let (stores, others) = (Stores::new(), Stores::new());
    let mixed = pem("PRIVATE KEY", std::slice::from_ref(&stores.key))
        + &pem("CERTIFICATE", std::slice::from_ref(&others.own));
    let path = stores.write("mixed.pem", mixed);
    let error = own_key(&own_in(&path)).unwrap_err().to_string();
    assert!(
        error.contains("of another key than its private key"),
        "{error}"
    );
    let good = pem("PRIVATE KEY", std::slice::from_ref(&stores.key))
        + &pem("CERTIFICATE", std::slice::from_ref(&stores.own));
    let path = stores.write("good.pem", good);
    assert!(own_key(&own_in(&path)).is_ok());
    let none = own_key(&TlsSettings::default());
    assert!(matches!(none, Err(TlsError::NoKeyStore)));
}

#[test]
fn versions_and_cipher_suites_go_by_javas_names() {
    let mut settings = TlsSettings::default();
    assert_eq!(versions_of(&settings).unwrap().len(), 2);
    settings.protocol = Some("TLSv1.2".to_owned());
    assert_eq!(versions_of(&settings).unwrap().len(), 1);
    settings.protocols = Some(vec!["TLSv1.1".to_owned()]);
    assert!(matches!(
        versions_of(&settings),
        Err(TlsError::Protocols(_))
    ));
    let known = provider_of(&settings).unwrap().cipher_suites.len();
    let names = [
        "TLS_AES_128_GCM_SHA256",
        "TLS_RSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    ];
    settings.cipher_suites = Some(names.map(str::to_owned).to_vec());
    let chosen = provider_of(&settings).unwrap().cipher_suites;
    assert_eq!((known > 2, chosen.len()), (true, 2));
    for (name, says) in [
        ("NONE", "NONE: it is no name of a suite"),
        (
            "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
            "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384: CBC suites are not served here",
        ),
        (
            "SSL_RSA_WITH_3DES_EDE_CBC_SHA",
            "CBC suites are not served here",
        ),
        ("TLS_RSA_WITH_AES_128_GCM_SHA256", "without forward secrecy"),
        ("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "only ECDHE"),
        ("SSL_DH_anon_WITH_RC4_128_MD5", "it protects nothing"),
        ("TLS_NOVEL_WITH_SHA1024", "it is not known here"),
    ] {
        settings.cipher_suites = Some(vec![name.to_owned()]);
        let error = provider_of(&settings).unwrap_err();
        assert!(matches!(error, TlsError::CipherSuites(..)), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        // Beside one that is served, it is left out by name.
        let served = "TLS_AES_128_GCM_SHA256".to_owned();
        settings.cipher_suites = Some(vec![name.to_owned(), served]);
        let mut count = 0;
        let logged = logged(|| {
            let provider = provider_of(&settings).unwrap();
            count = provider.cipher_suites.len();
        });
        assert_eq!(count, 1);
        assert!(
            logged.contains(&format!("{name} is left out: ")),
            "{logged}"
        );
    }
}

/// A suite for keys of another kind would let no client in.
#[test]
fn suites_must_go_with_the_own_key() {
    let stores = Stores::new();
    let good = pem("PRIVATE KEY", std::slice::from_ref(&stores.key))
        + &pem("CERTIFICATE", std::slice::from_ref(&stores.own));
    let mut settings = own_in(&stores.write("own.pem", good));
    Sim::run(1, async |runtime| {
        let mut with = |suites: &[&str], protocol: &str| {
            let suites = suites.iter().map(|suite| (*suite).to_owned());
            settings.cipher_suites = Some(suites.collect());
            settings.protocol = Some(protocol.to_owned());
            Tls::load(&runtime, &settings).map(|_| ())
        };
        let (rsa, ecdsa) = (
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        );
        let error = with(&[rsa], "TLSv1.2").unwrap_err().to_string();
        assert!(error.contains("own key, which is P-256"), "{error}");
        assert!(error.contains(rsa), "{error}");
        with(&[rsa, ecdsa], "TLSv1.2").unwrap();
        with(&[rsa, "TLS_AES_128_GCM_SHA256"], "TLS").unwrap();
        with(&[ecdsa, "TLS_AES_128_GCM_SHA256"], "TLSv1.2").unwrap();
    });
}

/// A store that takes long to read: a pipe that is written only once the one thread of the clients
/// has done something else.
#[test]
fn stores_are_read_again_on_a_thread_that_may_block() {
    let stores = Stores::new();
    let good = pem("PRIVATE KEY", std::slice::from_ref(&stores.key))
        + &pem("CERTIFICATE", std::slice::from_ref(&stores.own));
    let path = stores.write("own.pem", &good);
    let config = RealConfig {
        client_threads: NonZeroUsize::MIN,
        ..RealConfig::default()
    };
    let were_served = Real::run(config, async |runtime| {
        let tls = Arc::new(Tls::load(&runtime, &own_in(&path)).unwrap());
        let before = tls.config.load_full();
        std::fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let (serving, served) = std::sync::mpsc::channel();
        let writer = std::thread::spawn(move || {
            let were_served = served.recv_timeout(Duration::from_secs(10)).is_ok();
            std::fs::write(&path, &good).unwrap();
            were_served
        });
        let (reading, clock) = (tls.clone(), runtime.clone());
        let again = runtime.spawn(ThreadRole::Client, async move {
            reading.read_again(&clock).await
        });
        let client = runtime.spawn(ThreadRole::Client, async move { serving.send(()) });
        client.await.unwrap().unwrap();
        again.await.unwrap().unwrap();
        assert!(!Arc::ptr_eq(&before, &tls.config.load_full()));
        writer.join().unwrap()
    });
    assert!(were_served.unwrap());
}
