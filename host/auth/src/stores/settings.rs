//! The settings of one store, under ZooKeeper's names.

use std::path::PathBuf;

use crate::values::Secret;

/// A key store or a trust store.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct StoreSettings {
    /// The store's file (`.location`).
    pub location: Option<PathBuf>,
    /// The store's password, which opens its key as well (`.password`).
    pub password: Option<Secret>,
    /// A file that holds the password (`.passwordPath`); it outweighs the password.
    pub password_path: Option<PathBuf>,
    /// JKS, PEM, PKCS12 (`.type`); by the file's suffix if not set.
    pub kind: Option<String>,
}

impl StoreSettings {
    /// Takes the setting that ends so, e.g. `location`; `false` if there is none.
    pub(crate) fn set(&mut self, part: &str, value: &str) -> bool {
        let path = || (!value.is_empty()).then(|| PathBuf::from(value));
        match part {
            "location" => self.location = path(),
            "password" => self.password = Some(Secret::new(value)),
            "passwordPath" => self.password_path = path(),
            "type" => self.kind = (!value.is_empty()).then(|| value.to_owned()),
            _ => return false,
        }
        true
    }
}
