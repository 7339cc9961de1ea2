//! The users of SASL and their passwords, from the JAAS file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use innkeeper_tree::text::piece;

use super::jaas::{self, placeholders};
use crate::error::AuthError;
use crate::settings::{AuthSettings, JaasText};
use crate::values::Secret;

/// The option of a login module that names a user begins so.
const USER_PREFIX: &str = "user_";

/// The users of SASL, each with its password.
///
/// Invariant: passwords never leave it, not even into a log.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Users(BTreeMap<String, String>);

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Users {
    /// Reads the users of the JAAS file that the settings name; `None` if they name none, or a file
    /// without the section.
    pub(crate) fn of_settings(settings: &AuthSettings) -> Result<Option<Self>, AuthError> {
        let Some(JaasText { path, text }) = jaas_text(settings)? else {
            return Ok(None);
        };
        let known = |name: &str| value_of(settings, name);
        let sections = jaas::parse(text.reveal(), &known).map_err(|malformed| AuthError::Jaas {
            path: path.clone(),
            what: malformed.to_string(),
        })?;
        let section = &settings.jaas_section;
        // Java finds no section that has no entries.
        let Some(entries) = sections.get(section).filter(|entries| !entries.is_empty()) else {
            if settings.jaas_section_named {
                tracing::warn!(
                    "{} has no section {}: nobody can authenticate by SASL",
                    innkeeper_tree::text::file_name(&path),
                    innkeeper_tree::text::piece(section)
                );
            }
            return Ok(None);
        };
        for entry in entries {
            if !entry.module.ends_with(".DigestLoginModule") {
                tracing::warn!(
                    "{}: the login module {} is not supported, only DigestLoginModule is (SASL's \
                     mechanism DIGEST-MD5)",
                    innkeeper_tree::text::file_name(&path),
                    innkeeper_tree::text::piece(&entry.module)
                );
            }
        }
        let mut users = Users::of(entries);
        if let Some(password) = &settings.sasl_super_password {
            users.set_super_password(password.reveal());
        }
        Ok(Some(users))
    }

    /// Those of a section's entries; of a name in several the last counts.
    fn of(entries: &[jaas::Entry]) -> Self {
        let options = entries.iter().flat_map(|entry| &entry.options);
        let users = options.filter_map(|(key, value)| {
            let name = key.strip_prefix(USER_PREFIX)?;
            Some((name.to_owned(), value.clone()))
        });
        Self(users.collect())
    }

    /// Gives the user `super` another password, if there is such a user.
    fn set_super_password(&mut self, password: &str) {
        if let Some(known) = self.0.get_mut("super") {
            password.clone_into(known);
        }
    }

    pub(super) fn password_of(&self, user: &str) -> Option<&str> {
        self.0.get(user).map(String::as_str)
    }
}

/// The JAAS file that the settings name, read now unless they have its text already; `None` if they
/// name none.
pub fn jaas_text(settings: &AuthSettings) -> Result<Option<JaasText>, AuthError> {
    let Some(named) = &settings.jaas_file else {
        return Ok(None);
    };
    let path = jaas_path(named, &|name| value_of(settings, name))?;
    if let Some(read) = settings.jaas_text.as_ref().filter(|read| read.path == path) {
        return Ok(Some(read.clone()));
    }
    match std::fs::read(&path) {
        Ok(bytes) => {
            let text = Secret::new(String::from_utf8_lossy(&bytes));
            Ok(Some(JaasText { path, text }))
        }
        Err(error) => Err(AuthError::JaasFile { path, error }),
    }
}

/// What a placeholder stands for, in the JAAS file and in its name.
fn value_of(settings: &AuthSettings, name: &str) -> Option<String> {
    let property = settings.properties.get(name);
    let property = property.map(|value| value.reveal().to_owned());
    let property = property.or_else(|| placeholders::of_every_java(name));
    property.or_else(|| std::env::var(name).ok())
}

/// Where the JAAS file is. Java fills placeholders in its name, too, and takes a `file:` URL.
fn jaas_path(named: &Path, known: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, AuthError> {
    let Some(text) = named.to_str() else {
        return Ok(named.to_owned());
    };
    let filled = placeholders::fill(text, known).map_err(|unfilled| AuthError::Jaas {
        path: named.to_owned(),
        what: format!(
            "nothing says what ${{{}}} in its name is",
            piece(unfilled.0)
        ),
    })?;
    let path = filled
        .strip_prefix("file:")
        .map_or(&*filled, |path| path.strip_prefix("//").unwrap_or(path));
    Ok(PathBuf::from(path))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn users() -> Users {
        let text = "Server { m required user_bob=\"p\" user_super=\"q\" other=x; };";
        Users::of(&jaas::parse(text, &|_| None).unwrap()["Server"])
    }

    #[test]
    fn a_file_that_was_read_is_not_read_again_and_its_text_is_not_shown() {
        let path = PathBuf::from("/nowhere/jaas.conf");
        let text = Secret::new("Server { m required user_bob=\"hush\"; };");
        let settings = AuthSettings {
            jaas_file: Some(path.clone()),
            jaas_text: Some(JaasText { path, text }),
            ..AuthSettings::default()
        };
        let users = Users::of_settings(&settings).unwrap().unwrap();
        assert_eq!(users.password_of("bob"), Some("hush"));
        assert!(!format!("{settings:?}").contains("hush"));
        // It is the text of that file alone.
        let other = AuthSettings {
            jaas_file: Some("/nowhere/other.conf".into()),
            ..settings
        };
        let error = Users::of_settings(&other).unwrap_err();
        assert!(
            error.to_string().contains("other.conf cannot be read"),
            "{error}"
        );
    }

    #[test]
    fn users_are_the_options_that_are_named_so() {
        let mut users = users();
        assert_eq!(users.password_of("bob"), Some("p"));
        assert_eq!(users.password_of("other"), None);
        users.set_super_password("new");
        assert_eq!(users.password_of("super"), Some("new"));
        assert_eq!(format!("{users:?}"), r#"{"bob", "super"}"#);
    }
}
