//! Messages to the operator. In native tests they go to the standard error.

pub use crate::bindings::innkeeper::guest::log::Level;

/// Writes a message at `level`.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::innkeeper::guest::log::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

/// For the author, while writing the guest.
pub fn debug(message: impl AsRef<str>) {
    log(Level::Debug, message.as_ref());
}

/// Normal operation.
pub fn info(message: impl AsRef<str>) {
    log(Level::Info, message.as_ref());
}

/// Something is odd and the guest went on.
pub fn warn(message: impl AsRef<str>) {
    log(Level::Warn, message.as_ref());
}

/// Something is wrong that a person has to repair.
pub fn error(message: impl AsRef<str>) {
    log(Level::Error, message.as_ref());
}
