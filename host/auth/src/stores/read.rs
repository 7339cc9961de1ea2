//! Key stores and trust stores: JKS, PKCS12 and PEM files, as ZooKeeper's settings name them.
//!
//! 1. The kind is what the setting says, else what the file's suffix says. Java reads JKS and
//!    PKCS12 files under either's name, and so do we.
//! 2. A key store yields one private key and its certificates, its own first.
//! 3. A trust store yields the certificates that are trusted.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use innkeeper_tree::text::piece;
use p12_keystore::Pkcs12Archive;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::settings::StoreSettings;
use super::{jks, sealed};
use crate::limits::MAX_STORE_BYTES;
use crate::x509::{kinds, name};

/// A store that cannot be used. It names the file, the setting, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{role}.location={}: {what}", innkeeper_tree::text::file_name(path))]
pub struct StoreError {
    /// `ssl.keyStore` or `ssl.trustStore`.
    role: &'static str,
    path: PathBuf,
    what: String,
}

/// The node's own key and its certificates.
#[derive(Debug)]
pub(crate) struct OwnKey {
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// JKS or PKCS12; the first bytes tell.
    Java,
    Pem,
}

/// A store's file, read and not yet understood.
struct File {
    role: &'static str,
    path: PathBuf,
    kind: Kind,
    bytes: Vec<u8>,
    password: String,
}

/// Reads the key store.
pub(crate) fn read_key_store(settings: &StoreSettings, path: &Path) -> Result<OwnKey, StoreError> {
    let file = File::open("ssl.keyStore", settings, path)?;
    let own = match file.kind {
        Kind::Pem => file.pem_key(),
        Kind::Java if file.bytes.starts_with(&jks::MAGIC) => file.jks_key(),
        Kind::Java => file.pkcs12_key(),
    }?;
    if own.chain.is_empty() {
        return Err(file.error("it holds a private key and no certificate of it: add it"));
    }
    Ok(own)
}

/// Reads the trust store: certificates in DER.
pub(crate) fn read_trust_store(
    settings: &StoreSettings,
    path: &Path,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let file = File::open("ssl.trustStore", settings, path)?;
    let trusted = match file.kind {
        Kind::Pem => file
            .pem_certificates()?
            .into_iter()
            .map(|certificate| certificate.to_vec())
            .collect(),
        Kind::Java if file.bytes.starts_with(&jks::MAGIC) => file
            .jks_entries()?
            .into_iter()
            .filter_map(|entry| match entry {
                jks::Entry::Trusted(certificate) => Some(certificate),
                jks::Entry::Key { .. } => None,
            })
            .collect(),
        Kind::Java => {
            let archive = file.pkcs12()?;
            let trusted = archive.certs.iter().filter(|bag| bag.trusted);
            trusted
                .map(|bag| bag.cert.as_der().to_vec())
                .collect::<Vec<_>>()
        }
    };
    if trusted.is_empty() {
        return Err(file.error(
            "it holds no certificate that is marked as trusted: import one with keytool \
             -importcert, or use a PEM file",
        ));
    }
    Ok(trusted)
}

impl File {
    fn open(role: &'static str, settings: &StoreSettings, path: &Path) -> Result<Self, StoreError> {
        let error = |what: String| StoreError {
            role,
            path: path.to_owned(),
            what,
        };
        let kind = kind_of(role, settings.kind.as_deref(), path).map_err(error)?;
        let size = std::fs::metadata(path).map(|about| about.len());
        if size.is_ok_and(|size| size > MAX_STORE_BYTES) {
            return Err(error(format!(
                "it is larger than {MAX_STORE_BYTES} bytes, which no store is: name another file"
            )));
        }
        let bytes = std::fs::read(path).map_err(|why| {
            error(format!(
                "it cannot be read ({why}): name a file that this user may read"
            ))
        })?;
        let password = match (&settings.password_path, &settings.password) {
            (Some(file), _) => {
                let text = std::fs::read_to_string(file).map_err(|why| {
                    error(format!(
                        "the file of its password, {}, cannot be read ({why}): correct \
                         {role}.passwordPath",
                        innkeeper_tree::text::file_name(file)
                    ))
                })?;
                text.strip_suffix('\n').unwrap_or(&text).to_owned()
            }
            (None, Some(password)) => password.reveal().to_owned(),
            (None, None) => String::new(),
        };
        Ok(Self {
            role,
            path: path.to_owned(),
            kind,
            bytes,
            password,
        })
    }

    fn error(&self, what: impl Into<String>) -> StoreError {
        StoreError {
            role: self.role,
            path: self.path.clone(),
            what: what.into(),
        }
    }

    fn bad_password(&self, why: impl std::fmt::Display) -> StoreError {
        self.error(format!("{why}: correct {}.password", self.role))
    }

    fn jks_entries(&self) -> Result<Vec<jks::Entry>, StoreError> {
        jks::read(&self.bytes, &self.password).map_err(|why| match why {
            jks::JksError::Password => self.bad_password(why),
            _ => self.error(format!("{why}: make it again")),
        })
    }

    fn jks_key(&self) -> Result<OwnKey, StoreError> {
        let keys = self
            .jks_entries()?
            .into_iter()
            .filter_map(|entry| match entry {
                jks::Entry::Key {
                    alias,
                    sealed,
                    chain,
                } => Some((alias, sealed, chain)),
                jks::Entry::Trusted(_) => None,
            });
        let (_, sealed, chain) = keys
            .min_by(|(one, ..), (other, ..)| one.cmp(other))
            .ok_or_else(|| self.error(NO_KEY))?;
        let key = jks::unseal(&sealed, &self.password).map_err(|why| {
            self.bad_password(format!(
                "the private key's password is not the store's ({why})"
            ))
        })?;
        Ok(OwnKey {
            key: PrivatePkcs8KeyDer::from(key).into(),
            chain: chain.into_iter().map(CertificateDer::from).collect(),
        })
    }

    fn pkcs12(&self) -> Result<Pkcs12Archive, StoreError> {
        if self.bytes.starts_with(&jks::JCEKS_MAGIC) {
            return Err(self.error("it is a JCEKS file: convert it with keytool -importkeystore"));
        }
        if self.bytes.first() != Some(&SEQUENCE) {
            return Err(self.error(format!(
                "it is neither a JKS nor a PKCS12 file: say what it is with {}.type",
                self.role
            )));
        }
        Pkcs12Archive::from_pkcs12(&self.bytes, &self.password).map_err(|why| {
            self.bad_password(format!("it cannot be read with its password ({why})"))
        })
    }

    fn pkcs12_key(&self) -> Result<OwnKey, StoreError> {
        let archive = self.pkcs12()?;
        let bag = archive.keys.first().ok_or_else(|| self.error(NO_KEY))?;
        let id = bag.local_key_id.as_ref().map(|id| id.0.as_slice());
        let own = archive
            .certs
            .iter()
            .find(|certificate| id.is_some() && certificate.local_key_id.as_deref() == id)
            .or_else(|| archive.certs.first());
        let mut chain: Vec<CertificateDer<'static>> = Vec::new();
        let mut next = own;
        while let Some(certificate) = next {
            let der = certificate.cert.as_der();
            if chain.iter().any(|known| known.as_ref() == der) {
                break;
            }
            chain.push(CertificateDer::from(der.to_vec()));
            next = issuer_of(der).and_then(|issuer| {
                let mut others = archive.certs.iter();
                others.find(|other| subject_name(other.cert.as_der()).as_ref() == Some(&issuer))
            });
        }
        Ok(OwnKey {
            key: PrivatePkcs8KeyDer::from(bag.key.as_der().to_vec()).into(),
            chain,
        })
    }

    fn pem_certificates(&self) -> Result<Vec<CertificateDer<'static>>, StoreError> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        certificates.map_err(|why| self.error(format!("it is no PEM file ({why}): make it again")))
    }

    fn pem_key(&self) -> Result<OwnKey, StoreError> {
        // Before the certificates: the lines before such a key are no PEM to who looks for those.
        if is_sealed_traditionally(&self.bytes) {
            return Err(self.error(TRADITIONAL));
        }
        if has_dsa_key(&self.bytes) {
            return Err(self.error(format!(
                "its private key is DSA, which is not served here: {}",
                kinds::REMEDY
            )));
        }
        let chain = self.pem_certificates()?;
        let key = match encrypted_pem(&self.bytes) {
            Some(info) => self.decrypt_pem(&info)?,
            None => PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|_| self.error(NO_KEY))?,
        };
        Ok(OwnKey { key, chain })
    }

    fn decrypt_pem(&self, info: &[u8]) -> Result<PrivateKeyDer<'static>, StoreError> {
        let key = sealed::open(info, &self.password).map_err(|why| match why {
            sealed::Sealed::Password => self.bad_password(why),
            _ => self.error(why.to_string()),
        })?;
        Ok(PrivatePkcs8KeyDer::from(key).into())
    }
}

/// The first byte of every PKCS12 file: the tag of a SEQUENCE.
const SEQUENCE: u8 = 0x30;

const NO_KEY: &str = "it holds no private key: name the file that holds the node's own key and \
                      certificate";

const TRADITIONAL: &str = "its private key is encrypted in openssl's traditional way (Proc-Type: \
                           4,ENCRYPTED), which neither ZooKeeper nor this reads: convert it with \
                           openssl pkcs8 -topk8 -v2 aes-256-cbc";

/// Whether a key is under a password by lines of its own, before PKCS#8.
fn is_sealed_traditionally(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let headers = text.split("PRIVATE KEY-----").skip(1);
    headers
        .filter_map(|after| after.trim_start().lines().next())
        .any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"))
}

/// Whether it holds a key of DSA in that algorithm's own form.
fn has_dsa_key(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).contains("-----BEGIN DSA PRIVATE KEY-----")
}

/// What kind of store it is, by the setting or by the suffix.
fn kind_of(role: &str, said: Option<&str>, path: &Path) -> Result<Kind, String> {
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    let word = match said {
        Some(said) => said.to_ascii_uppercase(),
        None => match suffix {
            Some("jks") => "JKS".to_owned(),
            Some("p12" | "pfx") => "PKCS12".to_owned(),
            Some("pem") => "PEM".to_owned(),
            Some("bcfks") => "BCFKS".to_owned(),
            _ => {
                return Err(format!(
                    "its suffix does not tell what it is: write {role}.type=JKS, PEM or PKCS12"
                ));
            }
        },
    };
    match word.as_str() {
        "JKS" | "PKCS12" => Ok(Kind::Java),
        "PEM" => Ok(Kind::Pem),
        "BCFKS" => Err(
            "BCFKS is not read here: convert it to PKCS12 with keytool -importkeystore".to_owned(),
        ),
        other => Err(format!(
            "{} is no kind of store: write {role}.type=JKS, PEM or PKCS12",
            piece(other)
        )),
    }
}

/// The contents of `ENCRYPTED PRIVATE KEY`, if the file has that.
pub(super) fn encrypted_pem(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, after) = text.split_once("-----BEGIN ENCRYPTED PRIVATE KEY-----")?;
    let (body, _) = after.split_once("-----END ENCRYPTED PRIVATE KEY-----")?;
    let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    STANDARD.decode(body).ok()
}

fn subject_name(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(name::canonical(certificate.subject()))
}

fn issuer_of(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(name::canonical(certificate.issuer()))
}
