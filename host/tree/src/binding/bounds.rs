//! The bounds of a binding's name and document.

/// The longest name of a binding, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// The longest document, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
/// The longest `config`, in bytes of its canonical form (sorted keys, no spaces).
pub const MAX_CONFIG_BYTES: usize = 64 * 1024;
/// The greatest number of patterns of one field.
pub const MAX_PATTERNS: usize = 256;
