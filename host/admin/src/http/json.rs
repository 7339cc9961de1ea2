//! Answers as JSON that any terminal may show.

use std::fmt::Write;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use innkeeper_tree::text::is_unsafe;
use serde::Serialize;

/// An answer. Like axum's own, but every character that could steer a terminal is written
/// as JSON's `\u…`: what a client or a guest chose is a string of the answer here and there,
/// and a person reads it with curl.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_string(&self.0) {
            Ok(json) => (
                [(header::CONTENT_TYPE, "application/json")],
                for_terminals(json),
            )
                .into_response(),
            // Nothing that is answered here has keys that are no strings, which alone fails.
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// The same JSON with every unsafe character in its strings escaped. The text comes from
/// serde_json, so outside of strings it has no such character but the newlines of its layout.
pub fn for_terminals(json: String) -> String {
    let is_in_string = |character| is_unsafe(character) && character != '\n';
    if !json.contains(is_in_string) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if is_in_string(character) {
            // All unsafe characters have four digits at most. A String takes everything.
            let _ = write!(out, "\\u{:04x}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_the_same_json() {
        let value = serde_json::json!({"a\u{9b}": ["\n\u{1b}[2J", "\u{202e}x\u{2028}", "ä🚀"]});
        for json in [value.to_string(), format!("{value:#}")] {
            let safe = for_terminals(json);
            assert!(!safe.replace('\n', "").contains(is_unsafe), "{safe}");
            let read: serde_json::Value = serde_json::from_str(&safe).expect("JSON");
            assert_eq!(read, value);
        }
    }
}
