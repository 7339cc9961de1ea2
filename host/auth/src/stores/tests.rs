//! Stores of every format, with keys and certificates made on the spot.
#![allow(clippy::disallowed_methods)] // Tests write files of their own.

use std::path::PathBuf;

use proptest::prelude::*;

use super::jks;
use super::read::{read_key_store, read_trust_store};
use super::settings::StoreSettings;
use crate::values::Secret;
use crate::x509::tests::{Draft, key, pem, sequence, tlv};

/// Names and contents of a file of `testdata`, in which a line `== NAME` begins each.
pub(crate) fn sections(file: &str) -> Vec<(&str, String)> {
    let mut sections: Vec<(&str, String)> = Vec::new();
    for line in file.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            sections.push((name, String::new()));
        } else if let Some((_, contents)) = sections.last_mut() {
            contents.push_str(line);
            contents.push('\n');
        }
    }
    sections
}

/// A folder with stores of one key and one authority, in every format.
pub(crate) struct Stores {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) key: Vec<u8>,
    pub(crate) own: Vec<u8>,
    pub(crate) ca: Vec<u8>,
}

const PASSWORD: &str = "apässword";

impl Stores {
    pub(crate) fn new() -> Self {
        let (ca_key, own_key) = (key(), key());
        Self {
            folder: tempfile::tempdir().unwrap(),
            key: own_key.serialize_der(),
            own: Draft::new("localhost", "ca")
                .version_1()
                .sign(&own_key, &ca_key),
            ca: Draft::new("ca", "ca")
                .authority(None)
                .sign(&ca_key, &ca_key),
        }
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn chain(&self) -> Vec<Vec<u8>> {
        vec![self.own.clone(), self.ca.clone()]
    }

    fn jks_key(&self, password: &str) -> Vec<u8> {
        let entry = jks::Entry::Key {
            alias: "server cert".to_owned(),
            sealed: jks::write::seal(&self.key, password),
            chain: self.chain(),
        };
        jks::write::store(&[jks::Entry::Trusted(self.ca.clone()), entry], password)
    }

    fn pkcs12(&self, trusted: bool) -> Vec<u8> {
        use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
        let certificate = |der: &[u8]| Certificate::from_der(der).unwrap();
        let mut store = KeyStore::new();
        let entry = if trusted {
            KeyStoreEntry::Certificate(certificate(&self.ca))
        } else {
            let key = PrivateKey::from_der(&self.key).unwrap();
            let certificates = self
                .chain()
                .iter()
                .map(|der| certificate(der))
                .collect::<Vec<_>>();
            KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new("id", key, certificates))
        };
        store.add_entry("one", entry);
        store.writer(PASSWORD).write().unwrap()
    }

    fn encrypted_pem(&self) -> String {
        let algorithm = pbes2();
        let scheme = pkcs5::EncryptionScheme::try_from(algorithm.as_slice()).unwrap();
        let sealed = scheme.encrypt(PASSWORD, &self.key).unwrap();
        let info = sequence(&[&algorithm, &tlv(4, &sealed)]);
        pem("ENCRYPTED PRIVATE KEY", &[info])
    }
}

/// What openssl encrypts a key with: PBES2, PBKDF2 with HMAC-SHA-256 and 1000 rounds, AES-256-CBC.
fn pbes2() -> Vec<u8> {
    let oid = |bytes: &[u8]| tlv(6, bytes);
    let prf = sequence(&[
        &oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 9]),
        &tlv(5, &[]),
    ]);
    let kdf_parameters = sequence(&[&tlv(4, &[7; 16]), &tlv(2, &[3, 0xe8]), &prf]);
    let kdf = sequence(&[
        &oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 12]),
        &kdf_parameters,
    ]);
    let aes = oid(&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 0x2a]);
    let cipher = sequence(&[&aes, &tlv(4, &[9; 16])]);
    let pbes2 = oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13]);
    sequence(&[&pbes2, &sequence(&[&kdf, &cipher])])
}

pub(crate) fn with_password(password: &str) -> StoreSettings {
    StoreSettings {
        password: Some(Secret::new(password)),
        ..StoreSettings::default()
    }
}

#[test]
fn key_stores_of_every_format_yield_key_and_certificates() {
    let stores = Stores::new();
    let plain_pem = pem("PRIVATE KEY", std::slice::from_ref(&stores.key))
        + &pem("CERTIFICATE", &stores.chain());
    let sealed_pem = pem("CERTIFICATE", &stores.chain()) + &stores.encrypted_pem();
    for (name, bytes) in [
        ("key.jks", stores.jks_key(PASSWORD)),
        // Java reads either format under either name.
        ("really-jks.p12", stores.jks_key(PASSWORD)),
        ("key.p12", stores.pkcs12(false)),
        ("key.pfx", stores.pkcs12(false)),
        ("really-p12.jks", stores.pkcs12(false)),
        ("key.pem", plain_pem.into_bytes()),
        ("sealed.pem", sealed_pem.into_bytes()),
    ] {
        let path = stores.write(name, bytes);
        let own = read_key_store(&with_password(PASSWORD), &path).expect(name);
        assert_eq!(own.key.secret_der(), stores.key, "{name}");
        let chain: Vec<Vec<u8>> = own.chain.iter().map(|der| der.to_vec()).collect();
        assert_eq!(chain, stores.chain(), "{name}");
    }
}

#[test]
fn trust_stores_of_every_format_yield_what_is_trusted() {
    let stores = Stores::new();
    let only_ca = jks::write::store(&[jks::Entry::Trusted(stores.ca.clone())], PASSWORD);
    for (name, bytes) in [
        ("trust.jks", only_ca),
        // The key's own certificates are not trusted.
        ("with-key.jks", stores.jks_key(PASSWORD)),
        ("trust.p12", stores.pkcs12(true)),
        (
            "trust.pem",
            pem("CERTIFICATE", std::slice::from_ref(&stores.ca)).into_bytes(),
        ),
    ] {
        let path = stores.write(name, bytes);
        let trusted = read_trust_store(&with_password(PASSWORD), &path).expect(name);
        assert_eq!(trusted, std::slice::from_ref(&stores.ca), "{name}");
    }
    let path = stores.write("keys-only.p12", stores.pkcs12(false));
    let error = read_trust_store(&with_password(PASSWORD), &path).unwrap_err();
    assert!(error.to_string().contains("keytool -importcert"), "{error}");
}

#[test]
fn the_kind_and_the_password_may_be_said() {
    let stores = Stores::new();
    let path = stores.write("store", stores.jks_key(PASSWORD));
    let password_path = stores.write("password", format!("{PASSWORD}\n"));
    let settings = StoreSettings {
        kind: Some("jks".to_owned()),
        password_path: Some(password_path),
        ..with_password("overridden")
    };
    assert!(read_key_store(&settings, &path).is_ok());
}

#[test]
fn what_is_wrong_with_a_store_is_one_sentence() {
    let stores = Stores::new();
    let jks = stores.write("key.jks", stores.jks_key(PASSWORD));
    let p12 = stores.write("key.p12", stores.pkcs12(false));
    let sealed = stores.write(
        "sealed.pem",
        stores.encrypted_pem() + &pem("CERTIFICATE", &stores.chain()),
    );
    let bcfks = stores.write("key.bcfks", b"");
    let nameless = stores.write("key", b"");
    let jceks = stores.write("jceks.jks", jks::JCEKS_MAGIC);
    let garbage = stores.write("garbage.jks", b"what?");
    let cut = stores.write("cut.jks", &stores.jks_key(PASSWORD)[..100]);
    let empty = stores.write("empty.pem", b"");
    let no_key = stores.write("no-key.jks", jks::write::store(&[], PASSWORD));
    let missing = stores.folder.path().join("missing.jks");
    for (path, password, says) in [
        (&jks, "wrong", "correct ssl.keyStore.password"),
        (&p12, "wrong", "correct ssl.keyStore.password"),
        (&sealed, "wrong", "correct ssl.keyStore.password"),
        (&bcfks, "", "BCFKS is not read here: convert it"),
        (&nameless, "", "write ssl.keyStore.type=JKS, PEM or PKCS12"),
        (&jceks, "", "JCEKS"),
        (&garbage, "", "neither a JKS nor a PKCS12"),
        (&cut, PASSWORD, "damaged"),
        (&empty, "", "holds no private key"),
        (&no_key, PASSWORD, "holds no private key"),
        (&missing, "", "name a file that this user may read"),
    ] {
        let error = read_key_store(&with_password(password), path)
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{error}");
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_store_panics(at in 0usize..2000, byte in any::<u8>(), cut in 0usize..2000) {
        static MADE: std::sync::OnceLock<(Stores, Vec<u8>, Vec<u8>)> = std::sync::OnceLock::new();
        let (stores, p12, jks) = MADE.get_or_init(|| {
            let stores = Stores::new();
            let (p12, jks) = (stores.pkcs12(false), stores.jks_key(PASSWORD));
            (stores, p12, jks)
        });
        for bytes in [p12, jks] {
            let mut changed = bytes.clone();
            let at = at % changed.len();
            changed[at] = byte;
            changed.truncate(cut.max(1));
            let path = stores.write("changed.p12", &changed);
            let _ = read_key_store(&with_password(PASSWORD), &path);
            let _ = read_trust_store(&with_password(PASSWORD), &path);
        }
    }
}
