//! The binding's `config`, parsed into a type of the guest's.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::{Error, Result};

/// The `Config` of a guest that has none: any `config` of the binding will do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unconfigured;

impl<'de> Deserialize<'de> for Unconfigured {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// Parses a binding's `config`; what [`load`] does with the host's.
///
/// # Errors
/// If the text is not JSON of the type's shape.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Error::new(format!("the binding's config is wrong: {error}")))
}

/// Asks the host for the binding's `config` and parses it.
///
/// # Errors
/// If it is not of the type's shape.
pub fn load<T: DeserializeOwned>() -> Result<T> {
    parse(&crate::bindings::innkeeper::guest::config::get())
}
