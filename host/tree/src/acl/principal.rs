//! Names of the schemes `x509` and `sasl`: the texts that ZooKeeper accepts.
//!
//! An `x509` id is what Java's `X500Principal` can read: attributes between commas, semicolons
//! or pluses, each a keyword or an object identifier, `=`, and a value, which may be quoted,
//! escaped or a hexadecimal form. A `sasl` id is a text that ZooKeeper's `KerberosName` can read.

/// Java's table of keywords.
const KEYWORDS: [&str; 21] = [
    "CN",
    "C",
    "L",
    "S",
    "ST",
    "O",
    "OU",
    "T",
    "IP",
    "STREET",
    "DC",
    "DNQUALIFIER",
    "DNQ",
    "SURNAME",
    "GIVENNAME",
    "INITIALS",
    "GENERATION",
    "EMAIL",
    "EMAILADDRESS",
    "UID",
    "SERIALNUMBER",
];

/// Characters that may follow a backslash, as two hexadecimal digits may. A space may not follow it
/// within quotes.
const ESCAPABLE: &str = ",=\n+<>#;\\\"";

/// Characters that must have a backslash before them outside quotes.
const ESCAPED: &str = ",+<>;\"";

/// Is this a valid id of an ACL entry of the scheme `sasl`?
/// (test: `kerberos_names_are_zookeepers`)
pub fn is_sasl_name(id: &str) -> bool {
    match id.split_once('@') {
        None => true,
        Some((principal, realm)) => {
            principal.matches('/').count() <= 1 && !realm.contains(['/', '@'])
        }
    }
}

/// Is this a valid id of an ACL entry of the scheme `x509`?
/// (test: `distinguished_names_are_javas`)
pub(super) fn is_distinguished_name(id: &str) -> bool {
    id.is_empty()
        || pieces(id, &[',', ';'], is_escaped)
            .into_iter()
            .all(is_relative_name)
}

fn is_relative_name(name: &str) -> bool {
    let after_backslash = |before: &str| before.is_empty() || before.ends_with('\\');
    pieces(name, &['+'], after_backslash)
        .into_iter()
        .all(is_attribute)
}

/// Cuts a text at separators that are neither within quotes nor escaped. Quotes are counted as
/// Java counts them: a separator is within them after exactly one.
fn pieces<'a>(text: &'a str, separators: &[char], is_escaped: fn(&str) -> bool) -> Vec<&'a str> {
    let mut pieces = Vec::new();
    let (mut begin, mut searched, mut quotes) = (0, 0, 0);
    for (at, _) in text.match_indices(separators) {
        quotes += unescaped_quotes(&text[searched..at]);
        if quotes != 1 && !is_escaped(&text[..at]) {
            pieces.push(&text[begin..at]);
            (begin, quotes) = (at + 1, 0);
        }
        searched = at + 1;
    }
    pieces.push(&text[begin..]);
    pieces
}

fn unescaped_quotes(text: &str) -> usize {
    let (mut count, mut backslashes) = (0, 0);
    for char in text.chars() {
        if char == '"' && backslashes % 2 == 0 {
            count += 1;
        }
        backslashes = if char == '\\' { backslashes + 1 } else { 0 };
    }
    count
}

/// An odd number of backslashes stands before it.
fn is_escaped(before: &str) -> bool {
    let backslashes = before.len() - before.trim_end_matches('\\').len();
    backslashes % 2 == 1
}

fn is_attribute(text: &str) -> bool {
    let Some((keyword, value)) = text.split_once('=') else {
        return false;
    };
    if !is_keyword(keyword) {
        return false;
    }
    let value = value.trim_start_matches([' ', '\n']);
    match value.as_bytes().first() {
        None => true,
        Some(b'#') => is_hexadecimal(&value[1..]),
        Some(b'"') => is_quoted(&value[1..]),
        Some(_) => is_plain(value),
    }
}

fn is_keyword(keyword: &str) -> bool {
    let keyword = keyword.to_uppercase();
    let keyword = keyword.trim_matches(|char: char| char <= ' ');
    if KEYWORDS.contains(&keyword) {
        return true;
    }
    is_object_identifier(keyword.strip_prefix("OID.").unwrap_or(keyword))
}

/// At least two numbers with dots between them, with Java's bounds on the first two.
fn is_object_identifier(text: &str) -> bool {
    let mut numbers = Vec::new();
    for part in text.split('.') {
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return false;
        }
        // The first two matter; others may be longer than any number type.
        numbers.push(part.parse().unwrap_or(u64::MAX));
    }
    match numbers[..] {
        [first, second, ..] => first <= 2 && (first == 2 || second <= 39),
        _ => false,
    }
}

/// Exactly one DER value in pairs of hexadecimal digits.
fn is_hexadecimal(text: &str) -> bool {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|char| char.to_digit(16).map(|digit| digit as u8))
        .collect();
    let Some(digits) = digits.filter(|digits| digits.len() % 2 == 0) else {
        return false;
    };
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect();
    match bytes[..] {
        [_, length, ref rest @ ..] if length < 0x80 => rest.len() == usize::from(length),
        [_, 0x81, length, ref rest @ ..] => length >= 0x80 && rest.len() == usize::from(length),
        [_, 0x82, high, low, ref rest @ ..] => {
            high > 0 && rest.len() == usize::from(high) << 8 | usize::from(low)
        }
        _ => false,
    }
}

/// Is this the rest of a quoted value, after the opening quote?
fn is_quoted(text: &str) -> bool {
    let mut chars = text.chars();
    loop {
        match chars.next() {
            None => return false,
            Some('"') => break,
            Some('\\') => {
                if !takes_escape(&mut chars, false) {
                    return false;
                }
            }
            Some(_) => {}
        }
    }
    chars.all(|char| matches!(char, ' ' | '\n'))
}

fn is_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let mut first = true;
    while let Some(char) = chars.next() {
        let fits = match char {
            '\\' => takes_escape(&mut chars, true),
            // Java ends the value at an unescaped separator and does not look at the rest.
            ',' | '+' | ';' if !first => return true,
            char => !ESCAPED.contains(char),
        };
        if !fits {
            return false;
        }
        first = false;
    }
    true
}

/// Do two hexadecimal digits or an escapable character follow the backslash?
fn takes_escape(chars: &mut std::str::Chars<'_>, space: bool) -> bool {
    match chars.next() {
        None => false,
        Some(char) if char.is_ascii_hexdigit() => {
            chars.next().is_some_and(|char| char.is_ascii_hexdigit())
        }
        Some(char) => ESCAPABLE.contains(char) || space && char == ' ',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kerberos_names_are_zookeepers() {
        for (id, valid) in [
            ("", true),
            ("bob", true),
            ("bob/host/more", true),
            ("bob@REALM", true),
            ("bob/host@REALM", true),
            ("@", true),
            ("bob/host/more@REALM", false),
            ("bob@REALM@", false),
            ("bob@REALM/x", false),
        ] {
            assert_eq!(is_sasl_name(id), valid, "{id:?}");
        }
    }

    /// Each as `new X500Principal(id)` of Java 17 takes or refuses it.
    #[test]
    fn distinguished_names_are_javas() {
        for (id, valid) in include!("x500_samples.in") {
            assert_eq!(is_distinguished_name(id), valid, "{id:?}");
        }
    }
}
