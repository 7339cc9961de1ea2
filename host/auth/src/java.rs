//! Values as Java reads them. ZooKeeper's settings are Java's system properties, and each of
//! Java's ways to read one differs from the others:
//!
//! | Here | Java | What it takes |
//! |---|---|---|
//! | [`parse_int`], [`parse_long`] | `Integer.parseInt`, `Long.parseLong` | a sign and decimal digits, no blank |
//! | [`decode_int`], [`decode_long`] | `Integer.getInteger`, `Long.getLong` | the same, and `0x10`, `#10` and octal `010`; all else counts as not set |
//! | [`is_true`] | `Boolean.parseBoolean`, `Boolean.getBoolean` | `true` in any case is on; all else is off |
//! | [`parse_double`] | `Double.parseDouble` | blanks around it, exponents, `NaN`, `Infinity`, a `d` or `f` behind it |
//! | [`trim`] | `String.trim` | everything up to the blank goes |
//! | [`split`] | `String.split` | empty parts at the end are dropped |
//! | [`first_line`] | `BufferedReader.readLine` | a line ends with LF, CR or both |

/// As `Integer.parseInt` reads it.
pub fn parse_int(text: &str) -> Option<i32> {
    // Rust takes the same signs and digits, and no blanks either.
    text.parse().ok()
}

/// As `Long.parseLong` reads it.
pub fn parse_long(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// As `Integer.decode` reads it, which `Integer.getInteger` uses: `None` is what that takes for
/// not set.
pub fn decode_int(text: &str) -> Option<i32> {
    let (number, radix) = number_and_radix(text)?;
    i32::from_str_radix(&number, radix).ok()
}

/// As `Long.decode` reads it, which `Long.getLong` uses.
pub fn decode_long(text: &str) -> Option<i64> {
    let (number, radix) = number_and_radix(text)?;
    i64::from_str_radix(&number, radix).ok()
}

/// The sign and the digits, and their base.
fn number_and_radix(text: &str) -> Option<(String, u32)> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixed = ["0x", "0X", "#"].iter();
    let hexadecimal = prefixed
        .filter_map(|prefix| rest.strip_prefix(prefix))
        .next();
    let (digits, radix) = match (hexadecimal, rest.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        (None, _) => (rest, 10),
    };
    // A second sign would pass for a part of the number.
    let first = digits.chars().next()?;
    first
        .is_ascii_alphanumeric()
        .then(|| (format!("{sign}{digits}"), radix))
}

/// As `Boolean.parseBoolean` reads it: everything but `true` is off.
pub fn is_true(text: &str) -> bool {
    text.eq_ignore_ascii_case("true")
}

/// As `Double.parseDouble` reads it, but for hexadecimal numbers.
pub fn parse_double(text: &str) -> Option<f64> {
    let text = trim(text);
    let (unsigned, negative) = match text.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (text.strip_prefix('+').unwrap_or(text), false),
    };
    let number = match unsigned {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        _ => {
            let digits = unsigned.strip_suffix(['d', 'D', 'f', 'F']);
            let digits = digits.unwrap_or(unsigned);
            // Rust knows words that Java does not, e.g. `inf`, and would take a second sign.
            let first = digits.chars().next()?;
            if !(first.is_ascii_digit() || first == '.') {
                return None;
            }
            digits.parse().ok()?
        }
    };
    Some(if negative { -number } else { number })
}

/// As `String.trim` trims: everything up to the blank goes, control characters included.
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// As `String.split` splits at one character: empty parts at the end are dropped, and a text
/// without the character is its only part, an empty one as well.
pub fn split(text: &str, at: char) -> Vec<&str> {
    if !text.contains(at) {
        return vec![text];
    }
    let mut parts: Vec<&str> = text.split(at).collect();
    while parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    parts
}

/// The first line, as `BufferedReader.readLine` reads it; `None` if there is none.
pub fn first_line(text: &str) -> Option<&str> {
    (!text.is_empty()).then(|| text.split(['\n', '\r']).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Java 17 makes of the same texts.
    #[test]
    fn numbers_are_parsed_as_java_parses_them() {
        for (text, number) in [
            ("5", Some(5)),
            ("+5", Some(5)),
            ("-5", Some(-5)),
            ("007", Some(7)),
            ("2147483647", Some(i32::MAX)),
            ("-2147483648", Some(i32::MIN)),
            ("2147483648", None),
            ("", None),
            ("+", None),
            ("-", None),
            ("5 ", None),
            (" 5", None),
            ("5\r", None),
            ("0x5", None),
            ("five", None),
            ("5.0", None),
            ("1_000", None),
            ("${X}", None),
        ] {
            assert_eq!(parse_int(text), number, "{text:?}");
        }
        assert_eq!(parse_long("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_long("9223372036854775808"), None);
    }

    /// What Java 17 makes of the same texts.
    #[test]
    fn numbers_are_decoded_as_java_decodes_them() {
        for (text, number) in [
            ("5", Some(5)),
            ("+5", Some(5)),
            ("-5", Some(-5)),
            ("0", Some(0)),
            ("-0", Some(0)),
            ("010", Some(8)),
            ("-010", Some(-8)),
            ("00", Some(0)),
            ("08", None),
            ("0x10", Some(16)),
            ("0X1f", Some(31)),
            ("-0x10", Some(-16)),
            ("#10", Some(16)),
            ("+#10", Some(16)),
            ("0x7fffffff", Some(i32::MAX)),
            ("0x80000000", None),
            ("-0x80000000", Some(i32::MIN)),
            ("2147483648", None),
            ("", None),
            ("+", None),
            ("0x", None),
            ("#", None),
            ("0x-5", None),
            ("--5", None),
            ("-+5", None),
            ("0-5", None),
            ("ten", None),
            ("10 ", None),
            (" 10", None),
            ("${X}", None),
        ] {
            assert_eq!(decode_int(text), number, "{text:?}");
        }
        assert_eq!(decode_long("0x80000000"), Some(1 << 31));
        assert_eq!(decode_long("-0x8000000000000000"), Some(i64::MIN));
        assert_eq!(decode_long("0x8000000000000000"), None);
    }

    #[test]
    fn switches_are_on_by_one_word() {
        assert!(is_true("true") && is_true("TRUE") && is_true("True"));
        for text in ["", "yes", "1", "true ", " true", "false", "${X}"] {
            assert!(!is_true(text), "{text:?}");
        }
    }

    /// What Java 17 makes of the same texts.
    #[test]
    fn real_numbers_are_parsed_as_java_parses_them() {
        for (text, number) in [
            ("0.5", Some(0.5)),
            (" 5 ", Some(5.0)),
            ("-.5", Some(-0.5)),
            ("5.", Some(5.0)),
            ("1e3", Some(1000.0)),
            ("1.5d", Some(1.5)),
            ("2F", Some(2.0)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("", None),
            ("inf", None),
            ("nan", None),
            ("+-5", None),
            ("half", None),
            (".", None),
            ("${X}", None),
        ] {
            assert_eq!(parse_double(text), number, "{text:?}");
        }
        assert!(parse_double("NaN").is_some_and(f64::is_nan));
    }

    /// What Java 17 makes of the same texts.
    #[test]
    fn texts_are_cut_as_java_cuts_them() {
        assert_eq!(split("a,b", ','), ["a", "b"]);
        assert_eq!(split("a,,b,,", ','), ["a", "", "b"]);
        assert_eq!(split(",a", ','), ["", "a"]);
        assert_eq!(split("", ','), [""]);
        assert_eq!(split(",", ','), [""; 0]);
        assert_eq!(trim("\u{1}\t a b\r\n"), "a b");
        assert_eq!(trim("\u{a0}a"), "\u{a0}a");
        for text in ["7", "7\n", "7\r", "7\r\n8", "7\r8", "7\n\n"] {
            assert_eq!(first_line(text), Some("7"), "{text:?}");
        }
        assert_eq!(first_line("\n7"), Some(""));
        assert_eq!(first_line(""), None);
    }
}
