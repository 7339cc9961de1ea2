//! Reads a text of keys and values as Java's `Properties.load` does, which reads ZooKeeper's file.
//!
//! 1. The bytes are Latin-1; other characters are written `\uXXXX`.
//! 2. A line whose first visible character is `#` or `!` is a comment. Blank lines are ignored.
//! 3. A line that ends with a backslash continues in the next one, whose leading blanks are
//!    dropped. A comment does not continue.
//! 4. The key ends at the first `=`, `:` or blank without a backslash before it. Blanks around the
//!    separator are dropped; blanks at the end of the value belong to the value.
//! 5. As ZooKeeper does afterwards, [`read`] trims the key and the value.

/// One key with its value and its first line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    /// The key, trimmed.
    pub(super) key: String,
    /// The value, trimmed.
    pub(super) value: String,
    /// The number of its first line, counted from 1.
    pub(super) line: usize,
}

/// An escape `\u` without four hexadecimal digits, the only error that such a text can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "line {line}: \\u is not followed by four hexadecimal digits; write \\\\u if a backslash is meant"
)]
pub(super) struct BadEscape {
    /// The first line of its entry, counted from 1.
    pub(super) line: usize,
}

/// The byte-order mark of UTF-8, as Java reads it here: as three characters of a key.
pub(super) const MARK: &str = "\u{ef}\u{bb}\u{bf}";

/// What an editor made of a file so that some of it, or all, has no effect. It is read as it is all
/// the same, as by Java.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Damage {
    /// A byte-order mark of UTF-8, which becomes a part of the first key, if there is one in line 1.
    Mark,
    /// UTF-16: each key has zeros in it.
    Utf16,
}

impl Damage {
    /// What is wrong with a file of these bytes; `None` if it is read as it was meant.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xef, 0xbb, 0xbf, text @ ..] if first_line_says_something(text) => Some(Self::Mark),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => Some(Self::Utf16),
            _ => None,
        }
    }

    /// The consequence, and what to do about it.
    pub(super) const fn consequence(self) -> &'static str {
        match self {
            Self::Mark => {
                "line 1 has no effect, as in ZooKeeper, because the file begins with a byte-order \
                 mark (BOM), which is read as a part of its key; save the file without BOM"
            }
            Self::Utf16 => {
                "no line has any effect, as in ZooKeeper, because the file is in UTF-16; save it \
                 as plain text (ASCII)"
            }
        }
    }
}

/// Whether a mark before this text takes something away: a key, or the line that follows a comment
/// with a backslash at its end, because with a mark before it that is no comment.
fn first_line_says_something(text: &[u8]) -> bool {
    let line = text.split(|byte| matches!(byte, b'\n' | b'\r')).next();
    let line = line.unwrap_or_default();
    let start = line.trim_ascii_start();
    !(start.is_empty() || matches!(start[0], b'#' | b'!')) || line.ends_with(b"\\")
}

/// All entries in the order of the text. A key may occur more than once.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Entry>, BadEscape> {
    let text: Vec<char> = bytes.iter().map(|byte| char::from(*byte)).collect();
    let mut lines = NaturalLines {
        text: &text,
        number: 0,
    };
    let mut entries = Vec::new();
    while let Some(first) = lines.next() {
        let first = skip_blanks(first);
        if first.is_empty() || matches!(first[0], '#' | '!') {
            continue;
        }
        let line = lines.number;
        let mut logical = first.to_vec();
        while continues(&logical) {
            logical.pop();
            match lines.next() {
                Some(more) => logical.extend_from_slice(skip_blanks(more)),
                None => break,
            }
        }
        let (key, value) = split(&logical);
        let unescaped = |part: &[char]| unescape(part).ok_or(BadEscape { line });
        entries.push(Entry {
            key: trim(&unescaped(key)?),
            value: trim(&unescaped(value)?),
            line,
        });
    }
    Ok(entries)
}

/// The lines of the text, without their ends (`\n`, `\r` or `\r\n`).
struct NaturalLines<'a> {
    text: &'a [char],
    /// The number of the last line that was taken, counted from 1.
    number: usize,
}

impl<'a> NaturalLines<'a> {
    fn next(&mut self) -> Option<&'a [char]> {
        if self.text.is_empty() {
            return None;
        }
        self.number += 1;
        let text = self.text;
        let end = text.iter().position(|c| matches!(c, '\n' | '\r'));
        let end = end.unwrap_or(text.len());
        let separator = match text.get(end..end + 2) {
            Some(['\r', '\n']) => 2,
            _ => 1,
        };
        self.text = text.get(end + separator..).unwrap_or_default();
        Some(&text[..end])
    }
}

const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

fn skip_blanks(line: &[char]) -> &[char] {
    let from = line.iter().position(|c| !is_blank(*c));
    &line[from.unwrap_or(line.len())..]
}

/// Whether a backslash escapes the end of the line.
fn continues(line: &[char]) -> bool {
    let backslashes = line.iter().rev().take_while(|c| **c == '\\').count();
    backslashes % 2 == 1
}

/// The key and the value, with their escapes.
fn split(line: &[char]) -> (&[char], &[char]) {
    let mut escaped = false;
    let end = line.iter().position(|c| {
        let ends = !escaped && (is_blank(*c) || matches!(c, '=' | ':'));
        escaped = !escaped && *c == '\\';
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = skip_blanks(rest);
    let value = match rest.first() {
        Some('=' | ':') => skip_blanks(&rest[1..]),
        _ => rest,
    };
    (key, value)
}

/// The text without its escapes; `None` if a `\u` lacks its digits.
fn unescape(part: &[char]) -> Option<String> {
    // Java's characters are UTF-16 units: a character above U+FFFF takes two escapes.
    let mut units: Vec<u16> = Vec::with_capacity(part.len());
    let mut rest = part.iter();
    while let Some(&c) = rest.next() {
        let c = if c != '\\' {
            c
        } else {
            match rest.next() {
                None => break,
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\x0c',
                Some('u') => {
                    let digits: String = rest.as_slice().get(..4)?.iter().collect();
                    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                        return None;
                    }
                    units.push(u16::from_str_radix(&digits, 16).ok()?);
                    rest = rest.as_slice()[4..].iter();
                    continue;
                }
                Some(&other) => other,
            }
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    Some(String::from_utf16_lossy(&units))
}

/// As Java's `trim`: drops all characters up to the blank, U+0020, at both ends.
fn trim(text: &str) -> String {
    text.trim_matches(|c| c <= ' ').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String, usize)> {
        let entries = read(text.as_bytes()).unwrap();
        entries
            .into_iter()
            .map(|entry| (entry.key, entry.value, entry.line))
            .collect()
    }

    fn one(text: &str) -> (String, String) {
        let mut all = pairs(text);
        assert_eq!(all.len(), 1, "{all:?}");
        let (key, value, _) = all.remove(0);
        (key, value)
    }

    fn expect(text: &str, key: &str, value: &str) {
        assert_eq!(one(text), (key.to_owned(), value.to_owned()), "{text:?}");
    }

    /// What Java 17's `Properties.load` makes of the same texts.
    #[test]
    fn texts_are_read_as_java_reads_them() {
        expect("a=b", "a", "b");
        expect("  a = b  ", "a", "b");
        expect("a:b", "a", "b");
        expect("a b", "a", "b");
        expect("a \t=\t b c", "a", "b c");
        expect("a", "a", "");
        expect("a=", "a", "");
        expect("=b", "", "b");
        expect("a=b=c:d", "a", "b=c:d");
        expect("a==b", "a", "=b");
        expect("a\\=b=c", "a=b", "c");
        expect("a\\ b c", "a b", "c");
        expect("a\\:b:c", "a:b", "c");
        expect("a=C:\\\\zk\\\\data", "a", "C:\\zk\\data");
        expect("a=C:\\zk\\data", "a", "C:zkdata");
        expect("a=x\\ty", "a", "x\ty");
        expect("a=\\u0041\\u00e9", "a", "Aé");
        expect("a=\\ud83d\\ude00", "a", "😀");
        expect("a=b\\\n   c", "a", "bc");
        expect("a=b\\\r\n   c", "a", "bc");
        expect("a=b\\\n#c", "a", "b#c");
        expect("a=b\\\n", "a", "b");
        expect("a=b\\\n  \\\n c", "a", "bc");
        expect("a=b\\", "a", "b");
        expect("a=b\\\\", "a", "b\\");
        expect("# c=d\\\na=b", "a", "b");
        expect("   ! c=d\n\t\x0c\na=b", "a", "b");
        expect("a=b # not a comment", "a", "b # not a comment");
        assert_eq!(pairs(""), []);
        assert_eq!(pairs("\n\r\n# x\n   \n"), []);
    }

    #[test]
    fn lines_are_counted_where_an_entry_begins() {
        let numbered = pairs("# one\na=1\r\nb=2\\\n  3\n\n\rc=4");
        let expected = [("a", "1", 2), ("b", "23", 3), ("c", "4", 7)];
        let expected: Vec<_> = expected
            .iter()
            .map(|(key, value, line)| ((*key).to_owned(), (*value).to_owned(), *line))
            .collect();
        assert_eq!(numbered, expected);
    }

    #[test]
    fn a_blank_line_ends_what_goes_on() {
        let read = pairs("a=b\\\n\nc=d");
        assert_eq!(read.len(), 2, "{read:?}");
        assert_eq!((&*read[0].1, &*read[1].0), ("b", "c"));
    }

    #[test]
    fn bytes_are_latin_1() {
        let entries = super::read(b"dataDir=/donn\xe9es").unwrap();
        assert_eq!(entries[0].value, "/données");
    }

    #[test]
    fn an_escape_without_its_digits_is_refused() {
        for text in ["a=\\u12", "\n\na=\\u12g4", "a\\u=b", "a=\\u+123"] {
            assert!(read(text.as_bytes()).is_err(), "{text:?}");
        }
        let error = read(b"\n\na=\\u12g4").unwrap_err();
        assert!(error.to_string().starts_with("line 3: "), "{error}");
    }
}
