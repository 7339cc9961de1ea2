//! The system properties of authentication and TLS. [`TlsSettings`](innkeeper_auth::TlsSettings)
//! and [`AuthSettings`](innkeeper_auth::AuthSettings) take their values.

use anyhow::Context;
use innkeeper_auth::Secret;
use innkeeper_auth::java::is_true;
use innkeeper_tree::text::piece;

use super::super::draft::Draft;
use super::super::values::Given;
use super::{Key, honoured, unsupported};

/// The keys that have an effect, and those whose missing effect users would notice.
pub(super) const KEYS: &[Key] = &[
    honoured(
        "zookeeper.DigestAuthenticationProvider.superDigest",
        |draft, given| {
            draft.settings.server.auth.super_digest = Some(Secret::new(&given.value));
            draft.super_digest = Some(given.clone());
            Ok(())
        },
    ),
    honoured("zookeeper.client.portUnification", |draft, given| {
        draft.settings.server.port_unification = is_true(&given.value);
        Ok(())
    }),
    honoured("zookeeper.sessionRequireClientSASLAuth", set_in_auth),
    honoured("zookeeper.enforce.auth.enabled", set_in_auth),
    honoured("zookeeper.enforce.auth.schemes", set_in_auth),
    honoured("zookeeper.authProvider.*", set_in_auth),
    honoured(
        "zookeeper.DigestAuthenticationProvider.enabled",
        set_in_auth,
    ),
    honoured(
        "zookeeper.DigestAuthenticationProvider.digestAlg",
        set_in_auth,
    ),
    honoured(
        "zookeeper.SASLAuthenticationProvider.superPassword",
        set_in_auth,
    ),
    honoured(
        "zookeeper.X509AuthenticationProvider.superUser",
        set_in_auth,
    ),
    honoured("zookeeper.superUser*", set_in_auth),
    honoured("zookeeper.letAnySaslUserDoX", set_in_auth),
    honoured("zookeeper.allowSaslFailedClients", set_in_auth),
    honoured("zookeeper.sasl.serverconfig", set_in_auth),
    honoured("java.security.auth.login.config", set_in_auth),
    honoured("zookeeper.ssl.*", set_in_auth),
    honoured("zookeeper.client.certReload", set_in_auth),
    honoured(
        "zookeeper.netty.server.outstandingHandshake.limit",
        set_in_auth,
    ),
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

/// Gives a key to the settings of TLS or else to those of authentication, with their warnings.
fn set_in_auth(draft: &mut Draft, given: &Given) -> anyhow::Result<()> {
    let mut warnings = Vec::new();
    let mut warn = |warning: String| warnings.push(format!("{}: {warning}", given.place()));
    let (key, value) = (&given.key, &given.value);
    let server = &mut draft.settings.server;
    let taken = match server.tls.set(key, value, &mut warn) {
        Ok(false) => server.auth.set(key, value, &mut warn),
        taken => taken,
    };
    if !taken.with_context(|| given.place())? {
        warn(format!(
            "{} is not known here and has no effect",
            piece(key)
        ));
    }
    for warning in warnings {
        draft.warn(warning);
    }
    Ok(())
}
