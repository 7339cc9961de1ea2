//! The search for a path from a client's certificate to one of the trust store.
//!
//! 1. Each certificate that was sent is read once ([`Sent`]): its names in canonical form, and
//!    what would be shown of it.
//! 2. From the client's own the search goes to every certificate that bears its issuer's name,
//!    first in the trust store, then among those sent, and on from each that may issue
//!    certificates and whose key has signed.
//! 3. The first path that ends in the trust store is enough.
//!
//! The client chooses what is searched, and is not known yet: whatever it sends, the work has a
//! bound ([`Search`]).

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{OID_X509_EXT_CERT_TYPE, OID_X509_EXT_NAME_CONSTRAINTS};
use x509_parser::x509::X509Version;

use super::kinds::{self, Kind};
use super::trust::{Distrust, SENT_MAX, Trust, shown};
use super::{der, name};

/// How many certificates may stand between the client's own and one of the trust store.
const INTERMEDIATES_MAX: usize = 10;

/// Signatures that are verified for one client, whatever it sends.
const SIGNATURES_MAX: usize = 64;

/// How often a certificate is looked at as another's issuer: the search goes on from the client's
/// own, and from another only over a signature.
pub(super) const LOOKS_MAX: usize = (SIGNATURES_MAX + 1) * (SENT_MAX - 1);

/// A certificate that a client sent.
pub(super) struct Sent<'a> {
    certificate: X509Certificate<'a>,
    /// In canonical form, as the issuer.
    pub(super) subject: String,
    issuer: String,
    self_issued: bool,
    /// The subject, for a sentence.
    shown: String,
}

impl<'a> Sent<'a> {
    pub(super) fn read(der: &'a [u8]) -> Result<Self, Distrust> {
        let certificate = parse(der)?;
        let subject = name::canonical(certificate.subject());
        let issuer = name::canonical(certificate.issuer());
        Ok(Self {
            self_issued: subject == issuer,
            shown: shown(&name::rfc2253(certificate.subject())),
            certificate,
            subject,
            issuer,
        })
    }

    /// Whether the client can prove here that it has the certificate's key.
    pub(super) fn check_kind(&self) -> Result<(), Distrust> {
        let kind = Kind::of_public(self.certificate.public_key().raw);
        match kind.is_verified() {
            true => Ok(()),
            false => {
                let what = format!("{}: its key is {kind}", self.shown);
                Err(Distrust::Unserved(what))
            }
        }
    }

    /// What is asked of the client's own certificate, whoever issued it.
    pub(super) fn check_as_client(&self, now_s: i64) -> Result<(), Distrust> {
        check_time(&self.certificate, now_s)?;
        check_critical(&self.certificate)?;
        check_client_use(&self.certificate)
    }
}

/// A search for a path, depth first.
///
/// Invariants:
/// - At most [`SIGNATURES_MAX`] signatures are verified, and at most [`LOOKS_MAX`] times a
///   certificate is looked at as an issuer. (test: `a_maze_of_certificates_ends_soon`)
/// - A look compares names and walks over extensions; nothing is read or put in canonical form
///   again but what the trust store holds.
pub(super) struct Search<'a> {
    trust: &'a Trust,
    others: &'a [Sent<'a>],
    now_s: i64,
    /// How many more are verified.
    signatures: usize,
    /// How often another one was looked at as an issuer.
    pub(super) looks: usize,
    /// The first reason why a path that almost was there is none.
    why: Option<Distrust>,
}

impl<'a> Search<'a> {
    /// Among these others, of which there are fewer than [`SENT_MAX`].
    pub(super) fn new(trust: &'a Trust, others: &'a [Sent<'a>], now_s: i64) -> Self {
        Self {
            trust,
            others,
            now_s,
            signatures: SIGNATURES_MAX,
            looks: 0,
            why: None,
        }
    }

    /// Whether a path leads on from the client's own certificate.
    pub(super) fn run(&mut self, leaf: &Sent<'_>) -> Result<(), Distrust> {
        if self.reaches_anchor(leaf, &mut Vec::new()) {
            return Ok(());
        }
        let issuer = || shown(&name::rfc2253(leaf.certificate.issuer()));
        Err(self
            .why
            .take()
            .unwrap_or_else(|| Distrust::NoPath(issuer())))
    }

    /// Whether a path leads on from `sent`; `path` holds the intermediates behind it, by their
    /// places.
    fn reaches_anchor(&mut self, sent: &Sent<'_>, path: &mut Vec<usize>) -> bool {
        let anchors = self.trust.anchors.get(&sent.issuer);
        for anchor in anchors.into_iter().flatten() {
            let Ok(anchor) = parse(anchor) else { continue };
            let fits = check_anchor(&anchor).and_then(|()| self.is_signed(sent, &anchor));
            if self.notes(fits) {
                return true;
            }
        }
        if path.len() >= INTERMEDIATES_MAX {
            return false;
        }
        let others = self.others;
        let below = path.iter().filter(|place| !others[**place].self_issued);
        let below = below.count();
        for (place, other) in others.iter().enumerate() {
            self.looks += 1;
            debug_assert!(self.looks <= LOOKS_MAX, "the search has a bound");
            if other.subject != sent.issuer || path.contains(&place) {
                continue;
            }
            let issuer = &other.certificate;
            let fits = check_issuer(issuer, below)
                .and_then(|()| check_time(issuer, self.now_s))
                .and_then(|()| check_critical(issuer))
                .and_then(|()| check_unconstrained(issuer))
                .and_then(|()| self.is_signed(sent, issuer));
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

    fn is_signed(&mut self, sent: &Sent<'_>, by: &X509Certificate<'_>) -> Result<(), Distrust> {
        let subject = || Distrust::Signature(sent.shown.clone());
        let certificate = &sent.certificate;
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
            .map_err(|_| why_unserved(certificate, by).unwrap_or_else(subject))
    }
}

/// Why a signature could not have been verified, whatever it is; `None` if it could.
fn why_unserved(certificate: &X509Certificate<'_>, by: &X509Certificate<'_>) -> Option<Distrust> {
    let kind = Kind::of_public(by.public_key().raw);
    let signature = &certificate.signature_algorithm;
    let (whose, what) = if !kind.is_verified() {
        (by, format!("its key is {kind}"))
    } else if !kinds::is_signature_verified(signature) {
        let signature = kinds::signature_name(signature);
        (certificate, format!("it is signed with {signature}"))
    } else {
        return None;
    };
    let whose = shown(&name::rfc2253(whose.subject()));
    Some(Distrust::Unserved(format!("{whose}: {what}")))
}

/// Reads a certificate.
pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Distrust> {
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

/// Nothing critical may be there that Java's search for a path does not look at: it counts
/// Netscape's certificate type and the issuer's other names to that.
fn check_critical(certificate: &X509Certificate<'_>) -> Result<(), Distrust> {
    for extension in certificate.extensions() {
        let understood = matches!(
            extension.parsed_extension(),
            ParsedExtension::KeyUsage(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::BasicConstraints(_)
                | ParsedExtension::SubjectAlternativeName(_)
                | ParsedExtension::CertificatePolicies(_)
        );
        if extension.critical && !understood {
            return Err(Distrust::Critical(shown(&extension.oid.to_id_string())));
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
    let netscape = certificate
        .get_extension_unique(&OID_X509_EXT_CERT_TYPE)
        .map_err(|_| Distrust::Use("Netscape's certificate type is there twice"))?;
    let of_client = |parsed: &ParsedExtension<'_>| matches!(parsed, ParsedExtension::NSCertType(kinds) if kinds.ssl_client());
    if netscape.is_some_and(|extension| !of_client(extension.parsed_extension())) {
        return Err(Distrust::Use("its Netscape type lacks TLS clients"));
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
    check_signs_certificates(certificate, "an issuer's key usage lacks certificates")
}

fn check_signs_certificates(
    certificate: &X509Certificate<'_>,
    lacks: &'static str,
) -> Result<(), Distrust> {
    let usage = certificate
        .key_usage()
        .map_err(|_| Distrust::Use("key usage is there twice"))?;
    if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(Distrust::Use(lacks));
    }
    Ok(())
}

/// Names are not constrained here, so that an issuer who constrains them is not believed: not
/// even if that is not critical or cannot be read, since it may not name everybody.
fn check_unconstrained(certificate: &X509Certificate<'_>) -> Result<(), Distrust> {
    let constrains = certificate
        .extensions()
        .iter()
        .any(|extension| extension.oid == OID_X509_EXT_NAME_CONSTRAINTS);
    if constrains {
        return Err(Distrust::Use("an issuer's names are constrained"));
    }
    Ok(())
}

/// What is asked of the trust store's certificate that a path ends at: one of version 3 must be
/// an authority's that may issue certificates; earlier ones cannot say.
fn check_anchor(certificate: &X509Certificate<'_>) -> Result<(), Distrust> {
    if certificate.version() != X509Version::V3 {
        return Ok(());
    }
    if !certificate.is_ca() {
        return Err(Distrust::Use(
            "the issuer in the trust store is no authority",
        ));
    }
    check_signs_certificates(
        certificate,
        "the issuer's key usage in the trust store lacks certificates",
    )
}
