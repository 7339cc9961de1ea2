//! What is asked of one certificate: of the client's own, of one between, of the trust store's.

use der::Reader;
use der::asn1::{BitStringRef, SequenceRef};
use spki::AlgorithmIdentifierRef;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{OID_X509_EXT_CERT_TYPE, OID_X509_EXT_NAME_CONSTRAINTS};
use x509_parser::x509::X509Version;

use super::asn1::contents;
use super::distrust::{Distrust, shown};

/// Reads a certificate.
pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Distrust> {
    match x509_parser::parse_x509_certificate(der) {
        Ok((rest, certificate)) if rest.is_empty() && check_outline(der).is_ok() => Ok(certificate),
        _ => Err(Distrust::NoCertificate),
    }
}

/// Checks the tags of what is not signed, which the parser skips.
fn check_outline(certificate: &[u8]) -> der::Result<()> {
    let mut reader = contents(certificate)?;
    let _body: &SequenceRef = reader.decode()?;
    let _algorithm: AlgorithmIdentifierRef<'_> = reader.decode()?;
    let _signature: BitStringRef<'_> = reader.decode()?;
    reader.finish()
}

pub(super) fn check_time(certificate: &X509Certificate<'_>, now_s: i64) -> Result<(), Distrust> {
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
pub(super) fn check_critical(certificate: &X509Certificate<'_>) -> Result<(), Distrust> {
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
pub(super) fn check_client_use(certificate: &X509Certificate<'_>) -> Result<(), Distrust> {
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
pub(super) fn check_issuer(
    certificate: &X509Certificate<'_>,
    below: usize,
) -> Result<(), Distrust> {
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
pub(super) fn check_unconstrained(certificate: &X509Certificate<'_>) -> Result<(), Distrust> {
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
pub(super) fn check_anchor(certificate: &X509Certificate<'_>) -> Result<(), Distrust> {
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
