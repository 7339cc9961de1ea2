//! Whose client certificates are believed, as Java's default trust manager believes them.
//!
//! A certificate is accepted in one of two ways:
//! 1. It stands in the trust store itself; then nothing else is asked of it.
//! 2. A path leads from it to a certificate of the trust store: each certificate names the next
//!    one as its issuer and bears a signature by its key, is valid now, and has no critical
//!    extension that is not understood; each between the first and the last may issue
//!    certificates. Of the last one only name and key count, and that it is no end entity's.
//!
//! webpki, which rustls would ask, refuses certificates of version 1, which carry no extensions;
//! Java does not, and clients of ZooKeeper have them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::WebPkiSupportedAlgorithms;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerMisbehaved,
    SignatureScheme,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::x509::X509Version;

use super::{der, name};

/// How many certificates may stand between the client's own and one of the trust store.
const INTERMEDIATES_MAX: usize = 10;

/// Signatures that are verified for one client, whatever it sends.
const SIGNATURES_MAX: usize = 64;

/// Why a client's certificate is not believed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Distrust {
    /// It is no certificate.
    #[error("it is no certificate")]
    NoCertificate,
    /// No path leads to the trust store.
    #[error("no path leads from its issuer to the trust store: {0}")]
    NoPath(String),
    /// Its time has not come, or has gone.
    #[error("it is not valid now: {0}")]
    Time(String),
    /// The signature is not by the issuer's key.
    #[error("its signature is not by its issuer's key: {0}")]
    Signature(String),
    /// A critical extension is not understood.
    #[error("it has a critical extension that is not understood: {0}")]
    Critical(String),
    /// It may not be used for this.
    #[error("it may not be used so: {0}")]
    Use(&'static str),
    /// It names other addresses.
    #[error("it does not name the client's address")]
    Address,
}

/// The trust store, and what a client must show.
pub(crate) struct Trust {
    /// By the canonical form of their subject.
    anchors: HashMap<String, Vec<Vec<u8>>>,
    hints: Vec<DistinguishedName>,
    /// Whether a client without a certificate is turned away.
    mandatory: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("anchors", &self.anchors.len())
            .finish_non_exhaustive()
    }
}

impl Trust {
    /// Trusts these certificates; what is none among them is an error.
    pub(crate) fn new(
        trusted: Vec<Vec<u8>>,
        mandatory: bool,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, Distrust> {
        let mut anchors: HashMap<String, Vec<Vec<u8>>> = HashMap::new();
        let mut hints = Vec::new();
        for anchor in trusted {
            let parsed = parse(&anchor)?;
            hints.push(DistinguishedName::from(parsed.subject().as_raw().to_vec()));
            let subject = name::canonical(parsed.subject());
            anchors.entry(subject).or_default().push(anchor);
        }
        Ok(Self {
            anchors,
            hints,
            mandatory,
            algorithms,
        })
    }

    /// Whether a client with this certificate, and these others beside it, is believed.
    pub(crate) fn verify(&self, own: &[u8], others: &[&[u8]], now_s: i64) -> Result<(), Distrust> {
        let leaf = parse(own)?;
        let namesakes = self.anchors.get(&name::canonical(leaf.subject()));
        if namesakes.is_some_and(|anchors| anchors.iter().any(|anchor| anchor == own)) {
            return Ok(());
        }
        let others = others
            .iter()
            .map(|other| parse(other))
            .collect::<Result<Vec<_>, _>>()?;
        check_time(&leaf, now_s)?;
        check_critical(&leaf)?;
        check_client_use(&leaf)?;
        let mut search = Search {
            trust: self,
            others: &others,
            now_s,
            signatures: SIGNATURES_MAX,
            why: None,
        };
        if search.reaches_anchor(&leaf, &mut Vec::new()) {
            return Ok(());
        }
        let issuer = || leaf.issuer().to_string();
        Err(search.why.unwrap_or_else(|| Distrust::NoPath(issuer())))
    }
}

/// A search for a path, depth first.
struct Search<'a> {
    trust: &'a Trust,
    others: &'a [X509Certificate<'a>],
    now_s: i64,
    /// How many more are verified.
    signatures: usize,
    /// The first reason why a path that almost was there is none.
    why: Option<Distrust>,
}

impl Search<'_> {
    /// Whether a path leads on from `certificate`; `path` holds the intermediates behind it, by
    /// their places.
    fn reaches_anchor(&mut self, certificate: &X509Certificate<'_>, path: &mut Vec<usize>) -> bool {
        let issuer = name::canonical(certificate.issuer());
        let anchors = self.trust.anchors.get(&issuer);
        for anchor in anchors.into_iter().flatten() {
            let Ok(anchor) = parse(anchor) else { continue };
            let fits = check_anchor(&anchor).and_then(|()| self.is_signed(certificate, &anchor));
            if self.notes(fits) {
                return true;
            }
        }
        if path.len() >= INTERMEDIATES_MAX {
            return false;
        }
        let others = self.others;
        for (place, other) in others.iter().enumerate() {
            if path.contains(&place) || name::canonical(other.subject()) != issuer {
                continue;
            }
            let below = path
                .iter()
                .filter(|place| !is_self_issued(&others[**place]))
                .count();
            let fits = check_issuer(other, below)
                .and_then(|()| check_time(other, self.now_s))
                .and_then(|()| check_critical(other))
                .and_then(|()| self.is_signed(certificate, other));
            if !self.notes(fits) {
                continue;
            }
            path.push(place);
            if self.reaches_anchor(other, path) {
                return true;
            }
            path.pop();
        }
        false
    }

    fn notes(&mut self, fits: Result<(), Distrust>) -> bool {
        match fits {
            Ok(()) => true,
            Err(why) => {
                self.why.get_or_insert(why);
                false
            }
        }
    }

    fn is_signed(
        &mut self,
        certificate: &X509Certificate<'_>,
        by: &X509Certificate<'_>,
    ) -> Result<(), Distrust> {
        let subject = || Distrust::Signature(certificate.subject().to_string());
        // Inside and outside of what is signed the same algorithm must be named, and a signature
        // is whole bytes.
        if certificate.tbs_certificate.signature != certificate.signature_algorithm
            || certificate.signature_value.unused_bits != 0
        {
            return Err(subject());
        }
        self.signatures = self.signatures.checked_sub(1).ok_or_else(subject)?;
        certificate
            .verify_signature(Some(by.public_key()))
            .map_err(|_| subject())
    }
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Distrust> {
    match x509_parser::parse_x509_certificate(der) {
        Ok((rest, certificate)) if rest.is_empty() && is_well_shaped(der).is_some() => {
            Ok(certificate)
        }
        _ => Err(Distrust::NoCertificate),
    }
}

/// The tags of what is not signed, at which the parser does not look twice.
fn is_well_shaped(certificate: &[u8]) -> Option<()> {
    let (body, _) = der::take(der::SEQUENCE, certificate)?;
    let (_, rest) = der::take(der::SEQUENCE, body)?;
    let (algorithm, rest) = der::take(der::SEQUENCE, rest)?;
    der::take(der::OBJECT_IDENTIFIER, algorithm)?;
    let (_, rest) = der::take(der::BIT_STRING, rest)?;
    rest.is_empty().then_some(())
}

fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    name::canonical(certificate.subject()) == name::canonical(certificate.issuer())
}

fn check_time(certificate: &X509Certificate<'_>, now_s: i64) -> Result<(), Distrust> {
    let validity = certificate.validity();
    let (from, to) = (
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    );
    if now_s < from {
        return Err(Distrust::Time(format!("from {} on", validity.not_before)));
    }
    if now_s > to {
        return Err(Distrust::Time(format!("until {}", validity.not_after)));
    }
    Ok(())
}

/// Nothing critical may be there that is not looked at here. Names are not constrained here, so
/// that who constrains them is not believed.
fn check_critical(certificate: &X509Certificate<'_>) -> Result<(), Distrust> {
    for extension in certificate.extensions() {
        let understood = matches!(
            extension.parsed_extension(),
            ParsedExtension::KeyUsage(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::BasicConstraints(_)
                | ParsedExtension::SubjectAlternativeName(_)
                | ParsedExtension::IssuerAlternativeName(_)
                | ParsedExtension::CertificatePolicies(_)
                | ParsedExtension::NSCertType(_)
        );
        if extension.critical && !understood {
            return Err(Distrust::Critical(extension.oid.to_id_string()));
        }
    }
    Ok(())
}

/// What Java asks of a TLS client's own certificate.
fn check_client_use(certificate: &X509Certificate<'_>) -> Result<(), Distrust> {
    let usage = certificate
        .key_usage()
        .map_err(|_| Distrust::Use("key usage is there twice"))?;
    if usage.is_some_and(|usage| !usage.value.digital_signature()) {
        return Err(Distrust::Use("its key usage lacks digital signatures"));
    }
    let extended = certificate
        .extended_key_usage()
        .map_err(|_| Distrust::Use("extended key usage is there twice"))?;
    if extended.is_some_and(|usage| !usage.value.client_auth && !usage.value.any) {
        return Err(Distrust::Use("its extended key usage lacks TLS clients"));
    }
    Ok(())
}

/// What is asked of a certificate between the first and the last: that it may issue, and issue
/// what leads to the client over `below` others.
fn check_issuer(certificate: &X509Certificate<'_>, below: usize) -> Result<(), Distrust> {
    let constraints = certificate
        .basic_constraints()
        .map_err(|_| Distrust::Use("basic constraints are there twice"))?;
    match constraints {
        Some(constraints) if constraints.value.ca => {
            let longest = constraints.value.path_len_constraint;
            if longest.is_some_and(|longest| below > longest as usize) {
                return Err(Distrust::Use("an issuer's path is too long"));
            }
        }
        _ => return Err(Distrust::Use("an issuer is no authority")),
    }
    let usage = certificate
        .key_usage()
        .map_err(|_| Distrust::Use("key usage is there twice"))?;
    if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(Distrust::Use("an issuer's key usage lacks certificates"));
    }
    Ok(())
}

/// What is asked of the trust store's certificate that a path ends at: one of version 3 must be
/// an authority's; earlier ones cannot say.
fn check_anchor(certificate: &X509Certificate<'_>) -> Result<(), Distrust> {
    if certificate.version() == X509Version::V3 && !certificate.is_ca() {
        return Err(Distrust::Use(
            "the issuer in the trust store is no authority",
        ));
    }
    Ok(())
}

/// Whether a certificate names an address, as `ssl.clientHostnameVerification` wants it.
pub(crate) fn names_address(certificate: &[u8], address: std::net::IpAddr) -> Result<(), Distrust> {
    let certificate = parse(certificate)?;
    let wanted: Vec<u8> = match address.to_canonical() {
        std::net::IpAddr::V4(address) => address.octets().to_vec(),
        std::net::IpAddr::V6(address) => address.octets().to_vec(),
    };
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| Distrust::Address)?
        .map(|names| &names.value.general_names);
    let named = names.is_some_and(|names| {
        names
            .iter()
            .any(|name| matches!(name, GeneralName::IPAddress(named) if *named == wanted))
    });
    named.then_some(()).ok_or(Distrust::Address)
}

impl Trust {
    /// Verifies a handshake's signature by the client's key, without webpki's look at the rest of
    /// the certificate.
    fn verify_handshake(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        all: bool,
    ) -> Result<HandshakeSignatureValid, Error> {
        let bad = Error::InvalidCertificate(CertificateError::BadSignature);
        let parsed = parse(certificate)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let (algorithm, key) = der::public_key(parsed.public_key().raw)
            .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let known = self
            .algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == signed.scheme);
        let (_, candidates) =
            known.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        // TLS 1.3 binds a scheme to one curve; TLS 1.2 does not.
        let count = if all { candidates.len() } else { 1 };
        let verified = candidates.iter().take(count).any(|candidate| {
            candidate.public_key_alg_id().as_ref() == algorithm
                && candidate
                    .verify_signature(key, message, signed.signature())
                    .is_ok()
        });
        if verified {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(bad)
        }
    }
}

impl ClientCertVerifier for Trust {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let others: Vec<&[u8]> = intermediates.iter().map(AsRef::as_ref).collect();
        let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        match self.verify(end_entity, &others, now_s) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(why) => Err(Error::InvalidCertificate(match why {
                Distrust::NoCertificate => CertificateError::BadEncoding,
                Distrust::NoPath(_) => CertificateError::UnknownIssuer,
                why => CertificateError::Other(OtherError(Arc::new(why))),
            })),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_handshake(message, cert, dss, true)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // PKCS#1 and SHA-1 have no place in TLS 1.3, though certificates are signed so.
        if matches!(
            dss.scheme,
            SignatureScheme::RSA_PKCS1_SHA1
                | SignatureScheme::RSA_PKCS1_SHA256
                | SignatureScheme::RSA_PKCS1_SHA384
                | SignatureScheme::RSA_PKCS1_SHA512
                | SignatureScheme::ECDSA_SHA1_Legacy
        ) {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        self.verify_handshake(message, cert, dss, false)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
