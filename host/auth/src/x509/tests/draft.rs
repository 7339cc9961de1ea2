//! Certificates to be made on the spot, and DER and PEM for them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use der::asn1::AnyRef;
use der::{Decode, Encode, Tag};
use rcgen::{KeyPair, PublicKeyData, SigningKey};

/// A value of DER with that tag.
pub(crate) fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let tag = Tag::from_der(&[tag]).unwrap();
    AnyRef::new(tag, contents).unwrap().to_der().unwrap()
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// ecdsa-with-SHA256
fn algorithm() -> Vec<u8> {
    sequence(&[&tlv(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2])])
}

/// A certificate to be made.
#[derive(Clone)]
pub(crate) struct Draft {
    version_3: bool,
    subject: &'static str,
    issuer: &'static str,
    /// From when on and until when, as UTCTime.
    valid: (&'static str, &'static str),
    /// Of each its OID, whether it is critical, and its value.
    pub(crate) extensions: Vec<(Vec<u8>, bool, Vec<u8>)>,
}

const KEY_USAGE: u8 = 15;
pub(crate) const ALTERNATIVE_NAME: u8 = 17;
const BASIC_CONSTRAINTS: u8 = 19;
pub(crate) const NAME_CONSTRAINTS: u8 = 30;
const EXTENDED_KEY_USAGE: u8 = 37;

impl Draft {
    pub(crate) fn new(subject: &'static str, issuer: &'static str) -> Self {
        Self {
            version_3: true,
            subject,
            issuer,
            valid: ("200101000000Z", "400101000000Z"),
            extensions: Vec::new(),
        }
    }

    /// An extension by the last byte of its OID below 2.5.29.
    pub(crate) fn with(mut self, extension: u8, critical: bool, value: Vec<u8>) -> Self {
        let oid = vec![0x55, 0x1d, extension];
        self.extensions.push((oid, critical, value));
        self
    }

    /// Netscape's certificate type, by its bits: the first is TLS clients, the second servers.
    pub(crate) fn netscape(mut self, critical: bool, bits: u8) -> Self {
        let oid = vec![0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 1, 1];
        let value = tlv(3, &[bits.trailing_zeros() as u8, bits]);
        self.extensions.push((oid, critical, value));
        self
    }

    /// An authority, with at most that many others below it.
    pub(crate) fn authority(self, path_len: Option<u8>) -> Self {
        let length = path_len.map(|length| tlv(2, &[length])).unwrap_or_default();
        let value = sequence(&[&tlv(1, &[0xff]), &length]);
        self.with(BASIC_CONSTRAINTS, true, value)
    }

    /// Key usage by its first bits.
    pub(crate) fn usage(self, bits: u8) -> Self {
        self.with(KEY_USAGE, true, tlv(3, &[0, bits]))
    }

    /// Extended key usage: 1 is TLS servers, 2 is TLS clients.
    pub(crate) fn extended(self, purpose: u8) -> Self {
        let oid = tlv(6, &[0x2b, 6, 1, 5, 5, 7, 3, purpose]);
        self.with(EXTENDED_KEY_USAGE, false, sequence(&[&oid]))
    }

    pub(crate) fn version_1(mut self) -> Self {
        self.version_3 = false;
        self
    }

    pub(crate) fn valid(mut self, from: &'static str, to: &'static str) -> Self {
        self.valid = (from, to);
        self
    }

    pub(crate) fn sign(&self, own: &KeyPair, by: &KeyPair) -> Vec<u8> {
        let name = |cn: &str| {
            let attribute = sequence(&[&tlv(6, &[0x55, 4, 3]), &tlv(12, cn.as_bytes())]);
            sequence(&[&tlv(0x31, &attribute)])
        };
        let (from, to) = self.valid;
        let time = |time: &str| tlv(0x17, time.as_bytes());
        let extensions: Vec<Vec<u8>> = self
            .extensions
            .iter()
            .map(|(oid, critical, value)| {
                let critical = if *critical {
                    tlv(1, &[0xff])
                } else {
                    Vec::new()
                };
                sequence(&[&tlv(6, oid), &critical, &tlv(4, value)])
            })
            .collect();
        let (version, extensions) = if self.version_3 {
            let all = tlv(0x30, &extensions.concat());
            let extensions = if extensions.is_empty() {
                Vec::new()
            } else {
                tlv(0xa3, &all)
            };
            (tlv(0xa0, &tlv(2, &[2])), extensions)
        } else {
            (Vec::new(), Vec::new())
        };
        let body = sequence(&[
            &version,
            &tlv(2, &[7]),
            &algorithm(),
            &name(self.issuer),
            &sequence(&[&time(from), &time(to)]),
            &name(self.subject),
            &own.subject_public_key_info(),
            &extensions,
        ]);
        let mut signature = vec![0];
        signature.extend(by.sign(&body).unwrap());
        sequence(&[&body, &algorithm(), &tlv(3, &signature)])
    }
}

pub(crate) fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

/// PEM of these contents.
pub(crate) fn pem(label: &str, contents: &[Vec<u8>]) -> String {
    let one = |der: &Vec<u8>| {
        let body = STANDARD.encode(der);
        let lines: Vec<&str> = (0..body.len())
            .step_by(64)
            .map(|at| &body[at..body.len().min(at + 64)])
            .collect();
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            lines.join("\n")
        )
    };
    contents.iter().map(one).collect()
}

/// Name constraints: only names that begin with this common name.
pub(crate) fn only_below(cn: &str) -> Vec<u8> {
    let attribute = sequence(&[&tlv(6, &[0x55, 4, 3]), &tlv(12, cn.as_bytes())]);
    let name = tlv(0xa4, &sequence(&[&tlv(0x31, &attribute)]));
    sequence(&[&tlv(0xa0, &sequence(&[&name]))])
}
