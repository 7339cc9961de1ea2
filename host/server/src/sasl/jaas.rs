//! JAAS configuration files, as far as a ZooKeeper server reads them.
//!
//! ```text
//! Server {
//!     org.apache.zookeeper.server.auth.DigestLoginModule required
//!         user_alice="her password"
//!         user_bob="his password";
//! };
//! ```
//!
//! A file is a list of sections; a section a list of entries; an entry a class, a flag, options,
//! and a semicolon. Words may be quoted; `//`, `/* */` and `#` begin comments; `${name}` in a
//! value stands for a Java property or, here, for a variable of the environment.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// One login module of a section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// The class.
    pub(crate) module: String,
    /// Its options.
    pub(crate) options: BTreeMap<String, String>,
}

/// Why a text is no JAAS configuration.
///
/// Invariant: no word of the text but a section's name is shown, since any other may be a
/// password, or a part of one that lacks its quotes. (test: `what_is_wrong_shows_no_password`)
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {what}")]
pub(crate) struct Malformed {
    line: usize,
    what: String,
}

/// Sections by name. A section that comes twice is an error, as in Java.
pub(crate) type Sections = BTreeMap<String, Vec<Entry>>;

/// Reads a file's text.
pub(crate) fn parse(text: &str) -> Result<Sections, Malformed> {
    let mut words = Words::new(text);
    let mut sections = Sections::new();
    while let Some(word) = words.next()? {
        let name = words.name(word, "a section's name")?;
        words.expect('{')?;
        let mut entries = Vec::new();
        loop {
            match words.need("a login module or }")? {
                Word::Sign('}') => break,
                word => entries.push(words.entry(word)?),
            }
        }
        words.expect(';')?;
        if sections.insert(name.clone(), entries).is_some() {
            return Err(words.malformed(format!("the section {name} is there twice")));
        }
    }
    Ok(sections)
}

const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

#[derive(Clone, PartialEq, Eq, Debug)]
enum Word {
    Text(String),
    Sign(char),
}

struct Words<'a> {
    chars: Peekable<Chars<'a>>,
    line: usize,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            chars: text.chars().peekable(),
            line: 1,
        }
    }

    fn malformed(&self, what: impl Into<String>) -> Malformed {
        Malformed {
            line: self.line,
            what: what.into(),
        }
    }

    fn take(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    /// The next word or sign; `None` at the end.
    fn next(&mut self) -> Result<Option<Word>, Malformed> {
        loop {
            let Some(c) = self.take() else {
                return Ok(None);
            };
            return match c {
                c if c.is_whitespace() => continue,
                '#' => {
                    self.skip_line();
                    continue;
                }
                '/' if self.chars.peek() == Some(&'/') => {
                    self.skip_line();
                    continue;
                }
                '/' if self.chars.peek() == Some(&'*') => {
                    self.skip_comment()?;
                    continue;
                }
                '{' | '}' | ';' | '=' => Ok(Some(Word::Sign(c))),
                '"' => self.quoted().map(|text| Some(Word::Text(text))),
                c => Ok(Some(Word::Text(self.plain(c)))),
            };
        }
    }

    fn skip_line(&mut self) {
        while self.take().is_some_and(|c| c != '\n') {}
    }

    fn skip_comment(&mut self) -> Result<(), Malformed> {
        self.take();
        let mut last = ' ';
        while let Some(c) = self.take() {
            if (last, c) == ('*', '/') {
                return Ok(());
            }
            last = c;
        }
        Err(self.malformed("a comment has no end: close it with */"))
    }

    fn quoted(&mut self) -> Result<String, Malformed> {
        let mut text = String::new();
        loop {
            match self.take() {
                Some('"') => return Ok(text),
                Some('\\') => match self.take() {
                    Some('n') => text.push('\n'),
                    Some('r') => text.push('\r'),
                    Some('t') => text.push('\t'),
                    Some(c) => text.push(c),
                    None => break,
                },
                Some('\n') | None => break,
                Some(c) => text.push(c),
            }
        }
        Err(self.malformed("a quoted word has no end: close it with \" on the same line"))
    }

    fn plain(&mut self, first: char) -> String {
        let mut text = String::from(first);
        while let Some(c) = self.chars.peek().copied() {
            if c.is_whitespace() || matches!(c, '{' | '}' | ';' | '=' | '"') {
                // `${name}` is part of a word.
                if !(c == '{' && text.ends_with('$') || c == '}' && open_variable(&text)) {
                    break;
                }
            }
            text.push(c);
            self.take();
        }
        text
    }

    fn need(&mut self, what: &str) -> Result<Word, Malformed> {
        self.next()?
            .ok_or_else(|| self.malformed(format!("the file ends where {what} must stand")))
    }

    fn name(&self, word: Word, what: &str) -> Result<String, Malformed> {
        match word {
            Word::Text(name) => Ok(name),
            Word::Sign(c) => Err(self.malformed(format!("{c} stands where {what} must stand"))),
        }
    }

    fn expect(&mut self, sign: char) -> Result<(), Malformed> {
        match self.need(&format!("a {sign}"))? {
            Word::Sign(c) if c == sign => Ok(()),
            Word::Sign(other) => Err(self.malformed(format!("{other} stands where {sign} must"))),
            Word::Text(_) => Err(self.malformed(format!("a word stands where {sign} must"))),
        }
    }

    fn entry(&mut self, module: Word) -> Result<Entry, Malformed> {
        let module = self.name(module, "a login module")?;
        let flag = self.need("a flag")?;
        let flag = self.name(flag, "a flag")?;
        if !FLAGS.contains(&flag.to_ascii_lowercase().as_str()) {
            return Err(self.malformed(
                "a word stands where a flag must: write required, requisite, sufficient or optional",
            ));
        }
        let mut options = BTreeMap::new();
        loop {
            match self.need("an option or ;")? {
                Word::Sign(';') => return Ok(Entry { module, options }),
                word => {
                    let key = self.name(word, "an option")?;
                    self.expect('=')?;
                    let value = self.need("a value")?;
                    let value = self.name(value, "a value")?;
                    options.insert(key, expand(&value));
                }
            }
        }
    }
}

fn open_variable(text: &str) -> bool {
    text.rfind("${").is_some_and(|at| !text[at..].contains('}'))
}

/// Puts the environment's variables in the place of `${name}`; what is not known stays.
fn expand(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            out.push_str("${");
            rest = after;
            continue;
        };
        match std::env::var(name) {
            Ok(known) => out.push_str(&known),
            Err(_) => {
                out.push_str("${");
                out.push_str(name);
                out.push('}');
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What kazoo's own test suite writes.
    const KAZOO: &str = "
Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    user_super=\"super_secret\"
    user_jaasuser=\"jaas_password\";
};";

    #[test]
    fn a_servers_section_is_read() {
        let sections = parse(KAZOO).unwrap();
        let entry = &sections["Server"][0];
        assert_eq!(
            entry.module,
            "org.apache.zookeeper.server.auth.DigestLoginModule"
        );
        assert_eq!(entry.options["user_jaasuser"], "jaas_password");
        assert_eq!(entry.options["user_super"], "super_secret");
        assert_eq!(parse("").unwrap(), Sections::new());
    }

    #[test]
    fn comments_quotes_escapes_and_several_sections_are_read() {
        let text = "# one\nA { x.Y optional; a.B SUFFICIENT k=v \"q k\" = \"a \\\"b\\\" \\\\ \\t\"; };\n\
                    // two\nClient { /* three; } */ };\n\"with space\" { z required a=\"\"; };";
        let sections = parse(text).unwrap();
        assert_eq!(sections.len(), 3);
        assert_eq!(sections["A"].len(), 2);
        assert_eq!(sections["A"][1].options["k"], "v");
        assert_eq!(sections["A"][1].options["q k"], "a \"b\" \\ \t");
        assert!(sections["Client"].is_empty());
        assert_eq!(sections["with space"][0].options["a"], "");
    }

    #[test]
    fn variables_of_the_environment_are_put_in() {
        let text =
            "S { m required a=\"${PATH}/x\" b=${PATH} c=\"${NO_SUCH_VARIABLE}\" d=\"${\"; };";
        let options = &parse(text).unwrap()["S"][0].options;
        let path = std::env::var("PATH").unwrap();
        assert_eq!(options["a"], format!("{path}/x"));
        assert_eq!(options["b"], path);
        assert_eq!(options["c"], "${NO_SUCH_VARIABLE}");
        assert_eq!(options["d"], "${");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, line) in [
            ("Server", 1),
            ("Server {", 1),
            ("Server {\n m required", 2),
            ("Server {\n m sometimes; };", 2),
            ("Server {\n m required a;\n};", 2),
            ("Server {\n m required a=\"x\n\"; };", 3),
            ("Server { };\nServer { };", 2),
            ("Server { }\nx", 2),
            ("\n\n/* no end", 3),
            ("{ };", 1),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.line, line, "{text:?}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_shows_no_password() {
        for (text, says) in [
            (
                "S {\n m required user_a secret;\n};",
                "line 2: a word stands where = must",
            ),
            (
                "S {\n m required user_a=\"x\" user_b \"my\\nsecret\"; };",
                "line 2: a word stands where = must",
            ),
            // Without quotes a semicolon ends the entry, and the rest looks like another one.
            (
                "S {\n m required user_a=my;very secret; };",
                "line 2: a word stands where a flag must",
            ),
            (
                "S {\n m required user_a=my;};secret word",
                "line 2: a word stands where { must",
            ),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.starts_with(says), "{error}");
            for part in ["secret", "very", "my", "word "] {
                let shown = error.replace("a word stands", "");
                assert!(!shown.contains(part), "{part:?}: {error}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-zA{};=\"\\\\/*#$ \n]{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_characters_panic(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
