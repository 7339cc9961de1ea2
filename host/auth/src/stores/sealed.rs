//! Private keys under a password, as openssl writes them: `EncryptedPrivateKeyInfo`.
//!
//! 1. PBES2, openssl's own choice since 1.1, is the crate `pkcs5`'s business.
//! 2. PBES1 is read here, in both of its families: that of PKCS#12 (openssl's `-v1 PBE-SHA1-3DES`
//!    and its siblings) and that of PKCS#5 (`-v1 PBE-MD5-DES`). ZooKeeper's `PemReader` on Java 17
//!    takes nothing but these, so keys that have served a ZooKeeper are sealed so. They are old and
//!    weak, and nothing is ever sealed by them here.
//! 3. What is left is named, with the command that makes a key of it that is read.
//!
//! The files in `testdata` were made by openssl, and put to ZooKeeper's own reader on Java 17.

use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use der::asn1::{AnyRef, OctetStringRef, SequenceRef};
use der::{Decode, Sequence};
use des::{Des, TdesEde2, TdesEde3};
use md5::Md5;
use rc2::Rc2;
use rc4::Rc4;
use rc4::cipher::StreamCipher;
use sha1::{Digest, Sha1};
use spki::AlgorithmIdentifierRef;

/// Rounds of hashing that a file may ask for; it holds up the start.
const ROUNDS_MAX: u32 = 10_000_000;

/// Work that scrypt may be asked for, in units of 128 bytes: openssl's own is 131,072.
const SCRYPT_WORK_MAX: u64 = 1 << 21;

/// The longest salt, in bytes.
const SALT_BYTES_MAX: usize = 1024;

/// Why a key stays sealed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Sealed {
    /// The bytes are no `EncryptedPrivateKeyInfo`, or ask for more work than its bounds allow.
    #[error("its private key is damaged: make it again")]
    Damaged,
    /// The password is wrong, or the key inside is damaged.
    #[error("its private key cannot be decrypted")]
    Password,
    /// The key is encrypted by an algorithm that is not known here.
    #[error(
        "its private key is encrypted by {0}, which is not known here: encrypt it again with \
         openssl pkcs8 -topk8 -v2 aes-256-cbc, or, to be read by ZooKeeper on Java 17 as well, with \
         -v1 PBE-SHA1-3DES"
    )]
    Scheme(String),
}

/// An `EncryptedPrivateKeyInfo`, by whatever algorithm. (That of the crate `pkcs8` knows those of
/// PKCS#5 alone.)
#[derive(Sequence)]
pub(super) struct SealedKey<'a> {
    pub(super) algorithm: AlgorithmIdentifierRef<'a>,
    pub(super) ciphertext: &'a OctetStringRef,
}

/// The PKCS#8 key in an `EncryptedPrivateKeyInfo`.
pub(super) fn open(info: &[u8], password: &str) -> Result<Vec<u8>, Sealed> {
    let info = SealedKey::from_der(info).map_err(|_| Sealed::Damaged)?;
    let number = info.algorithm.oid.to_string();
    let parameters = info.algorithm.parameters.ok_or(Sealed::Damaged)?;
    let ciphertext = info.ciphertext.as_bytes();
    let key = match number.rsplit_once('.') {
        Some((PKCS5, "13")) => pbes2(info.algorithm, parameters, ciphertext, password)?,
        Some((PKCS12_PBE, last)) => pkcs12(last, &number, parameters, ciphertext, password)?,
        Some((PKCS5, last)) => pkcs5_1(last, &number, parameters, ciphertext, password)?,
        _ => return Err(unknown(&number)),
    };
    // A wrong password may leave good padding behind, and a stream has none.
    match <&SequenceRef>::from_der(&key) {
        Ok(_) => Ok(key),
        Err(_) => Err(Sealed::Password),
    }
}

const PKCS5: &str = "1.2.840.113549.1.5";
const PKCS12_PBE: &str = "1.2.840.113549.1.12.1";

fn unknown(number: &str) -> Sealed {
    Sealed::Scheme(format!("the algorithm {number}"))
}

fn pbes2(
    algorithm: AlgorithmIdentifierRef<'_>,
    parameters: AnyRef<'_>,
    ciphertext: &[u8],
    password: &str,
) -> Result<Vec<u8>, Sealed> {
    let scheme = pkcs5::EncryptionScheme::try_from(algorithm);
    let scheme = scheme.map_err(|_| Sealed::Scheme(pbes2_name(parameters)))?;
    if let pkcs5::EncryptionScheme::Pbes2(parameters) = &scheme {
        let rounds = parameters.kdf.pbkdf2().map(|kdf| kdf.iteration_count);
        let work = parameters.kdf.scrypt().map(|kdf| {
            kdf.cost_parameter
                .saturating_mul(u64::from(kdf.block_size))
                .saturating_mul(u64::from(kdf.parallelization))
        });
        if rounds.is_some_and(|rounds| rounds > ROUNDS_MAX)
            || work.is_some_and(|work| work > SCRYPT_WORK_MAX)
        {
            return Err(Sealed::Damaged);
        }
    }
    let opened = scheme.decrypt(password, ciphertext);
    opened.map_err(|_| Sealed::Password)
}

/// The parameters of PBES2: how the key is derived, and the cipher.
#[derive(Sequence)]
struct Pbes2<'a> {
    derivation: AlgorithmIdentifierRef<'a>,
    cipher: AlgorithmIdentifierRef<'a>,
}

/// What a PBES2 that is not known is made of: two algorithms.
fn pbes2_name(parameters: AnyRef<'_>) -> String {
    match parameters.decode_as::<Pbes2<'_>>() {
        Ok(Pbes2 { derivation, cipher }) => format!(
            "PBES2 with the algorithms {} and {}",
            derivation.oid, cipher.oid
        ),
        Err(_) => "PBES2 with parameters that cannot be read".to_owned(),
    }
}

/// The parameters of PBES1, in both families.
#[derive(Sequence)]
struct Pbes1<'a> {
    salt: &'a OctetStringRef,
    rounds: u32,
}

/// Salt and rounds; `None` where they are beyond their bounds.
fn parameters_of(parameters: AnyRef<'_>) -> Option<(&[u8], u32)> {
    let Pbes1 { salt, rounds } = parameters.decode_as().ok()?;
    let salt = salt.as_bytes();
    let fits = (1..=ROUNDS_MAX).contains(&rounds) && salt.len() <= SALT_BYTES_MAX;
    fits.then_some((salt, rounds))
}

/// PBES1 as PKCS#12 has it: SHA-1, and a password in UTF-16.
fn pkcs12(
    last: &str,
    number: &str,
    parameters: AnyRef<'_>,
    ciphertext: &[u8],
    password: &str,
) -> Result<Vec<u8>, Sealed> {
    let key_bytes = match last {
        "1" | "4" | "5" => 16,
        "3" => 24,
        "2" | "6" => 5,
        _ => return Err(unknown(number)),
    };
    let (salt, rounds) = parameters_of(parameters).ok_or(Sealed::Damaged)?;
    let derived = |purpose, bytes| derive(purpose, password, salt, rounds, bytes);
    let key = derived(Purpose::Key, key_bytes);
    let iv = derived(Purpose::Iv, 8);
    match last {
        "1" | "2" => {
            let mut opened = ciphertext.to_vec();
            let cipher = Rc4::new_from_slice(&key);
            cipher
                .map_err(|_| Sealed::Damaged)?
                .apply_keystream(&mut opened);
            Ok(opened)
        }
        "3" => unchained::<TdesEde3>(&key, &iv, ciphertext),
        "4" => unchained::<TdesEde2>(&key, &iv, ciphertext),
        _ => unchained::<Rc2>(&key, &iv, ciphertext),
    }
}

/// PBES1 as PKCS#5 has it: a hash over and over gives the key and what the chain begins with.
fn pkcs5_1(
    last: &str,
    number: &str,
    parameters: AnyRef<'_>,
    ciphertext: &[u8],
    password: &str,
) -> Result<Vec<u8>, Sealed> {
    if !matches!(last, "3" | "6" | "10" | "11") {
        return Err(unknown(number));
    }
    let (salt, rounds) = parameters_of(parameters).ok_or(Sealed::Damaged)?;
    let hash = match last {
        "3" | "6" => hashed::<Md5>(password, salt, rounds),
        _ => hashed::<Sha1>(password, salt, rounds),
    };
    let (key, iv) = (&hash[..8], &hash[8..16]);
    match last {
        "3" | "10" => unchained::<Des>(key, iv, ciphertext),
        _ => unchained::<Rc2>(key, iv, ciphertext),
    }
}

/// The hash of password and salt, hashed again so often: at least 16 bytes.
fn hashed<D: Digest>(password: &str, salt: &[u8], rounds: u32) -> Vec<u8> {
    let mut hash = D::new_with_prefix(password)
        .chain_update(salt)
        .finalize()
        .to_vec();
    for _ in 1..rounds {
        hash = D::digest(&hash).to_vec();
    }
    hash
}

fn unchained<C>(key: &[u8], iv: &[u8], ciphertext: &[u8]) -> Result<Vec<u8>, Sealed>
where
    C: KeyInit + BlockCipherDecrypt,
{
    let cipher = cbc::Decryptor::<C>::new_from_slices(key, iv).map_err(|_| Sealed::Damaged)?;
    let opened = cipher.decrypt_padded_vec::<Pkcs7>(ciphertext);
    opened.map_err(|_| Sealed::Password)
}

/// What bytes are derived for.
#[derive(Clone, Copy)]
enum Purpose {
    Key = 1,
    Iv = 2,
}

/// SHA-1 takes its input in blocks of so many bytes.
const BLOCK_BYTES: usize = 64;

/// The derivation of RFC 7292, appendix B.2, with SHA-1.
fn derive(purpose: Purpose, password: &str, salt: &[u8], rounds: u32, bytes: usize) -> Vec<u8> {
    let password: Vec<u8> = password
        .encode_utf16()
        .chain([0])
        .flat_map(u16::to_be_bytes)
        .collect();
    // Each is repeated until it fills whole blocks.
    let filled = |text: &[u8]| {
        let len = text.len().next_multiple_of(BLOCK_BYTES);
        text.iter().copied().cycle().take(len).collect::<Vec<u8>>()
    };
    let mut input = filled(salt);
    input.extend(filled(&password));
    let mut out = Vec::with_capacity(bytes + 20);
    while out.len() < bytes {
        let first = Sha1::new_with_prefix([purpose as u8; BLOCK_BYTES]);
        let mut hash = first.chain_update(&input).finalize();
        for _ in 1..rounds {
            hash = Sha1::digest(hash);
        }
        out.extend_from_slice(&hash);
        // Each block becomes itself, plus the hash repeated, plus one; what overflows is dropped.
        for block in input.chunks_mut(BLOCK_BYTES) {
            let mut carry = 1;
            for (at, byte) in block.iter_mut().enumerate().rev() {
                let sum = u16::from(*byte) + u16::from(hash[at % hash.len()]) + carry;
                *byte = sum as u8;
                carry = sum >> 8;
            }
        }
    }
    out.truncate(bytes);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject;

    use super::super::read::encrypted_pem;
    use super::super::tests::sections;
    use super::*;

    const SEALED: &str = include_str!("../testdata/sealed.pem");
    const PASSWORD: &str = "apassword";

    fn all() -> Vec<(&'static str, Vec<u8>)> {
        sections(SEALED)
            .into_iter()
            .filter_map(|(name, pem)| Some((name, encrypted_pem(pem.as_bytes())?)))
            .collect()
    }

    fn clear() -> Vec<u8> {
        let (_, clear) = sections(SEALED).swap_remove(0);
        let key = PrivateKeyDer::from_pem_slice(clear.as_bytes()).unwrap();
        key.secret_der().to_vec()
    }

    /// All that ZooKeeper's reader takes on Java 17 (3DES, RC2 and RC4 of PKCS#12, MD5 and DES of
    /// PKCS#5), what openssl makes otherwise, and nothing more.
    #[test]
    fn what_openssl_seals_is_opened_or_named() {
        let all = all();
        assert_eq!(all.len(), 16);
        for (name, info) in all {
            let opened = open(&info, PASSWORD);
            if name == "camellia" {
                let error = opened.unwrap_err().to_string();
                assert!(
                    error.contains("PBES2 with the algorithms 1.2.840.113549.1.5.12"),
                    "{error}"
                );
                assert!(error.contains("-v1 PBE-SHA1-3DES"), "{error}");
                continue;
            }
            assert_eq!(opened.as_deref(), Ok(clear().as_slice()), "{name}");
            for wrong in ["", "apasswore", "apassword "] {
                assert_eq!(
                    open(&info, wrong),
                    Err(Sealed::Password),
                    "{name} {wrong:?}"
                );
            }
        }
    }

    #[test]
    fn unknown_schemes_are_named_by_their_number() {
        let (_, info) = all().swap_remove(0);
        // The last byte of the OID: 7 is none of PKCS#12's.
        let family = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 1];
        let at = info.windows(9).position(|part| part == family).unwrap();
        let mut changed = info.clone();
        changed[at + 9] = 7;
        let error = open(&changed, PASSWORD).unwrap_err().to_string();
        assert!(
            error.contains("by the algorithm 1.2.840.113549.1.12.1.7, which"),
            "{error}"
        );
    }

    /// A file that asks for endless hashing does not hold up the start.
    #[test]
    fn rounds_have_a_bound() {
        let parameters = |rounds: &[u8]| {
            let mut both = vec![4, 1, 7, 2, rounds.len() as u8];
            both.extend(rounds);
            [&[0x30, both.len() as u8], &both[..]].concat()
        };
        let read = |rounds: &[u8]| {
            let encoded = parameters(rounds);
            let any = AnyRef::from_der(&encoded).unwrap();
            parameters_of(any).map(|(_, rounds)| rounds)
        };
        assert_eq!(read(&[8, 0]), Some(2048));
        assert_eq!(read(&[0x7f, 0xff, 0xff, 0xff]), None);
        assert_eq!(read(&[0, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(read(&[0xff]), None);
        assert_eq!(read(&[0]), None);
        assert_eq!(read(&[]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn no_change_of_a_sealed_key_panics(which in 0usize..12, at in 0usize..60, byte: u8) {
            let (_, mut info) = all().swap_remove(which);
            let at = at % info.len();
            info[at] = byte;
            let _ = open(&info, PASSWORD);
        }
    }
}
