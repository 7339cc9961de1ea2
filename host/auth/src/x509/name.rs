//! Distinguished names as Java shows and reads them: a certificate's subject is an identity of
//! the scheme `x509`, and ACLs name it in Java's words.

use x509_parser::asn1_rs::ToDer;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The subject of a certificate, in the form of RFC 2253 as Java's `X500Principal.getName()`
/// prints it. (test: `names_are_javas`)
pub(crate) fn subject_of(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(rfc2253(certificate.subject()))
}

/// A name as Java prints it: the last part first.
pub(crate) fn rfc2253(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+"))
        .collect();
    parts.reverse();
    parts.join(",")
}

/// What two names have in common that are the same name to Java: case and runs of white space
/// make no difference, and the kind of string neither.
pub(crate) fn canonical(name: &X509Name<'_>) -> String {
    let attribute = |attribute: &AttributeTypeAndValue<'_>| {
        let text = String::from_utf8_lossy(attribute.attr_value().data).to_lowercase();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        // Lengths keep parts apart whatever they hold.
        format!(
            "{}={}:{text}",
            attribute.attr_type().to_id_string(),
            text.len()
        )
    };
    let parts = name.iter_rdn().map(|part| {
        let mut attributes: Vec<_> = part.iter().map(attribute).collect();
        attributes.sort();
        attributes.join("+")
    });
    parts.collect::<Vec<_>>().join(",")
}

/// Whether a text is a name by Java's `new X500Principal(text)`, as `X509AuthenticationProvider`
/// demands of an ACL's id. (test: `what_java_takes_for_a_name_is_one`)
pub(crate) fn is_distinguished_name(text: &str) -> bool {
    text.trim().is_empty()
        || split(text, &[',', ';']).is_some_and(|parts| {
            parts.into_iter().all(|part| {
                split(part, &['+'])
                    .is_some_and(|attributes| attributes.into_iter().all(is_attribute))
            })
        })
}

/// The attributes that RFC 2253 has words for.
const KEYWORDS: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// Further words that Java knows when it reads.
const MORE_KEYWORDS: [&str; 11] = [
    "S",
    "T",
    "IP",
    "DNQ",
    "DNQUALIFIER",
    "SURNAME",
    "GIVENNAME",
    "INITIALS",
    "GENERATION",
    "EMAILADDRESS",
    "SERIALNUMBER",
];

/// Tags of the strings that Java prints as text: UTF8String, PrintableString, T61String,
/// IA5String, GeneralString, BMPString.
const TEXT_TAGS: [u32; 6] = [12, 19, 20, 22, 27, 30];

const ESCAPED: [char; 9] = [',', '=', '+', '<', '>', '#', ';', '"', '\\'];

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let id = attribute.attr_type().to_id_string();
    let value = attribute.attr_value();
    let keyword = KEYWORDS.iter().find(|(known, _)| *known == id);
    match keyword {
        Some((_, word)) if TEXT_TAGS.contains(&value.header.tag().0) => {
            // Java reads every kind of string as UTF-8 here, BMPString included.
            format!("{word}={}", escape(&String::from_utf8_lossy(value.data)))
        }
        keyword => {
            let word = keyword.map_or(id.as_str(), |(_, word)| word);
            format!(
                "{word}=#{}",
                hex::encode(value.to_der_vec().unwrap_or_default())
            )
        }
    }
}

fn escape(text: &str) -> String {
    let is_blank = |c: char| c == ' ' || c == '\r';
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => escaped.push_str("\\00"),
            c => {
                if ESCAPED.contains(&c) {
                    escaped.push('\\');
                }
                escaped.push(c);
            }
        }
    }
    let chars: Vec<char> = escaped.chars().collect();
    let first = chars.iter().position(|c| !is_blank(*c));
    let last = chars.iter().rposition(|c| !is_blank(*c));
    let mut out = String::with_capacity(escaped.len());
    for (at, c) in chars.iter().enumerate() {
        if first.is_none_or(|first| at < first) || last.is_none_or(|last| at > last) {
            out.push('\\');
        }
        out.push(*c);
    }
    out
}

/// Splits at separators that are neither quoted nor escaped; `None` if a quote has no end or the
/// last backslash nothing behind it.
fn split<'a>(text: &'a str, separators: &[char]) -> Option<Vec<&'a str>> {
    let mut parts = Vec::new();
    let (mut from, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            c if !quoted && separators.contains(&c) => {
                parts.push(&text[from..at]);
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    (!quoted && !escaped).then_some(parts)
}

fn is_attribute(text: &str) -> bool {
    let Some((key, value)) = text.split_once('=') else {
        return false;
    };
    is_key(key.trim()) && is_value(value.trim_start())
}

fn is_key(key: &str) -> bool {
    let upper = key.to_ascii_uppercase();
    KEYWORDS.iter().any(|(_, word)| *word == upper)
        || MORE_KEYWORDS.contains(&upper.as_str())
        || is_oid(upper.strip_prefix("OID.").unwrap_or(&upper))
}

fn is_oid(text: &str) -> bool {
    let arcs: Option<Vec<u64>> = text.split('.').map(|arc| arc.parse().ok()).collect();
    match arcs.as_deref() {
        Some([first, second, ..]) => *first < 2 && *second < 40 || *first == 2,
        _ => false,
    }
}

fn is_value(value: &str) -> bool {
    if let Some(digits) = value.strip_prefix('#') {
        return is_hex_der(digits.trim_end());
    }
    if let Some(quoted) = value.strip_prefix('"') {
        return match split(quoted.trim_end(), &[]) {
            // An odd quote is the closing one, which must be the last character.
            None => quoted
                .trim_end()
                .strip_suffix('"')
                .is_some_and(|inner| are_escapes_good(inner) && !unescaped(inner, &['"'])),
            Some(_) => false,
        };
    }
    are_escapes_good(value) && !unescaped(value, &['<', '>', '"'])
}

/// Whether one of the characters stands without a backslash before it.
fn unescaped(text: &str, wanted: &[char]) -> bool {
    let mut escaped = false;
    text.chars().any(|c| {
        let found = !escaped && wanted.contains(&c);
        escaped = !escaped && c == '\\';
        found
    })
}

/// Whether every backslash is followed by a special character or two hexadecimal digits.
fn are_escapes_good(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            continue;
        }
        match chars.next() {
            Some(c) if ESCAPED.contains(&c) || c == ' ' || c == '\n' => {}
            Some(c) if c.is_ascii_hexdigit() => {
                if !chars.next().is_some_and(|c| c.is_ascii_hexdigit()) {
                    return false;
                }
            }
            _ => return false,
        }
    }
    true
}

/// Hexadecimal digits of one whole DER value.
fn is_hex_der(digits: &str) -> bool {
    let bytes = hex::decode(digits);
    bytes.is_ok_and(|bytes| {
        x509_parser::asn1_rs::Any::from_der(&bytes).is_ok_and(|(rest, _)| rest.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `testdata/names.tsv`: names in DER, and what Java 17 prints of them.
    #[test]
    fn names_are_javas() {
        let golden = include_str!("../testdata/names.tsv");
        let mut count = 0;
        for line in golden.lines() {
            let (der, expected) = line.split_once('\t').unwrap();
            let mut expected = expected.to_owned();
            for c in ['\t', '\n', '\r'] {
                expected = expected.replace(&format!("\\u{{{:x}}}", c as u32), &c.to_string());
            }
            let der = hex::decode(der).unwrap();
            let (_, name) = X509Name::from_der(&der).unwrap();
            assert_eq!(rfc2253(&name), expected, "{line}");
            count += 1;
        }
        assert!(count > 50);
    }

    /// `testdata/valid.tsv`: texts, and whether Java 17 takes them for a name.
    #[test]
    fn what_java_takes_for_a_name_is_one() {
        for line in include_str!("../testdata/valid.tsv").lines() {
            let (valid, text) = line.split_once('\t').unwrap();
            let text = text.replace("\\n", "\n");
            assert_eq!(is_distinguished_name(&text), valid == "true", "{text:?}");
        }
    }

    #[test]
    fn case_and_white_space_make_no_other_name() {
        // CN=Some  Name as UTF8String, CN=some name as PrintableString, CN=othername.
        let names = [
            "3015311330110603550403 0c0a536f6d6520204e616d65",
            "3014311230100603550403 1309736f6d65206e616d65",
            "3014311230100603550403 13096f746865726e616d65",
        ];
        let canonical = |digits: &str| {
            let der = hex::decode(digits.replace(' ', "")).unwrap();
            canonical(&X509Name::from_der(&der).unwrap().1)
        };
        assert_eq!(canonical(names[0]), canonical(names[1]));
        assert_ne!(canonical(names[0]), canonical(names[2]));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = subject_of(&bytes);
            if let Ok((_, name)) = X509Name::from_der(&bytes) {
                let _ = (rfc2253(&name), canonical(&name));
            }
        }

        #[test]
        fn no_text_panics(text in "(CN|1\\.2|x)?[=,+;#\"\\\\ a0ü]{0,30}") {
            let _ = is_distinguished_name(&text);
        }
    }
}
