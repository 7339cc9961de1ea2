//! Authentication and TLS: handed on by name in [`NodeSettings::security`], and read when the
//! node starts.
//!
//! [`NodeSettings::security`]: crate::settings::NodeSettings::security

use super::super::draft::Draft;
use super::super::values::Given;
use super::{Key, honoured, unsupported};

/// See [`super`].
pub(super) const KEYS: &[Key] = &[
    honoured(
        "DigestAuthenticationProvider.superDigest",
        |draft, given| {
            if !given.value.contains(':') {
                anyhow::bail!(
                    "the super user's digest has no colon: write user:base64(sha1(user:password)), as \
                 `innkeeper digest user:password` prints it"
                );
            }
            draft.settings.super_digest = Some(given.value.clone());
            Ok(())
        },
    ),
    honoured("client.portUnification", |draft, given| {
        draft.settings.port_unification = given.switch();
        Ok(())
    }),
    honoured("sessionRequireClientSASLAuth", hand_on),
    honoured("enforce.auth.enabled", hand_on),
    honoured("enforce.auth.schemes", hand_on),
    honoured("authProvider.*", hand_on),
    honoured("DigestAuthenticationProvider.enabled", hand_on),
    honoured("DigestAuthenticationProvider.digestAlg", hand_on),
    honoured("SASLAuthenticationProvider.superPassword", hand_on),
    honoured("X509AuthenticationProvider.superUser", hand_on),
    honoured("superUser*", hand_on),
    honoured("letAnySaslUserDoX", hand_on),
    honoured("allowSaslFailedClients", hand_on),
    honoured("sasl.serverconfig", hand_on),
    honoured("java.security.auth.login.config", hand_on),
    honoured("ssl.*", hand_on),
    honoured("client.certReload", hand_on),
    unsupported("fips-mode", "TLS is done by rustls, not by a FIPS provider"),
    unsupported(
        "IPAuthenticationProvider.usexforwardedfor",
        "the address of a connection is its other end's, whatever a header of HTTP says",
    ),
    unsupported(
        "ensembleAuthName",
        "clients that authenticate by the scheme `ensemble` are refused",
    ),
];

fn hand_on(draft: &mut Draft, given: &Given) -> anyhow::Result<()> {
    let name = given.key.strip_prefix("zookeeper.").unwrap_or(&given.key);
    let value = given.value.clone();
    draft.settings.security.insert(name.to_owned(), value);
    Ok(())
}
