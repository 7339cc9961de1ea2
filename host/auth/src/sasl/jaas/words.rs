//! The words of a JAAS file, cut as Java's `ConfigFile` has its `StreamTokenizer` cut them.
//!
//! 1. A word is made of letters, digits and `. _ - $ *`, and of every character from U+00A0 on. It
//!    begins with none of `. -` and no digit: Java takes that for a number, and no number is
//!    expected anywhere.
//! 2. `"` and `'` begin a quoted text. It ends at the same sign, or with its line. Only one in `"`
//!    may stand where a word may.
//! 3. `//` and `/* */` are comments, and so is the rest of a line after any other `/`; `#` is not.
//! 4. Every other character is a sign.

use std::iter::Peekable;
use std::str::Chars;

/// One word or sign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Word {
    /// Without quotes, or in `"`.
    Text(String),
    /// In `'`.
    SingleQuoted(String),
    /// What begins like a number.
    Number,
    /// Anything else.
    Sign(char),
}

/// All of them, in the order of the text.
pub(super) struct Words<'a> {
    chars: Peekable<Chars<'a>>,
    /// Where the last word stood, counted from 1.
    pub(super) line: usize,
}

const fn begins_number(c: char) -> bool {
    matches!(c, '0'..='9' | '.' | '-')
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '$' | '*') || c >= '\u{a0}'
}

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            chars: text.chars().peekable(),
            line: 1,
        }
    }

    fn take(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        // A carriage return ends a line, with a line feed behind it or without.
        let ends = c == '\n' || c == '\r' && self.chars.peek() != Some(&'\n');
        self.line += usize::from(ends);
        Some(c)
    }

    fn is_at_line_end(&mut self) -> bool {
        matches!(self.chars.peek(), None | Some('\n' | '\r'))
    }

    /// The next word or sign; `None` at the end. A comment that has no end ends with the text.
    pub(super) fn next(&mut self) -> Option<Word> {
        loop {
            let c = self.take()?;
            return Some(match c {
                '\0'..=' ' => continue,
                '/' => {
                    match self.chars.peek() {
                        Some('*') => self.skip_comment(),
                        _ => self.skip_line(),
                    }
                    continue;
                }
                '"' => Word::Text(self.quoted(c)),
                '\'' => Word::SingleQuoted(self.quoted(c)),
                c if begins_number(c) => self.number(c),
                c if is_of_word(c) => Word::Text(self.plain(c)),
                c => Word::Sign(c),
            });
        }
    }

    fn skip_line(&mut self) {
        while !self.is_at_line_end() {
            self.take();
        }
    }

    fn skip_comment(&mut self) {
        self.take();
        let mut last = ' ';
        while let Some(c) = self.take() {
            if (last, c) == ('*', '/') {
                return;
            }
            last = c;
        }
    }

    fn number(&mut self, first: char) -> Word {
        let digit_follows = self
            .chars
            .peek()
            .is_some_and(|c| matches!(c, '0'..='9' | '.'));
        if first == '-' && !digit_follows {
            return Word::Sign(first);
        }
        while self.chars.peek().is_some_and(|c| begins_number(*c)) {
            self.take();
        }
        Word::Number
    }

    fn plain(&mut self, first: char) -> String {
        let mut text = String::from(first);
        while let Some(c) = self.chars.peek().copied().filter(|c| is_of_word(*c)) {
            text.push(c);
            self.take();
        }
        text
    }

    fn quoted(&mut self, quote: char) -> String {
        let mut text = String::new();
        while !self.is_at_line_end() {
            match self.take() {
                Some('\\') => text.extend(self.escaped()),
                Some(c) if c == quote => break,
                Some(c) => text.push(c),
                None => break,
            }
        }
        text
    }

    /// What a backslash and what follows it stand for: a character's number in up to three octal
    /// digits, or one character.
    fn escaped(&mut self) -> Option<char> {
        let first = self.take()?;
        let Some(mut number) = first.to_digit(8) else {
            return Some(match first {
                'a' => '\u{7}',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                other => other,
            });
        };
        // At most 377.
        let more = if first <= '3' { 2 } else { 1 };
        for _ in 0..more {
            let Some(digit) = self.chars.peek().and_then(|c| c.to_digit(8)) else {
                break;
            };
            number = number * 8 + digit;
            self.take();
        }
        char::from_u32(number)
    }
}
