//! JSON for people, written while it is made: what `serde_json::to_string_pretty` makes of a value,
//! without the value.

use serde_json::Value;

use crate::http::for_terminals;

/// A part of a JSON text. What stands in a map has a key, what stands in a list has none.
pub(super) enum Token {
    /// The beginning of a map.
    Map(Option<String>),
    /// The beginning of a list.
    List(Option<String>),
    /// A value, whole.
    Value(Option<String>, Value),
    /// The end of the innermost map or list.
    End,
    /// Nothing; a good moment to let others act.
    Pause,
}

/// The text of some tokens, one piece of it for each token; the piece of a pause is empty.
pub(super) struct Pretty<I> {
    tokens: I,
    /// The maps and lists that are not ended: by what each ends, and whether it is empty so far.
    open: Vec<(char, bool)>,
}

impl<I: Iterator<Item = Token>> Pretty<I> {
    pub(super) fn new(tokens: I) -> Self {
        Self {
            tokens,
            open: Vec::new(),
        }
    }

    fn new_line(&self) -> String {
        format!("\n{}", "  ".repeat(self.open.len()))
    }

    /// What stands before a token: the comma, its line and its key.
    fn before(&mut self, key: Option<String>) -> String {
        let mut text = String::new();
        if let Some((_, is_empty)) = self.open.last_mut() {
            if !std::mem::replace(is_empty, false) {
                text.push(',');
            }
            text.push_str(&self.new_line());
        }
        if let Some(key) = key {
            text.push_str(&for_terminals(Value::from(key).to_string()));
            text.push_str(": ");
        }
        text
    }
}

impl<I: Iterator<Item = Token>> Iterator for Pretty<I> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let text = match self.tokens.next()? {
            Token::Pause => String::new(),
            Token::Map(key) => {
                let before = self.before(key);
                self.open.push(('}', true));
                before + "{"
            }
            Token::List(key) => {
                let before = self.before(key);
                self.open.push((']', true));
                before + "["
            }
            Token::Value(key, value) => {
                // Within strings, JSON has no line's end.
                let value = for_terminals(format!("{value:#}"));
                let value = value.replace('\n', &self.new_line());
                self.before(key) + &value
            }
            Token::End => match self.open.pop() {
                Some((end, true)) => end.to_string(),
                Some((end, false)) => self.new_line() + &end.to_string(),
                None => String::new(),
            },
        };
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The tokens of a value, as deep as `depth`; what lies deeper is whole.
    fn tokens(key: Option<String>, value: &Value, depth: usize, out: &mut Vec<Token>) {
        match value {
            Value::Object(map) if depth > 0 => {
                out.push(Token::Map(key));
                for (key, value) in map {
                    out.push(Token::Pause);
                    tokens(Some(key.clone()), value, depth - 1, out);
                }
                out.push(Token::End);
            }
            Value::Array(list) if depth > 0 => {
                out.push(Token::List(key));
                for value in list {
                    tokens(None, value, depth - 1, out);
                }
                out.push(Token::End);
            }
            value => out.push(Token::Value(key, value.clone())),
        }
    }

    #[test]
    fn it_is_the_text_of_the_whole_value() {
        for value in [
            json!(null),
            json!("a\nb\u{1b}\u{202e}"),
            json!({}),
            json!([]),
            json!([[], {}, [1], {"a": {}}]),
            json!({"a\"\u{9b}": [1, -2.5, {"b": [], "c": "\n\\"}, [[true]]], "d": {"e": {"f": "é"}}}),
        ] {
            let expected = for_terminals(serde_json::to_string_pretty(&value).unwrap());
            for depth in 0..5 {
                let mut all = Vec::new();
                tokens(None, &value, depth, &mut all);
                let text: String = Pretty::new(all.into_iter()).collect();
                assert_eq!(text, expected, "as deep as {depth}");
            }
        }
    }
}
