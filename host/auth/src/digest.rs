//! Digests: how ZooKeeper names a user by a hash of its name and its password.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// The hash in a digest identity (`DigestAuthenticationProvider.digestAlg`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum DigestAlgorithm {
    /// ZooKeeper's default.
    #[default]
    Sha1,
    /// MD5.
    Md5,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA-512, cut to 224 bits.
    Sha512Of224,
    /// SHA-512, cut to 256 bits.
    Sha512Of256,
}

impl DigestAlgorithm {
    /// By Java's name, in any case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "SHA1" | "SHA-1" | "SHA" => Self::Sha1,
            "MD5" => Self::Md5,
            "SHA-224" | "SHA224" => Self::Sha224,
            "SHA-256" | "SHA256" => Self::Sha256,
            "SHA-384" | "SHA384" => Self::Sha384,
            "SHA-512" | "SHA512" => Self::Sha512,
            "SHA-512/224" | "SHA512/224" => Self::Sha512Of224,
            "SHA-512/256" | "SHA512/256" => Self::Sha512Of256,
            _ => return None,
        })
    }

    /// The hash of some bytes.
    pub(crate) fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(bytes).to_vec(),
            Self::Md5 => md5::Md5::digest(bytes).to_vec(),
            Self::Sha224 => sha2::Sha224::digest(bytes).to_vec(),
            Self::Sha256 => sha2::Sha256::digest(bytes).to_vec(),
            Self::Sha384 => sha2::Sha384::digest(bytes).to_vec(),
            Self::Sha512 => sha2::Sha512::digest(bytes).to_vec(),
            Self::Sha512Of224 => sha2::Sha512_224::digest(bytes).to_vec(),
            Self::Sha512Of256 => sha2::Sha512_256::digest(bytes).to_vec(),
        }
    }
}

/// ZooKeeper's digest of `user:password`, with its default hash: `user:base64(sha1(user:password))`.
pub fn digest_of(credentials: &[u8]) -> String {
    digest_with(DigestAlgorithm::Sha1, credentials)
}

pub(crate) fn digest_with(algorithm: DigestAlgorithm, credentials: &[u8]) -> String {
    let text = String::from_utf8_lossy(credentials);
    let user = text.split(':').next().unwrap_or_default();
    let hash = STANDARD.encode(algorithm.hash(text.as_bytes()));
    format!("{user}:{hash}")
}

/// Says what is wrong with a super user's digest by which nobody could log in; `None` if it is a
/// digest. The text continues a sentence that begins with the setting's name, and shows nothing of
/// the digest. (test: `a_password_is_no_digest`)
pub fn no_digest(digest: &str, algorithm: DigestAlgorithm) -> Option<&'static str> {
    let hash = digest.split_once(':').map(|(_, hash)| hash);
    let hash = hash.and_then(|hash| STANDARD.decode(hash).ok());
    let fits = hash.is_some_and(|hash| hash.len() == algorithm.hash(b"").len());
    (!fits).then_some(
        "is no digest, but a password, perhaps, so nobody could log in: write \
         user:base64(hash(user:password)), as `innkeeper digest user:password` prints it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From ZooKeeper's documentation of DigestAuthenticationProvider.
    #[test]
    fn digests_are_zookeepers() {
        let known = "super:g9oN2HttPfn8MMWJZ2r45Np/LIA=";
        assert_eq!(digest_of(b"super:superpw"), known);
    }

    #[test]
    fn a_password_is_no_digest() {
        let sha1 = DigestAlgorithm::Sha1;
        let made = digest_of(b"admin:secret");
        assert_eq!(no_digest(&made, sha1), None);
        assert!(no_digest(&made, DigestAlgorithm::Sha256).is_some());
        let longer = digest_with(DigestAlgorithm::Sha256, b"admin:secret");
        assert_eq!(no_digest(&longer, DigestAlgorithm::Sha256), None);
        let cut = &made[..made.len() - 1];
        for text in [
            "admin:secret",
            "admin",
            "",
            ":",
            "admin:",
            "a:b:c",
            cut,
            &longer,
        ] {
            let mistake = no_digest(text, sha1).expect(text);
            assert!(!mistake.contains("secret"), "{mistake}");
        }
    }
}
