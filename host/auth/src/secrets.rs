//! Which settings are secret: the one list that decides what of a configuration is logged or shown.
//!
//! 1. A setting is secret by its name, if that says that the value is a password, or the hash of
//!    one.
//! 2. A property is secret by its use, if a placeholder of the JAAS file stands for it: what that
//!    file holds are passwords. (test: `properties_of_the_jaas_file_are_secret`)

use crate::values::Secret;

/// What stands for a secret where the configuration is shown.
pub const HIDDEN: &str = "<not shown>";

/// Names of settings that are secret have one of these in them, in any case.
const NAMES: [&str; 4] = ["password", "passwd", "superdigest", "secret"];

/// Names that say where a secret is found end so; the place is none.
const PLACE: &str = "path";

/// Which settings of one configuration are secret.
#[derive(Clone, Default, Debug)]
pub struct Secrets {
    /// The text of the JAAS file.
    jaas: Option<Secret>,
}

impl Secrets {
    /// Those by name, and those that the text of a JAAS file has placeholders for.
    pub fn new(jaas: Option<Secret>) -> Self {
        Self { jaas }
    }

    /// Whether the value of a setting with this name is secret.
    pub fn hides(&self, name: &str) -> bool {
        is_secret_by_name(name) || self.fills(name)
    }

    /// Whether a placeholder of the JAAS file stands for the property with this full name.
    pub fn fills(&self, name: &str) -> bool {
        let placeholder = format!("${{{name}}}");
        let jaas = self.jaas.as_ref();
        jaas.is_some_and(|text| text.reveal().contains(&placeholder))
    }

    /// The value, or what stands for it if it is secret.
    pub fn shown<'a>(&self, name: &str, value: &'a str) -> &'a str {
        match self.hides(name) {
            true => HIDDEN,
            false => value,
        }
    }
}

fn is_secret_by_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|part| name.contains(part)) && !name.ends_with(PLACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_secret_by_name_or_by_use() {
        let secrets = Secrets::new(Some(Secret::new(
            "Server { m required user_a=\"${a.word}\"; };",
        )));
        for name in [
            "ssl.keyStore.password",
            "zookeeper.ssl.trustStore.passWord",
            "DigestAuthenticationProvider.superDigest",
            "SASLAuthenticationProvider.superPassword",
            "my.passwd",
            "client.secret.1",
            "a.word",
        ] {
            assert!(secrets.hides(name), "{name}");
            assert_eq!(secrets.shown(name, "hunter2"), HIDDEN);
        }
        for name in [
            "ssl.keyStore.passwordPath",
            "ssl.keyStore.location",
            "a.words",
            "tickTime",
        ] {
            assert!(!secrets.hides(name), "{name}");
            assert_eq!(secrets.shown(name, "7"), "7");
        }
        assert!(!Secrets::default().hides("a.word"));
    }
}
