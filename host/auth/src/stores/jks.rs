//! Java's own key store format, JKS.
//!
//! A file is a magic number, a version, entries, and a SHA-1 over the password, a phrase and all
//! of these. A certificate stands in the clear; a private key is an `EncryptedPrivateKeyInfo`
//! under Sun's own algorithm: the key XORed with a chain of SHA-1s over the password and a salt,
//! and a SHA-1 over the password and the key.
//!
//! The crate `jks` does the same, but trusts the lengths that a file states.

use der::Decode;
use der::asn1::ObjectIdentifier;
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use super::sealed::SealedKey;

/// The first four bytes of a file.
pub(crate) const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
/// Of JCEKS, which is not read here.
pub(crate) const JCEKS_MAGIC: [u8; 4] = [0xce, 0xce, 0xce, 0xce];

const WHITENER: &[u8] = b"Mighty Aphrodite";
const HASH_LEN: usize = 20;
const SUNS_ALGORITHM: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.42.2.17.1.1");

/// Why a file cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum JksError {
    /// It ends too early, or has an entry of no known kind.
    #[error("it is damaged")]
    Damaged,
    /// The SHA-1 at its end is another one.
    #[error("its password is another one, or it is damaged")]
    Password,
    /// A key that was encrypted by other means.
    #[error("a private key in it is encrypted by other means than Sun's")]
    Algorithm,
}

/// One entry, in the order of the file.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// A private key in PKCS#8, and its certificates, its own first.
    Key {
        /// The name of the entry: of several keys the first by name is served.
        alias: String,
        /// The `EncryptedPrivateKeyInfo`.
        sealed: Vec<u8>,
        /// The certificates in DER, that of the key first.
        chain: Vec<Vec<u8>>,
    },
    /// A certificate that is trusted.
    Trusted(Vec<u8>),
}

/// Reads a file's entries.
pub(crate) fn read(file: &[u8], password: &str) -> Result<Vec<Entry>, JksError> {
    let (body, hash) = file
        .len()
        .checked_sub(HASH_LEN)
        .map(|at| file.split_at(at))
        .ok_or(JksError::Damaged)?;
    let expected = Sha1::new()
        .chain_update(utf16(password))
        .chain_update(WHITENER)
        .chain_update(body)
        .finalize();
    let mut reader = Reader(body);
    let entries = reader.entries();
    // A file that is cut has another hash as well: of the two the damage says more.
    match entries {
        Some(entries) if bool::from(expected[..].ct_eq(hash)) => Ok(entries),
        Some(_) => Err(JksError::Password),
        None => Err(JksError::Damaged),
    }
}

/// Decrypts a private key.
pub(crate) fn unseal(sealed: &[u8], password: &str) -> Result<Vec<u8>, JksError> {
    let sealed = SealedKey::from_der(sealed).map_err(|_| JksError::Damaged)?;
    if sealed.algorithm.oid != SUNS_ALGORITHM {
        return Err(JksError::Algorithm);
    }
    let data = sealed.ciphertext.as_bytes();
    let (salt, rest) = data.split_at_checked(HASH_LEN).ok_or(JksError::Damaged)?;
    let at = rest.len().checked_sub(HASH_LEN).ok_or(JksError::Damaged)?;
    let (cipher, check) = rest.split_at(at);
    let password = utf16(password);
    let mut block = salt.to_vec();
    let mut plain = Vec::with_capacity(cipher.len());
    for chunk in cipher.chunks(HASH_LEN) {
        block = Sha1::new()
            .chain_update(&password)
            .chain_update(&block)
            .finalize()
            .to_vec();
        plain.extend(chunk.iter().zip(&block).map(|(byte, pad)| byte ^ pad));
    }
    let expected = Sha1::new()
        .chain_update(&password)
        .chain_update(&plain)
        .finalize();
    if !bool::from(expected[..].ct_eq(check)) {
        return Err(JksError::Password);
    }
    Ok(plain)
}

fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes(4)
            .map(|bytes| u32::from_be_bytes(bytes.try_into().unwrap_or_default()))
    }

    fn text(&mut self) -> Option<String> {
        let len = self.bytes(2)?;
        let len = u16::from_be_bytes(len.try_into().ok()?);
        let text = self.bytes(usize::from(len))?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn blob(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.bytes(usize::try_from(len).ok()?)
    }

    fn certificate(&mut self, version: u32) -> Option<Vec<u8>> {
        if version == 2 {
            self.text()?;
        }
        self.blob().map(<[u8]>::to_vec)
    }

    fn entries(&mut self) -> Option<Vec<Entry>> {
        if self.bytes(4)? != MAGIC {
            return None;
        }
        let version = self.u32()?;
        if !matches!(version, 1 | 2) {
            return None;
        }
        let count = self.u32()?;
        let mut entries = Vec::new();
        for _ in 0..count {
            let tag = self.u32()?;
            let alias = self.text()?;
            self.bytes(8)?; // When it was made.
            entries.push(match tag {
                1 => {
                    let sealed = self.blob()?.to_vec();
                    let certificates = self.u32()?;
                    let mut chain = Vec::new();
                    for _ in 0..certificates {
                        chain.push(self.certificate(version)?);
                    }
                    Entry::Key {
                        alias,
                        sealed,
                        chain,
                    }
                }
                2 => Entry::Trusted(self.certificate(version)?),
                _ => return None,
            });
        }
        self.0.is_empty().then_some(entries)
    }
}

/// Writes stores for tests.
#[cfg(test)]
pub(crate) mod write {
    use der::Encode;
    use der::asn1::{AnyRef, OctetStringRef};
    use spki::AlgorithmIdentifierRef;

    use super::*;

    pub(crate) fn seal(key: &[u8], password: &str) -> Vec<u8> {
        let password = utf16(password);
        let mut data = vec![7; HASH_LEN];
        let mut block = data.clone();
        for chunk in key.chunks(HASH_LEN) {
            block = Sha1::new()
                .chain_update(&password)
                .chain_update(&block)
                .finalize()
                .to_vec();
            data.extend(chunk.iter().zip(&block).map(|(byte, pad)| byte ^ pad));
        }
        data.extend(
            Sha1::new()
                .chain_update(&password)
                .chain_update(key)
                .finalize(),
        );
        let info = SealedKey {
            algorithm: AlgorithmIdentifierRef {
                oid: SUNS_ALGORITHM,
                parameters: Some(AnyRef::NULL),
            },
            ciphertext: OctetStringRef::new(&data).unwrap(),
        };
        info.to_der().unwrap()
    }

    pub(crate) fn store(entries: &[Entry], password: &str) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        let text = |out: &mut Vec<u8>, text: &str| {
            out.extend((text.len() as u16).to_be_bytes());
            out.extend(text.as_bytes());
        };
        let blob = |out: &mut Vec<u8>, blob: &[u8]| {
            out.extend((blob.len() as u32).to_be_bytes());
            out.extend(blob);
        };
        out.extend(2u32.to_be_bytes());
        out.extend((entries.len() as u32).to_be_bytes());
        for entry in entries {
            match entry {
                Entry::Key {
                    alias,
                    sealed,
                    chain,
                } => {
                    out.extend(1u32.to_be_bytes());
                    text(&mut out, alias);
                    out.extend([0; 8]);
                    blob(&mut out, sealed);
                    out.extend((chain.len() as u32).to_be_bytes());
                    for certificate in chain {
                        text(&mut out, "X.509");
                        blob(&mut out, certificate);
                    }
                }
                Entry::Trusted(certificate) => {
                    out.extend(2u32.to_be_bytes());
                    text(&mut out, "ca");
                    out.extend([0; 8]);
                    text(&mut out, "X.509");
                    blob(&mut out, certificate);
                }
            }
        }
        let hash = Sha1::new()
            .chain_update(utf16(password))
            .chain_update(WHITENER)
            .chain_update(&out)
            .finalize();
        out.extend(hash);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries() -> Vec<Entry> {
        vec![
            Entry::Key {
                alias: "server cert".to_owned(),
                sealed: write::seal(b"a key that is longer than one hash", "päss"),
                chain: vec![vec![1, 2], vec![3]],
            },
            Entry::Trusted(vec![4, 5, 6]),
        ]
    }

    #[test]
    fn entries_are_read_and_keys_unsealed() {
        let file = write::store(&entries(), "päss");
        let read = read(&file, "päss").unwrap();
        assert_eq!(read, entries());
        let Entry::Key { sealed, .. } = &read[0] else {
            panic!("{read:?}");
        };
        assert_eq!(
            unseal(sealed, "päss").unwrap(),
            b"a key that is longer than one hash"
        );
        assert_eq!(unseal(sealed, "other"), Err(JksError::Password));
    }

    #[test]
    fn a_wrong_password_and_damage_are_told_apart() {
        let file = write::store(&entries(), "päss");
        assert_eq!(read(&file, "other"), Err(JksError::Password));
        for cut in 0..file.len() {
            assert_ne!(read(&file[..cut], "päss").err(), None);
        }
        assert_eq!(read(&file[..60], "päss"), Err(JksError::Damaged));
    }

    proptest! {
        #[test]
        fn no_change_of_a_file_panics(at in 0usize..200, byte in any::<u8>()) {
            let mut file = write::store(&entries(), "päss");
            let at = at % file.len();
            let changed = file[at] != byte;
            file[at] = byte;
            prop_assert_eq!(read(&file, "päss").is_err(), changed);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = unseal(&bytes, "x");
            let _ = read(&[&MAGIC[..], &[0, 0, 0, 2], &bytes].concat(), "x");
        }
    }
}
