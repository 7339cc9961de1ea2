//! Whose client certificates are believed, as Java's default trust manager believes them.
//!
//! A certificate is accepted in one of two ways:
//! 1. It stands in the trust store itself; then nothing else is asked of it.
//! 2. A path leads from it to a certificate of the trust store: each certificate names the next
//!    one as its issuer and bears a signature by its key, is valid now, and has no critical
//!    extension that is not understood; each between the first and the last may issue
//!    certificates and constrains no names. Of the last one only name and key count, and that it
//!    is no end entity's. [`path`](super::path) searches.
//!
//! webpki, which rustls would ask, refuses certificates of version 1, which carry no extensions;
//! Java does not, and clients of ZooKeeper have them.

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
use x509_parser::extensions::GeneralName;

use super::anchors::Anchors;
use super::asn1::public_key;
use super::checks::parse;
use super::distrust::Distrust;
use super::path::{Search, Sent};
use crate::limits::SENT_MAX;

/// The trust store, and what a client must show.
pub(crate) struct Trust {
    anchors: Anchors,
    /// The subjects of the anchors: a client may choose its certificate by them.
    hints: Vec<DistinguishedName>,
    /// Whether a client without a certificate is turned away.
    mandatory: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("anchors", &self.hints.len())
            .finish_non_exhaustive()
    }
}

impl Trust {
    /// Trusts these certificates, in DER; one that is damaged is an error.
    pub(crate) fn new(
        trusted: Vec<Vec<u8>>,
        mandatory: bool,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, Distrust> {
        let (anchors, subjects) = Anchors::of(trusted)?;
        let hints = subjects.into_iter().map(DistinguishedName::from).collect();
        Ok(Self {
            anchors,
            hints,
            mandatory,
            algorithms,
        })
    }

    /// Whether a client with this certificate, and these others beside it, is believed.
    pub(crate) fn verify(&self, own: &[u8], others: &[&[u8]], now_s: i64) -> Result<(), Distrust> {
        if others.len() >= SENT_MAX {
            return Err(Distrust::TooMany);
        }
        let leaf = Sent::read(own)?;
        // Whether or not it is trusted, what it signs cannot be verified.
        leaf.check_kind()?;
        if self
            .anchors
            .named(&leaf.subject)
            .any(|anchor| anchor == own)
        {
            return Ok(());
        }
        let others = others
            .iter()
            .map(|other| Sent::read(other))
            .collect::<Result<Vec<_>, _>>()?;
        leaf.check_as_client(now_s)?;
        Search::new(&self.anchors, &others, now_s).run(&leaf)
    }
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
        let (algorithm, key) = public_key(parsed.public_key().raw)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
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
