//! Elliptic keys without their public half.
//!
//! A private key may name its public one or leave it out; `ring` wants it, and Java never writes
//! it, so that a key store made by keytool would not be served. The node's own certificate has the
//! public key in any case, and `ring` finds out whether the two belong together.

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetStringRef};
use der::{Encode, Sequence};
use pkcs8::PrivateKeyInfoRef;
use spki::SubjectPublicKeyInfoRef;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::x509::asn1::EllipticKey;

/// The algorithm of elliptic keys.
const ELLIPTIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// An `ECPrivateKey` with its public half; the curve is named around it.
#[derive(Sequence)]
struct WholeKey<'a> {
    version: u8,
    number: &'a OctetStringRef,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT")]
    public: BitStringRef<'a>,
}

/// The key with its public half from a certificate's `SubjectPublicKeyInfo`; `None` where nothing
/// is missing, or it is no elliptic key.
pub(crate) fn completed(
    key: &PrivateKeyDer<'_>,
    certified: &[u8],
) -> Option<PrivateKeyDer<'static>> {
    let (curve, half) = match key {
        PrivateKeyDer::Pkcs8(key) => {
            let info = PrivateKeyInfoRef::try_from(key.secret_pkcs8_der()).ok()?;
            if info.algorithm.oid != ELLIPTIC {
                return None;
            }
            let half = EllipticKey::read(info.private_key.as_bytes()).ok()?;
            (info.algorithm.parameters, half)
        }
        PrivateKeyDer::Sec1(key) => (None, EllipticKey::read(key.secret_sec1_der()).ok()?),
        _ => return None,
    };
    if half.has_public {
        return None;
    }
    let certified = SubjectPublicKeyInfoRef::try_from(certified).ok()?;
    let named = |curve: Option<AnyRef<'_>>| curve?.decode_as::<ObjectIdentifier>().ok();
    let curve = named(curve.or(half.curve))?;
    if certified.algorithm.oid != ELLIPTIC || named(certified.algorithm.parameters)? != curve {
        return None;
    }
    // An uncompressed point: a mark and two numbers of the curve's size.
    let point = certified.subject_public_key.as_bytes()?;
    let size = point.len().checked_sub(1)? / 2;
    let significant = half.number.iter().skip_while(|byte| **byte == 0);
    let significant: Vec<u8> = significant.copied().collect();
    let mut padded = vec![0; size.checked_sub(significant.len())?];
    padded.extend(significant);
    let whole = WholeKey {
        version: 1,
        number: OctetStringRef::new(&padded).ok()?,
        public: certified.subject_public_key,
    };
    let whole = whole.to_der().ok()?;
    let whole = PrivateKeyInfoRef::new(certified.algorithm, OctetStringRef::new(&whole).ok()?);
    Some(PrivatePkcs8KeyDer::from(whole.to_der().ok()?).into())
}
