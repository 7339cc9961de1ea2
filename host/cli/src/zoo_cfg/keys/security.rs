//! Authentication and TLS, handed on to [`TlsSettings`](innkeeper_auth::TlsSettings) and
//! [`AuthSettings`](innkeeper_auth::AuthSettings), which know their keys.

use anyhow::Context;
use innkeeper_auth::Secret;
use innkeeper_auth::java::is_true;

use super::super::draft::Draft;
use super::super::values::Given;
use super::{Key, honoured, unsupported};

/// See [`super`].
pub(super) const KEYS: &[Key] = &[
    honoured(
        "zookeeper.DigestAuthenticationProvider.superDigest",
        |draft, given| {
            draft.settings.auth.super_digest = Some(Secret::new(&given.value));
            draft.super_digest = Some(given.clone());
            Ok(())
        },
    ),
    honoured("zookeeper.client.portUnification", |draft, given| {
        draft.settings.port_unification = is_true(&given.value);
        Ok(())
    }),
    honoured("zookeeper.sessionRequireClientSASLAuth", hand_on),
    honoured("zookeeper.enforce.auth.enabled", hand_on),
    honoured("zookeeper.enforce.auth.schemes", hand_on),
    honoured("zookeeper.authProvider.*", hand_on),
    honoured("zookeeper.DigestAuthenticationProvider.enabled", hand_on),
    honoured("zookeeper.DigestAuthenticationProvider.digestAlg", hand_on),
    honoured(
        "zookeeper.SASLAuthenticationProvider.superPassword",
        hand_on,
    ),
    honoured("zookeeper.X509AuthenticationProvider.superUser", hand_on),
    honoured("zookeeper.superUser*", hand_on),
    honoured("zookeeper.letAnySaslUserDoX", hand_on),
    honoured("zookeeper.allowSaslFailedClients", hand_on),
    honoured("zookeeper.sasl.serverconfig", hand_on),
    honoured("java.security.auth.login.config", hand_on),
    honoured("zookeeper.ssl.*", hand_on),
    honoured("zookeeper.client.certReload", hand_on),
    honoured("zookeeper.netty.server.outstandingHandshake.limit", hand_on),
    unsupported(
        "zookeeper.fips-mode",
        "TLS is done by rustls, not by a FIPS provider",
    ),
    unsupported(
        "zookeeper.IPAuthenticationProvider.usexforwardedfor",
        "the address of a connection is its other end's, whatever a header of HTTP says",
    ),
    unsupported(
        "zookeeper.ensembleAuthName",
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
