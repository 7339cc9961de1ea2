//! JAAS configuration files, read as Java's `ConfigFile` reads them, as far as a ZooKeeper server
//! uses them.
//!
//! ```text
//! Server {
//!     org.apache.zookeeper.server.auth.DigestLoginModule required
//!         user_alice="her password"
//!         user_bob="${bobs.password}";
//! };
//! ```
//!
//! A file is a list of sections; a section a list of entries; an entry a class, a flag, options,
//! and a semicolon. How it is cut into words is in [`words`], what `${name}` stands for in
//! [`placeholders`]. What Java refuses is refused: it is a password, perhaps, that would not be
//! what its author means.

pub(super) mod placeholders;
mod words;

use std::collections::BTreeMap;

use innkeeper_tree::text::piece;

use placeholders::{Unfilled, fill};
use words::{Word, Words};

/// One login module of a section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// The class of the login module.
    pub(crate) module: String,
    /// The options of the login module; `user_NAME` is a password.
    pub(crate) options: BTreeMap<String, String>,
}

/// Why a text is no JAAS configuration.
///
/// Invariant: no word of the text is shown but a section's name and a placeholder's, since any
/// other may be a password, or a part of one that lacks its quotes.
/// (test: `what_is_wrong_shows_no_password`)
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {what}")]
pub(crate) struct Malformed {
    line: usize,
    what: String,
}

/// Sections by name. A section that comes twice is an error, as in Java.
pub(crate) type Sections = BTreeMap<String, Vec<Entry>>;

/// What may be meant where a word stands that Java does not take.
const QUOTES: &str = "put values into double quotes, \"…\"";

/// Reads a file's text; `known` fills placeholders.
pub(crate) fn parse(
    text: &str,
    known: &dyn Fn(&str) -> Option<String>,
) -> Result<Sections, Malformed> {
    let mut reader = Reader {
        words: Words::new(text),
        known,
    };
    let mut sections = Sections::new();
    while let Some(word) = reader.words.next() {
        // Java gives a section that begins with anything else no name, so nobody finds it.
        let name = match word {
            Word::Text(name) | Word::SingleQuoted(name) => Some(name),
            Word::Number | Word::Sign(_) => None,
        };
        reader.expect('{')?;
        let mut entries = Vec::new();
        loop {
            match reader.need("a login module or }")? {
                Word::Sign('}') => break,
                word => entries.push(reader.entry(word)?),
            }
        }
        reader.expect(';')?;
        let Some(name) = name else { continue };
        if sections.insert(name.clone(), entries).is_some() {
            return Err(reader.malformed(format!("the section {} is there twice", piece(name))));
        }
    }
    Ok(sections)
}

const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

struct Reader<'a> {
    words: Words<'a>,
    known: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    fn malformed(&self, what: impl Into<String>) -> Malformed {
        Malformed {
            line: self.words.line,
            what: what.into(),
        }
    }

    fn need(&mut self, what: &str) -> Result<Word, Malformed> {
        let word = self.words.next();
        word.ok_or_else(|| self.malformed(format!("the file ends where {what} must stand")))
    }

    fn text(&self, word: Word, what: &str) -> Result<String, Malformed> {
        Err(match word {
            Word::Text(text) => return Ok(text),
            Word::SingleQuoted(_) => self.malformed(format!(
                "a text in single quotes stands where {what} must stand: {QUOTES}"
            )),
            Word::Number => self.malformed(format!(
                "what begins with a digit, a dot or a minus stands where {what} must stand: {QUOTES}"
            )),
            Word::Sign(c) => self.malformed(format!("{c} stands where {what} must stand: {QUOTES}")),
        })
    }

    fn expect(&mut self, sign: char) -> Result<(), Malformed> {
        match self.need(&format!("a {sign}"))? {
            Word::Sign(c) if c == sign => Ok(()),
            Word::Sign(other) => {
                Err(self.malformed(format!("{other} stands where {sign} must: {QUOTES}")))
            }
            _ => Err(self.malformed(format!("a word stands where {sign} must"))),
        }
    }

    fn entry(&mut self, module: Word) -> Result<Entry, Malformed> {
        let module = self.text(module, "a login module")?;
        let flag = self.need("a flag")?;
        let flag = self.text(flag, "a flag")?;
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
                    let key = self.text(word, "an option or ;")?;
                    self.expect('=')?;
                    let value = self.need("a value")?;
                    let value = self.text(value, "a value")?;
                    options.insert(key, self.fill(&value)?);
                }
            }
        }
    }

    /// A value of the file with its placeholders filled in; one that is not known is an error,
    /// since its name would become the password. (test: `an_unset_placeholder_stops_the_start`)
    fn fill(&self, value: &str) -> Result<String, Malformed> {
        let filled = fill(value, self.known).map_err(|Unfilled(name)| {
            // Part of a password may look like a name.
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            let shown = match !name.is_empty() && name.chars().all(is_name) {
                true => piece(&name),
                false => "…".to_owned(),
            };
            self.malformed(format!(
                "nothing says what ${{{shown}}} is: set it with -D{shown}=…, or as a variable of \
                 the environment"
            ))
        })?;
        if filled.is_empty() && !value.is_empty() {
            return Err(self.malformed(
                "the value is empty once its placeholders are filled: give them a value",
            ));
        }
        Ok(filled)
    }
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

    fn known(name: &str) -> Option<String> {
        match name {
            "set" => Some("va\"l".to_owned()),
            "empty" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn a_servers_section_is_read() {
        let sections = parse(KAZOO, &known).unwrap();
        let entry = &sections["Server"][0];
        assert_eq!(
            entry.module,
            "org.apache.zookeeper.server.auth.DigestLoginModule"
        );
        assert_eq!(entry.options["user_jaasuser"], "jaas_password");
        assert_eq!(entry.options["user_super"], "super_secret");
        assert_eq!(parse("", &known).unwrap(), Sections::new());
    }

    #[test]
    fn comments_quotes_escapes_and_several_sections_are_read() {
        let text = "// one\nA { x.Y optional; a.B SUFFICIENT k=v \"q k\" = \"a \\\"b\\\" \\\\ \\t\"; };\n\
                    / two\nClient { /* three; } */ };\n\"with space\" { z required a=\"\"; };";
        let sections = parse(text, &known).unwrap();
        assert_eq!(sections.len(), 3);
        assert_eq!(sections["A"].len(), 2);
        assert_eq!(sections["A"][1].options["k"], "v");
        assert_eq!(sections["A"][1].options["q k"], "a \"b\" \\ \t");
        assert!(sections["Client"].is_empty());
        assert_eq!(sections["with space"][0].options["a"], "");
    }

    /// What Java 17's `ConfigFile` makes of the same texts: the option's value, or an error.
    #[test]
    fn values_are_read_as_java_reads_them() {
        for (option, value) in [
            ("a='x'", None),
            ("a=123", None),
            ("a=1x", None),
            ("a=-x", None),
            ("a=.5", None),
            ("a=p@ss", None),
            ("a=p#ss", None),
            ("a=x,b=y", None),
            ("a=x'y'", None),
            ("a=${set}", None),
            ("a==x", None),
            ("'a'=x", None),
            ("1=x", None),
            ("a@b=x", None),
            ("a=\"x\"\"y\"", None),
            ("a=\"${unset}\"", None),
            ("a=\"${}\"", None),
            ("a=\"${empty}\"", None),
            ("a=x123", Some("x123")),
            ("a=x-y.z_$*", Some("x-y.z_$*")),
            ("a=x.", Some("x.")),
            ("a=x/y\n", Some("x")),
            ("a=é", Some("é")),
            ("a=中", Some("中")),
            ("a = x b=y", Some("x")),
            ("a=\"'x'\"", Some("'x'")),
            ("a=\"\"", Some("")),
            ("a=\"${set}\"", Some("va\"l")),
            ("a=\"x${empty}\"", Some("x")),
            ("a=\"${{unset}}\"", Some("${{unset}}")),
            ("a=\"a${b\"", Some("a${b")),
            ("a=\"open\n", Some("open")),
            ("a=\"\\101\\60\\477\\t\\q\\\"\"", Some("A0'7\tq\"")),
            ("a=\"x\\\ny\"", Some("x\ny")),
            ("\"a\"=\"x\" \"a\"=\"y\"", Some("y")),
        ] {
            let text = format!("Server {{ m Required {option}; }};");
            let read = parse(&text, &known);
            let found = read
                .as_ref()
                .ok()
                .map(|read| &*read["Server"][0].options["a"]);
            assert_eq!(found, value, "{option}: {read:?}");
        }
    }

    /// What Java 17's `ConfigFile` makes of the same texts: whether it finds the section.
    #[test]
    fn sections_are_found_as_java_finds_them() {
        for (text, found) in [
            ("'Server' { m required a=x; };", Ok(true)),
            ("1 { m required a=x; };", Ok(false)),
            ("\u{feff}Server { m required a=x; };", Ok(false)),
            ("Server{m required a=\"x\";};", Ok(true)),
            ("Server { m required; n optional; };", Ok(true)),
            ("# c\nServer { m required a=x; };", Err(())),
            ("Server { 'm' required a=x; };", Err(())),
            ("Server { m 'required' a=x; };", Err(())),
            ("Server { m requiredx a=x; };", Err(())),
            ("Server { m required a=x };", Err(())),
            ("Server { m required a=\"x\\", Err(())),
            (
                "Client { m required a=\"${unset}\"; }; Server { m required a=x; };",
                Err(()),
            ),
        ] {
            let read = parse(text, &known);
            let is_there = read.as_ref().map(|read| read.contains_key("Server"));
            assert_eq!(is_there.map_err(|_| ()), found, "{text}: {read:?}");
        }
    }

    #[test]
    fn an_unset_placeholder_stops_the_start() {
        let text = "Server {\n m required user_a=\"${a.password}\"; };";
        let error = parse(text, &known).unwrap_err().to_string();
        assert_eq!(
            error,
            "line 2: nothing says what ${a.password} is: set it with -Da.password=…, or as a \
             variable of the environment"
        );
        let odd = parse("Server { m required user_a=\"pa${ss word}\"; };", &known);
        assert!(!odd.unwrap_err().to_string().contains("ss word"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, line) in [
            ("Server", 1),
            ("Server {", 1),
            ("Server {\n m required", 2),
            ("Server {\n m sometimes; };", 2),
            ("Server {\n m required a;\n};", 2),
            ("Server {\r m required a='x'; };", 2),
            ("Server {\r\n m required a=1; };", 2),
            ("Server { };\nServer { };", 2),
            ("Server { }\nx", 2),
            ("{ };", 1),
        ] {
            let error = parse(text, &known).expect_err(text);
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
            let error = parse(text, &known).expect_err(text).to_string();
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
            let _ = parse(&text, &known);
        }

        #[test]
        fn no_characters_panic(text in any::<String>()) {
            let _ = parse(&text, &known);
        }
    }
}
