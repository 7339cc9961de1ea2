//! Kinds of keys and signatures, by the names that people know, and which of them are served.
//!
//! The cryptography is `ring`'s. It signs with RSA of 2048 to 4096 bits whose public exponent is
//! 65537 or more, with P-256, P-384 and Ed25519; it verifies RSA of 2048 to 8192 bits, too. It
//! knows no RSA-PSS keys, no P-521 and no other curve, no DSA and no Ed448. Java serves most of
//! these, so whoever comes from there is told by name what has to be made anew.
//!
//! **Invariant:** a key or a signature that is not served is refused by its name. (tests:
//! `an_own_key_that_is_not_served_is_refused_by_its_name`,
//! `a_clients_key_or_signature_that_is_not_served_is_refused_by_its_name`)

use std::fmt;

use der::asn1::{AnyRef, ObjectIdentifier, UintRef};
use der::{Reader, SliceReader, Tag, Tagged};
use pkcs8::PrivateKeyInfoRef;
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use x509_parser::oid_registry::{
    OID_NIST_HASH_SHA256, OID_NIST_HASH_SHA384, OID_NIST_HASH_SHA512, OID_PKCS1_RSASSAPSS,
};
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::AlgorithmIdentifier;

use super::asn1::{EllipticKey, contents};

/// What to make instead of a key that is not served.
pub(crate) const REMEDY: &str =
    "make one of RSA with 2048 to 4096 bits, of P-256, P-384, or Ed25519";

/// A kind of key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// RSA, with its size and its public exponent, if that fits.
    Rsa {
        bits: usize,
        exponent: Option<u64>,
        /// It has more than two primes.
        many_primes: bool,
    },
    /// P-256, P-384 or Ed25519.
    Served(&'static str),
    /// What is served nowhere here, by its name.
    Named(&'static str),
    /// The same, by its number.
    Numbered(String),
    /// The key cannot be read.
    Damaged,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Rsa {
                bits,
                exponent,
                many_primes,
            } => {
                write!(f, "RSA with {bits} bits")?;
                if *many_primes {
                    return f.write_str(" and more than two primes");
                }
                match exponent {
                    Some(exponent) if *exponent < EXPONENT_LEAST => {
                        write!(f, " and the public exponent {exponent}")
                    }
                    _ => Ok(()),
                }
            }
            Kind::Served(name) | Kind::Named(name) => f.write_str(name),
            Kind::Numbered(number) => write!(f, "the kind {number}"),
            Kind::Damaged => f.write_str("a kind that cannot be read"),
        }
    }
}

/// The least public exponent of an RSA key that signs.
const EXPONENT_LEAST: u64 = 65_537;

impl Kind {
    /// The kind of a private key.
    pub(crate) fn of_private(key: &PrivateKeyDer<'_>) -> Self {
        let kind = match key {
            PrivateKeyDer::Pkcs1(key) => rsa_private(key.secret_pkcs1_der()),
            PrivateKeyDer::Sec1(key) => sec1(key.secret_sec1_der()),
            PrivateKeyDer::Pkcs8(key) => pkcs8(key.secret_pkcs8_der()),
            _ => None,
        };
        kind.unwrap_or(Kind::Damaged)
    }

    /// The kind of the key in a `SubjectPublicKeyInfo`.
    pub(crate) fn of_public(info: &[u8]) -> Self {
        let kind = || {
            let public = SubjectPublicKeyInfoRef::try_from(info).ok()?;
            let key = public.subject_public_key.as_bytes()?;
            of_algorithm(&public.algorithm, || rsa(&mut contents(key).ok()?, false))
        };
        kind().unwrap_or(Kind::Damaged)
    }

    /// Whether the node can prove with such a key who it is.
    pub(crate) fn signs(&self) -> bool {
        match self {
            Kind::Rsa {
                bits,
                exponent,
                many_primes,
            } => {
                let exponent_fits = exponent.is_none_or(|exponent| exponent >= EXPONENT_LEAST);
                (2048..=4096).contains(bits) && exponent_fits && !many_primes
            }
            Kind::Served(_) => true,
            _ => false,
        }
    }

    /// Whether a signature by such a key can be verified, in a certificate or a handshake.
    pub(crate) fn is_verified(&self) -> bool {
        match self {
            Kind::Rsa { bits, .. } => (2048..=8192).contains(bits),
            Kind::Served(_) => true,
            _ => false,
        }
    }
}

/// What the algorithm says, or, of RSA, what the key says.
fn of_algorithm(
    algorithm: &AlgorithmIdentifierRef<'_>,
    of_rsa: impl FnOnce() -> Option<Kind>,
) -> Option<Kind> {
    let number = algorithm.oid.to_string();
    Some(match number.as_str() {
        "1.2.840.113549.1.1.1" => return of_rsa(),
        "1.2.840.113549.1.1.10" => Kind::Named("RSA-PSS"),
        "1.2.840.10045.2.1" => return curve(algorithm.parameters?),
        "1.2.840.10040.4.1" => Kind::Named("DSA"),
        "1.3.101.112" => Kind::Served("Ed25519"),
        "1.3.101.113" => Kind::Named("Ed448"),
        _ => Kind::Numbered(number),
    })
}

fn curve(parameters: AnyRef<'_>) -> Option<Kind> {
    if parameters.tag() == Tag::Sequence {
        return Some(Kind::Named("a curve that is written out instead of named"));
    }
    let number = parameters.decode_as::<ObjectIdentifier>().ok()?.to_string();
    Some(match number.as_str() {
        "1.2.840.10045.3.1.7" => Kind::Served("P-256"),
        "1.3.132.0.34" => Kind::Served("P-384"),
        "1.3.132.0.35" => Kind::Named("P-521"),
        "1.3.132.0.33" => Kind::Named("P-224"),
        "1.2.840.10045.3.1.1" => Kind::Named("P-192"),
        "1.3.132.0.10" => Kind::Named("secp256k1"),
        _ => Kind::Numbered(format!("of the curve {number}")),
    })
}

/// Of modulus and exponent, which stand in this order in keys of both kinds.
fn rsa(reader: &mut SliceReader<'_>, many_primes: bool) -> Option<Kind> {
    let modulus: UintRef<'_> = reader.decode().ok()?;
    let exponent: UintRef<'_> = reader.decode().ok()?;
    let (modulus, exponent) = (modulus.as_bytes(), exponent.as_bytes());
    let first = modulus.first().map_or(0, |first| first.leading_zeros());
    Some(Kind::Rsa {
        bits: (modulus.len() * 8).saturating_sub(first as usize),
        exponent: (exponent.len() <= 8).then(|| {
            let bytes = exponent.iter();
            bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
        }),
        many_primes,
    })
}

fn rsa_private(key: &[u8]) -> Option<Kind> {
    let mut reader = contents(key).ok()?;
    let version: u8 = reader.decode().ok()?;
    rsa(&mut reader, version == 1)
}

fn sec1(key: &[u8]) -> Option<Kind> {
    curve(EllipticKey::read(key).ok()?.curve?)
}

fn pkcs8(key: &[u8]) -> Option<Kind> {
    let key = PrivateKeyInfoRef::try_from(key).ok()?;
    let private = key.private_key.as_bytes();
    of_algorithm(&key.algorithm, || rsa_private(private))
}

/// How a certificate is signed, for a sentence that says why it is not verified.
pub(crate) fn signature_name(algorithm: &AlgorithmIdentifier<'_>) -> String {
    let oid = &algorithm.algorithm;
    if *oid == OID_PKCS1_RSASSAPSS {
        return pss_name(algorithm);
    }
    let known = [
        ("1.2.840.113549.1.1.2", "MD2 with RSA"),
        ("1.2.840.113549.1.1.4", "MD5 with RSA"),
        ("1.2.840.113549.1.1.5", "SHA-1 with RSA"),
        ("1.3.14.3.2.29", "SHA-1 with RSA"),
        ("1.2.840.113549.1.1.11", "SHA-256 with RSA"),
        ("1.2.840.113549.1.1.12", "SHA-384 with RSA"),
        ("1.2.840.113549.1.1.13", "SHA-512 with RSA"),
        ("1.2.840.113549.1.1.14", "SHA-224 with RSA"),
        ("1.2.840.10040.4.3", "SHA-1 with DSA"),
        ("2.16.840.1.101.3.4.3.2", "SHA-256 with DSA"),
        ("1.2.840.10045.4.1", "SHA-1 with ECDSA"),
        ("1.2.840.10045.4.3.1", "SHA-224 with ECDSA"),
        ("1.2.840.10045.4.3.2", "SHA-256 with ECDSA"),
        ("1.2.840.10045.4.3.3", "SHA-384 with ECDSA"),
        ("1.2.840.10045.4.3.4", "SHA-512 with ECDSA"),
        ("1.3.101.112", "Ed25519"),
        ("1.3.101.113", "Ed448"),
    ];
    let number = oid.to_id_string();
    match known.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("the algorithm {number}"),
    }
}

/// `ring` verifies RSA-PSS whose salt is as long as its hash.
fn pss_name(algorithm: &AlgorithmIdentifier<'_>) -> String {
    let parameters = algorithm.parameters.as_ref();
    let parameters = parameters.and_then(|any| RsaSsaPssParams::try_from(any).ok());
    let Some(parameters) = parameters else {
        return "RSA-PSS with parameters that cannot be read".to_owned();
    };
    let hash = parameters.hash_algorithm_oid();
    let hash = [
        (OID_NIST_HASH_SHA256, "SHA-256"),
        (OID_NIST_HASH_SHA384, "SHA-384"),
        (OID_NIST_HASH_SHA512, "SHA-512"),
    ]
    .into_iter()
    .find(|(known, _)| known == hash)
    .map_or_else(
        || format!("the hash {}", hash.to_id_string()),
        |(_, name)| name.to_owned(),
    );
    format!(
        "RSA-PSS with {hash} and a salt of {} bytes",
        parameters.salt_length()
    )
}

/// Whether a signature of this kind can be verified at all, with a key of any client.
pub(crate) fn is_signature_verified(algorithm: &AlgorithmIdentifier<'_>) -> bool {
    let oid = algorithm.algorithm.to_id_string();
    if algorithm.algorithm == OID_PKCS1_RSASSAPSS {
        let parameters = algorithm.parameters.as_ref();
        let parameters = parameters.and_then(|any| RsaSsaPssParams::try_from(any).ok());
        return parameters.is_some_and(|parameters| {
            let hash_bytes = match parameters.hash_algorithm_oid() {
                hash if *hash == OID_NIST_HASH_SHA256 => 32,
                hash if *hash == OID_NIST_HASH_SHA384 => 48,
                hash if *hash == OID_NIST_HASH_SHA512 => 64,
                _ => return false,
            };
            parameters.salt_length() == hash_bytes
        });
    }
    matches!(
        oid.as_str(),
        "1.2.840.113549.1.1.5"
            | "1.2.840.113549.1.1.11"
            | "1.2.840.113549.1.1.12"
            | "1.2.840.113549.1.1.13"
            | "1.2.840.10045.4.3.2"
            | "1.2.840.10045.4.3.3"
            | "1.3.14.3.2.29"
            | "1.3.101.112"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Kind::of_public(&bytes);
            for kind in [pkcs8(&bytes), sec1(&bytes), rsa_private(&bytes)] {
                let _ = kind.map(|kind| kind.to_string());
            }
        }
    }
}
