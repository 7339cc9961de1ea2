//! What a command prints: text for people, or JSON for programs (`--json`).

use std::borrow::Cow;

use innkeeper_tree::text;
use serde_json::Value;

use super::text::json_text;

/// The output of one command, in both forms.
pub(crate) struct Output {
    text: Vec<u8>,
    json: Value,
}

impl Output {
    /// The answer of a node. `text` gets it with escaped strings: clients and guests chose them, and
    /// they must not steer a terminal.
    pub(crate) fn of(answer: Value, text: impl FnOnce(&Value) -> String) -> Output {
        let text = text(&escaped(answer.clone())).into_bytes();
        Output { text, json: answer }
    }

    /// Text that this program wrote itself or has escaped already.
    pub(crate) fn new(text: impl Into<Vec<u8>>, json: Value) -> Output {
        let text = text.into();
        Output { text, json }
    }

    /// The JSON or the text, for stdout.
    pub(crate) fn chosen(self, json: bool) -> Vec<u8> {
        match json {
            true => json_text(&self.json).into_bytes(),
            false => self.text,
        }
    }
}

/// The value with all strings escaped, keys included.
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
