//! Authentication and TLS, handed on to [`TlsSettings`](crate::tls::TlsSettings) and
//! [`AuthSettings`](crate::auth::AuthSettings), which know their keys.

use anyhow::Context;

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
    honoured("netty.server.outstandingHandshake.limit", hand_on),
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

/// Hands a key to whoever reads it: TLS, else authentication. What these cannot honour they name.
fn hand_on(draft: &mut Draft, given: &Given) -> anyhow::Result<()> {
    let mut warnings = Vec::new();
    let mut warn = |warning: String| warnings.push(format!("{}: {warning}", given.place()));
    let (key, value) = (&given.key, &given.value);
    let settings = &mut draft.settings;
    let taken = match settings.tls.set(key, value, &mut warn) {
        Ok(false) => settings.auth.set(key, value, &mut warn),
        taken => taken,
    };
    if !taken.with_context(|| given.place())? {
        warn(format!("{key} is not known here and has no effect"));
    }
    for warning in warnings {
        draft.warn(warning);
    }
    Ok(())
}
