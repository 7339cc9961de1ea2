//! The settings of TLS, under ZooKeeper's names.

use innkeeper_tree::text::piece;

use crate::java;
use crate::limits::TLS_HANDSHAKE_TIMEOUT_MS;
use crate::stores::StoreSettings;
use crate::values::BadValue;

/// Whether a client must show a certificate (`ssl.clientAuth`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ClientAuth {
    /// A client must show one.
    #[default]
    Need,
    /// A client is asked for one, and may have none.
    Want,
    /// A client is not asked for one.
    None,
}

/// TLS, as `zoo.cfg` and Java's properties set it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsSettings {
    /// The node's own key and certificate (`ssl.keyStore.*`).
    pub key_store: StoreSettings,
    /// Whose certificates are trusted (`ssl.trustStore.*`).
    pub trust_store: StoreSettings,
    /// Whether a client must show a certificate (`ssl.clientAuth`).
    pub client_auth: ClientAuth,
    /// A value that is none of those that there are. It stops the start only where TLS is served.
    pub mistake: Option<BadValue>,
    /// Protocol versions by Java's names (`ssl.enabledProtocols`); `protocol` if not set.
    pub protocols: Option<Vec<String>>,
    /// The one version by Java's name (`ssl.protocol`); 1.2 and 1.3 if not set.
    pub protocol: Option<String>,
    /// Cipher suites by Java's names (`ssl.ciphersuites`); the library's own choice if not set.
    pub cipher_suites: Option<Vec<String>>,
    /// Whether hosts are verified at all (`ssl.hostnameVerification`).
    pub hostname_verification: bool,
    /// Whether a client's address must stand in its certificate
    /// (`ssl.clientHostnameVerification`).
    pub client_hostname_verification: bool,
    /// How long a handshake may take, in milliseconds (`ssl.handshakeDetectionTimeoutMillis`).
    pub handshake_timeout_ms: u64,
    /// How many handshakes may be under way; `None` is any number
    /// (`netty.server.outstandingHandshake.limit`).
    pub handshakes_max: Option<usize>,
    /// Whether changed stores are read again (`client.certReload`).
    pub reload: bool,
    /// The scheme by which a certificate becomes an identity (`ssl.authProvider`).
    pub auth_provider: String,
}

/// Said of a value that is none.
const NO_NUMBER: &str = "is no number that fits: the default counts";

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            key_store: StoreSettings::default(),
            trust_store: StoreSettings::default(),
            client_auth: ClientAuth::Need,
            mistake: None,
            protocols: None,
            protocol: None,
            cipher_suites: None,
            hostname_verification: true,
            client_hostname_verification: false,
            handshake_timeout_ms: TLS_HANDSHAKE_TIMEOUT_MS,
            handshakes_max: None,
            reload: false,
            auth_provider: "x509".to_owned(),
        }
    }
}

impl TlsSettings {
    /// Takes a key of `zoo.cfg`, or a Java property, with or without `zookeeper.` before it.
    /// `Ok(false)`: it is not one of these. `warn` is told what cannot be honoured.
    pub fn set(
        &mut self,
        key: &str,
        value: &str,
        warn: &mut dyn FnMut(String),
    ) -> Result<bool, BadValue> {
        let name = key.strip_prefix("zookeeper.").unwrap_or(key);
        match name {
            "client.certReload" => self.reload = java::is_true(value),
            "netty.server.outstandingHandshake.limit" => {
                let Some(limit) = java::decode_int(value) else {
                    warn(format!("{}={} {NO_NUMBER}", piece(key), piece(value)));
                    return Ok(true);
                };
                self.handshakes_max = usize::try_from(limit).ok().filter(|limit| *limit > 0);
            }
            _ => match name.strip_prefix("ssl.") {
                // `ssl.quorum.*` is between servers.
                Some(ssl) if !ssl.starts_with("quorum.") => {
                    return self.set_ssl(key, ssl, value, warn).map(|()| true);
                }
                _ => return Ok(false),
            },
        }
        Ok(true)
    }

    fn set_ssl(
        &mut self,
        key: &str,
        name: &str,
        value: &str,
        warn: &mut dyn FnMut(String),
    ) -> Result<(), BadValue> {
        let truth = java::is_true(java::trim(value));
        let list = || {
            value
                .split(',')
                .map(|word| word.trim().to_owned())
                .collect()
        };
        match name {
            "clientAuth" => {
                self.client_auth = match value.to_ascii_lowercase().as_str() {
                    "" | "need" => ClientAuth::Need,
                    "want" => ClientAuth::Want,
                    "none" => ClientAuth::None,
                    _ => {
                        let remedy = "is not known: write need, want or none";
                        self.mistake = Some(BadValue::new(key, value, remedy));
                        return Ok(());
                    }
                };
                self.mistake = None;
            }
            "protocol" => self.protocol = Some(value.trim().to_owned()),
            "enabledProtocols" => self.protocols = Some(list()),
            "ciphersuites" => self.cipher_suites = Some(list()),
            "hostnameVerification" => self.hostname_verification = truth,
            "clientHostnameVerification" => self.client_hostname_verification = truth,
            "handshakeDetectionTimeoutMillis" => {
                let Some(limit) = java::parse_int(value) else {
                    warn(format!("{}={} {NO_NUMBER}", piece(key), piece(value)));
                    return Ok(());
                };
                // ZooKeeper takes no timeout for a mistake as well.
                self.handshake_timeout_ms = u64::try_from(limit)
                    .ok()
                    .filter(|limit| *limit > 0)
                    .unwrap_or(TLS_HANDSHAKE_TIMEOUT_MS);
            }
            "authProvider" => value.clone_into(&mut self.auth_provider),
            "crl" | "ocsp" if truth => warn(format!(
                "{key}: revocation is not looked up here; end a certificate's trust by removing \
                 its issuer from the trust store"
            )),
            "allowReverseDnsLookup" if truth => warn(format!(
                "{key}: names are not looked up here; a client's address must stand in its \
                 certificate"
            )),
            "crl" | "ocsp" | "allowReverseDnsLookup" => {}
            "sslProvider" if value == "JDK" => {}
            _ => {
                let taken = match name.split_once('.') {
                    Some(("keyStore", part)) => self.key_store.set(part, value),
                    Some(("trustStore", part)) => self.trust_store.set(part, value),
                    _ => false,
                };
                if !taken {
                    let key = piece(key);
                    warn(format!("{key} is not supported here and is ignored"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::tests::warnings_of;

    fn set(settings: &mut TlsSettings, key: &str, value: &str) -> Vec<String> {
        warnings_of(|warn| settings.set(key, value, warn))
    }

    #[test]
    fn keys_are_known_with_and_without_their_prefix() {
        let mut settings = TlsSettings::default();
        for (key, value) in [
            ("ssl.keyStore.location", "/k.jks"),
            ("zookeeper.ssl.keyStore.password", "hush"),
            ("ssl.trustStore.location", "/t.pem"),
            ("ssl.trustStore.type", "PEM"),
            ("ssl.trustStore.passwordPath", "/p"),
            ("ssl.clientAuth", "WANT"),
            ("ssl.enabledProtocols", "TLSv1.2, TLSv1.3"),
            ("ssl.handshakeDetectionTimeoutMillis", "77"),
            ("ssl.crl", "false"),
            ("client.certReload", "true"),
            ("netty.server.outstandingHandshake.limit", "5"),
        ] {
            assert!(set(&mut settings, key, value).is_empty(), "{key}");
        }
        assert_eq!(settings.key_store.location, Some("/k.jks".into()));
        assert_eq!(settings.trust_store.kind.as_deref(), Some("PEM"));
        assert_eq!(settings.client_auth, ClientAuth::Want);
        assert_eq!(settings.protocols.as_ref().unwrap()[1], "TLSv1.3");
        assert_eq!(settings.handshake_timeout_ms, 77);
        assert_eq!(settings.handshakes_max, Some(5));
        assert!(settings.reload);
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn what_cannot_be_honoured_is_named() {
        let mut settings = TlsSettings::default();
        for key in [
            "ssl.crl",
            "ssl.ocsp",
            "ssl.allowReverseDnsLookup",
            "ssl.keyStore.color",
        ] {
            let warnings = set(&mut settings, key, "true");
            assert!(warnings[0].starts_with(key), "{warnings:?}");
        }
        let mut warn = |_| {};
        let mut taken = |key| settings.set(key, "none", &mut warn);
        assert!(!taken("ssl.quorum.clientAuth").unwrap());
        assert!(!taken("clientPort").unwrap());
        assert!(settings.set("ssl.clientAuth", "maybe", &mut warn).unwrap());
        let mistake = settings.mistake.as_ref().unwrap().to_string();
        assert!(
            mistake.starts_with("ssl.clientAuth=maybe is not known"),
            "{mistake}"
        );
        assert!(settings.set("ssl.clientAuth", "none", &mut warn).unwrap());
        assert_eq!(settings.mistake, None);
        for key in [
            "ssl.handshakeDetectionTimeoutMillis",
            "netty.server.outstandingHandshake.limit",
        ] {
            let said = set(&mut settings, key, "soon");
            assert!(said[0].contains("the default counts"), "{said:?}");
        }
        set(&mut settings, "ssl.handshakeDetectionTimeoutMillis", "-1");
        assert_eq!(settings.handshake_timeout_ms, TLS_HANDSHAKE_TIMEOUT_MS);
    }
}
