//! The names of bindings, which are the names of znodes below `/innkeeper/bindings`.

use super::bounds::MAX_NAME_BYTES;
use super::error::BindingError;
use crate::path;

/// The name of the binding whose document a znode is: the name of a child of
/// `/innkeeper/bindings`. It may still be refused by [`check_name`].
pub fn name_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix(path::BINDINGS)?.strip_prefix('/')?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// Checks that a text can be the name of a binding.
pub fn check_name(name: &str) -> Result<(), BindingError> {
    let fits = !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && !matches!(name, "." | "..")
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'));
    if fits {
        Ok(())
    } else {
        Err(BindingError::Name(crate::text::piece(name)))
    }
}
