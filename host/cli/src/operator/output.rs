//! What a command prints: text for people, or JSON for programs (`--json`).

use std::borrow::Cow;

use innkeeper_tree::text;
use serde_json::Value;

use super::text::json_text;

/// Both.
pub(crate) struct Output {
    text: Vec<u8>,
    json: Value,
}

impl Output {
    /// What a node answered, and the text that is made of it once nothing in its strings can harm
    /// a terminal: clients and guests chose them.
    pub(crate) fn of(answer: Value, text: impl FnOnce(&Value) -> String) -> Output {
        let text = text(&escaped(answer.clone())).into_bytes();
        Output { text, json: answer }
    }

    /// What this program says by itself, or has made safe already.
    pub(crate) fn new(text: impl Into<Vec<u8>>, json: Value) -> Output {
        let text = text.into();
        Output { text, json }
    }

    /// The one that is wanted.
    pub(crate) fn chosen(self, json: bool) -> Vec<u8> {
        match json {
            true => json_text(&self.json).into_bytes(),
            false => self.text,
        }
    }
}

/// The same with every string escaped, keys included.
fn escaped(value: Value) -> Value {
    match value {
        Value::String(text) => match text::escaped(&text) {
            Cow::Borrowed(_) => Value::String(text),
            Cow::Owned(escaped) => Value::String(escaped),
        },
        Value::Array(items) => items.into_iter().map(escaped).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, field)| (text::escaped(&name).into_owned(), escaped(field)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_in_an_answer_harms_a_terminal() {
        let answer = json!({"a\n": ["x\u{1b}[2J", {"b": "\u{202e}c", "d": 1}], "e": null});
        assert_eq!(
            escaped(answer),
            json!({"a\\n": ["x\\u{1b}[2J", {"b": "\\u{202e}c", "d": 1}], "e": null})
        );
    }
}
