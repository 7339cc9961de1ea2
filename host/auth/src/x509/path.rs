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

use super::anchors::Anchors;
use super::checks::{
    check_anchor, check_client_use, check_critical, check_issuer, check_time, check_unconstrained,
    parse,
};
use super::distrust::{Distrust, shown};
use super::kinds::{self, Kind};
use super::name;
use crate::limits::{INTERMEDIATES_MAX, LOOKS_MAX, SIGNATURES_MAX};

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

    /// The checks of the client's own certificate, whichever issuer it has.
    pub(super) fn check_as_client(&self, now_s: i64) -> Result<(), Distrust> {
        check_time(&self.certificate, now_s)?;
        check_critical(&self.certificate)?;
        check_client_use(&self.certificate)
    }
}

/// A search for a path, depth first.
///
/// Invariants:
/// - For one client at most [`SIGNATURES_MAX`] signatures are verified, and certificates are
///   compared as subject and issuer at most [`LOOKS_MAX`] times.
///   (test: `a_maze_of_certificates_ends_soon`)
/// - A look compares names and walks over extensions; nothing is read or put in canonical form
///   again but what the trust store holds.
pub(super) struct Search<'a> {
    anchors: &'a Anchors,
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
    /// Among the trust store's certificates and these others that the client sent, of which there
    /// are fewer than [`SENT_MAX`](crate::limits::SENT_MAX).
    pub(super) fn new(anchors: &'a Anchors, others: &'a [Sent<'a>], now_s: i64) -> Self {
        Self {
            anchors,
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
        let anchors = self.anchors;
        for anchor in anchors.named(&sent.issuer) {
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
