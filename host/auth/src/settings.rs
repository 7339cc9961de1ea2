//! The settings of authentication, under ZooKeeper's names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use innkeeper_tree::text::piece;

use crate::digest::DigestAlgorithm;
use crate::java;
use crate::values::{BadValue, Secret};

/// Authentication, as `zoo.cfg` and Java's properties set it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthSettings {
    /// Whether the scheme `digest` is served (`DigestAuthenticationProvider.enabled`).
    pub digest_enabled: bool,
    /// The hash of the scheme `digest` (`DigestAuthenticationProvider.digestAlg`).
    pub digest_algorithm: DigestAlgorithm,
    /// `user:base64(hash(user:password))` of the super user, if there is one
    /// (`DigestAuthenticationProvider.superDigest`).
    pub super_digest: Option<Secret>,
    /// Whether ACLs are not looked at (`skipACL`).
    pub skip_acl: bool,
    /// Schemes whose providers are named (`authProvider.*`), beside `ip` and `digest`.
    pub schemes: BTreeSet<String>,
    /// The subject of the certificate that makes a client the super user (`X509AuthenticationProvider.superUser`).
    pub x509_super_user: Option<String>,
    /// The users of SASL that are super users (`superUser`, `superUser.*`).
    pub sasl_super_users: BTreeMap<String, String>,
    /// The password of the SASL user `super` (`SASLAuthenticationProvider.superPassword`).
    pub sasl_super_password: Option<Secret>,
    /// Whether a client whose SASL exchange failed is served all the same, as nobody
    /// (`allowSaslFailedClients`).
    pub allow_sasl_failed_clients: bool,
    /// Whether only clients that authenticated by SASL are served
    /// (`sessionRequireClientSASLAuth`).
    pub sasl_required: bool,
    /// Whether only clients that authenticated are served (`enforce.auth.enabled`).
    pub enforce: bool,
    /// The schemes of which a client must authenticate by one (`enforce.auth.schemes`).
    pub enforce_schemes: Vec<String>,
    /// Java's system properties by their full names, which fill the placeholders of the JAAS file.
    pub properties: BTreeMap<String, Secret>,
    /// Where the users of SASL are (`java.security.auth.login.config`).
    pub jaas_file: Option<PathBuf>,
    /// What that file holds, if it has been read already. It is not read again, since a pipe gives
    /// its text only once.
    pub jaas_text: Option<JaasText>,
    /// The section of that file (`sasl.serverconfig`).
    pub jaas_section: String,
    /// Whether that section was named, so that it must be there.
    pub jaas_section_named: bool,
}

/// A JAAS file that has been read. Its text holds passwords.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JaasText {
    /// Where the file is, its placeholders filled.
    pub path: PathBuf,
    /// All of it.
    pub text: Secret,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            digest_enabled: true,
            digest_algorithm: DigestAlgorithm::default(),
            super_digest: None,
            skip_acl: false,
            schemes: BTreeSet::new(),
            x509_super_user: None,
            sasl_super_users: BTreeMap::new(),
            sasl_super_password: None,
            allow_sasl_failed_clients: false,
            sasl_required: false,
            enforce: false,
            enforce_schemes: Vec::new(),
            properties: BTreeMap::new(),
            jaas_file: None,
            jaas_text: None,
            jaas_section: "Server".to_owned(),
            jaas_section_named: false,
        }
    }
}

/// The providers that this node has, by the last part of ZooKeeper's class names.
const PROVIDERS: [(&str, &str); 4] = [
    ("X509AuthenticationProvider", "x509"),
    ("SASLAuthenticationProvider", "sasl"),
    ("DigestAuthenticationProvider", "digest"),
    ("IPAuthenticationProvider", "ip"),
];

impl AuthSettings {
    /// Takes a key of `zoo.cfg`, or a Java property, with or without `zookeeper.` before it.
    /// `Ok(false)`: it is not one of these. `warn` is told what cannot be honoured.
    pub fn set(
        &mut self,
        key: &str,
        value: &str,
        warn: &mut dyn FnMut(String),
    ) -> Result<bool, BadValue> {
        let name = key.strip_prefix("zookeeper.").unwrap_or(key);
        let truth = java::is_true(value);
        match name {
            "DigestAuthenticationProvider.enabled" => self.digest_enabled = truth,
            "DigestAuthenticationProvider.digestAlg" => {
                let remedy =
                    "is no hash that is known here: write SHA1, SHA-256, SHA-384, SHA-512 or MD5";
                self.digest_algorithm = DigestAlgorithm::named(value)
                    .ok_or_else(|| BadValue::new(key, value, remedy))?;
            }
            "X509AuthenticationProvider.superUser" => {
                self.x509_super_user = Some(value.to_owned());
            }
            "SASLAuthenticationProvider.superPassword" => {
                self.sasl_super_password = Some(Secret::new(value));
            }
            "allowSaslFailedClients" => self.allow_sasl_failed_clients = truth,
            "sessionRequireClientSASLAuth" => self.sasl_required = truth,
            "enforce.auth.enabled" => self.enforce = truth,
            "enforce.auth.schemes" => {
                self.enforce_schemes = java::split(value, ',')
                    .into_iter()
                    .map(|scheme| java::trim(scheme).to_owned())
                    .collect();
            }
            "java.security.auth.login.config" => {
                // Java takes `=file` for "this file and no other"; there is no other here.
                self.jaas_file = Some(PathBuf::from(value.strip_prefix('=').unwrap_or(value)));
            }
            "sasl.serverconfig" => {
                self.jaas_section = value.to_owned();
                self.jaas_section_named = true;
            }
            "superUser" => self.add_super_user(name, value),
            _ if name.starts_with("superUser.") => self.add_super_user(name, value),
            _ if name.starts_with("authProvider.") => self.add_provider(key, value, warn),
            "letAnySaslUserDoX"
            | "kerberos.removeHostFromPrincipal"
            | "kerberos.removeRealmFromPrincipal"
            | "ensembleAuthName"
            | "security.auth_to_local" => {
                let key = piece(key);
                warn(format!("{key} is not supported here and is ignored"));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn add_super_user(&mut self, name: &str, value: &str) {
        self.sasl_super_users
            .insert(name.to_owned(), value.to_owned());
    }

    fn add_provider(&mut self, key: &str, class: &str, warn: &mut dyn FnMut(String)) {
        let known = PROVIDERS.iter().find(|(provider, _)| {
            class
                .strip_suffix(provider)
                .is_some_and(|package| package.is_empty() || package.ends_with('.'))
        });
        match known {
            Some((_, scheme)) => {
                self.schemes.insert((*scheme).to_owned());
            }
            // ZooKeeper, too, goes on without a provider that it cannot load.
            None => warn(format!(
                "{}={} is a provider that is not here: its scheme is not served (there are \
                 X509AuthenticationProvider and SASLAuthenticationProvider)",
                piece(key),
                piece(class)
            )),
        }
    }

    /// The schemes that a client must have authenticated by, one of them; none if any client is
    /// served.
    pub(crate) fn demanded_schemes(&self) -> Vec<String> {
        match (self.sasl_required, self.enforce) {
            (true, _) => vec!["sasl".to_owned()],
            (false, true) => self.enforce_schemes.clone(),
            (false, false) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::tests::warnings_of;

    fn set(settings: &mut AuthSettings, key: &str, value: &str) -> Vec<String> {
        warnings_of(|warn| settings.set(key, value, warn))
    }

    #[test]
    fn providers_enable_their_scheme_and_others_are_named() {
        let mut settings = AuthSettings::default();
        let package = "org.apache.zookeeper.server.auth.";
        let sasl = format!("{package}SASLAuthenticationProvider");
        assert!(set(&mut settings, "authProvider.1", &sasl).is_empty());
        let x509 = format!("{package}X509AuthenticationProvider");
        assert!(set(&mut settings, "zookeeper.authProvider.x509", &x509).is_empty());
        let other = set(&mut settings, "authProvider.2", "com.example.MyProvider");
        assert!(other[0].starts_with("authProvider.2=com.example.MyProvider is a provider"));
        let schemes: Vec<String> = settings.schemes.into_iter().collect();
        assert_eq!(schemes, ["sasl", "x509"]);
    }

    #[test]
    fn keys_are_known_with_and_without_their_prefix() {
        let mut settings = AuthSettings::default();
        for (key, value) in [
            ("DigestAuthenticationProvider.enabled", "false"),
            (
                "zookeeper.DigestAuthenticationProvider.digestAlg",
                "sha-256",
            ),
            ("zookeeper.superUser", "a"),
            ("superUser.2", "b"),
            ("enforce.auth.enabled", "true"),
            ("enforce.auth.schemes", "sasl, digest"),
        ] {
            assert!(set(&mut settings, key, value).is_empty());
        }
        assert!(!settings.digest_enabled);
        assert_eq!(settings.digest_algorithm, DigestAlgorithm::Sha256);
        assert_eq!(settings.sasl_super_users.len(), 2);
        assert_eq!(settings.demanded_schemes(), ["sasl", "digest"]);
        set(&mut settings, "sessionRequireClientSASLAuth", "true");
        assert_eq!(settings.demanded_schemes(), ["sasl"]);
        let mut warn = |_| {};
        assert!(!settings.set("tickTime", "1", &mut warn).unwrap());
        let key = "DigestAuthenticationProvider.digestAlg";
        let error = settings.set(key, "SHA3-256", &mut warn).unwrap_err();
        assert!(error.to_string().contains("SHA-512"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut settings = AuthSettings::default();
        let key = "SASLAuthenticationProvider.superPassword";
        set(&mut settings, key, "hush");
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
