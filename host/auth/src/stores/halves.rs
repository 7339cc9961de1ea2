//! Elliptic keys without their public half.
//!
//! A private key may name its public one or leave it out; `ring` wants it, and Java never writes
//! it, so that a key store made by keytool would not be served. The node's own certificate has the
//! public key in any case, and `ring` finds out whether the two belong together.

use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::x509::der;

/// 1.2.840.10045.2.1
const ELLIPTIC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// Of the contents of an `ECPrivateKey`: the public key.
const PUBLIC: u8 = 0xa1;
/// The curve, if the algorithm does not name it.
const CURVE: u8 = 0xa0;

/// The key with its public half from a certificate's `SubjectPublicKeyInfo`; `None` where nothing
/// is missing, or it is no elliptic key.
pub(crate) fn completed(
    key: &PrivateKeyDer<'_>,
    certified: &[u8],
) -> Option<PrivateKeyDer<'static>> {
    let (mut curve, body) = match key {
        PrivateKeyDer::Pkcs8(key) => {
            let (body, _) = der::take(der::SEQUENCE, key.secret_pkcs8_der())?;
            let (_, rest) = der::take(der::INTEGER, body)?;
            let (algorithm, rest) = der::take(der::SEQUENCE, rest)?;
            let (ELLIPTIC, curve) = der::take(der::OBJECT_IDENTIFIER, algorithm)? else {
                return None;
            };
            let (inner, _) = der::take(der::OCTET_STRING, rest)?;
            (Some(curve), der::take(der::SEQUENCE, inner)?.0)
        }
        PrivateKeyDer::Sec1(key) => (None, der::take(der::SEQUENCE, key.secret_sec1_der())?.0),
        _ => return None,
    };
    let (_, rest) = der::take(der::INTEGER, body)?;
    let (number, mut rest) = der::take(der::OCTET_STRING, rest)?;
    if let Some((own, after)) = der::take(CURVE, rest) {
        (curve, rest) = (curve.or(Some(own)), after);
    }
    if der::take(PUBLIC, rest).is_some() {
        return None;
    }
    let (algorithm, point) = der::public_key(certified)?;
    // An uncompressed point: a mark and two numbers of the curve's size.
    let size = point.len().checked_sub(1)? / 2;
    let significant = number.iter().skip_while(|byte| **byte == 0);
    let significant: Vec<u8> = significant.copied().collect();
    let mut padded = vec![0; size.checked_sub(significant.len())?];
    padded.extend(significant);
    let (ELLIPTIC, certified_curve) = der::take(der::OBJECT_IDENTIFIER, algorithm)? else {
        return None;
    };
    if curve? != certified_curve {
        return None;
    }
    let bits = [&[0], point].concat();
    let private = [
        der::value(der::INTEGER, &[1]),
        der::value(der::OCTET_STRING, &padded),
        der::value(PUBLIC, &der::value(der::BIT_STRING, &bits)),
    ];
    let private = der::value(der::SEQUENCE, &private.concat());
    let whole = [
        der::value(der::INTEGER, &[0]),
        der::value(der::SEQUENCE, algorithm),
        der::value(der::OCTET_STRING, &private),
    ];
    let whole = der::value(der::SEQUENCE, &whole.concat());
    Some(PrivatePkcs8KeyDer::from(whole).into())
}
