//! Why a client's certificate is not believed, in a sentence for the log.

use crate::limits::SENT_MAX;

/// How much of a certificate's text is shown, in characters: a stranger wrote it.
const SHOWN_CHARS_MAX: usize = 200;

/// Why a client's certificate is not believed.
///
/// Invariant: text of the client's certificate is escaped and short in a refusal, since it is
/// logged before anybody knows who wrote it.
/// (test: `a_refusal_shows_little_of_what_the_client_wrote`)
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Distrust {
    /// The client sent something that is no certificate.
    #[error("it is no certificate")]
    NoCertificate,
    /// More were sent than are looked at.
    #[error(
        "too many certificates were sent: send the client's own and its issuers', at most {SENT_MAX}"
    )]
    TooMany,
    /// No path leads to the trust store.
    #[error("no path leads from its issuer to the trust store: {0}")]
    NoPath(String),
    /// The certificate is not valid yet, or not any more.
    #[error("it is not valid now: {0}")]
    Time(String),
    /// The signature is not by the issuer's key.
    #[error("its signature is not by its issuer's key: {0}")]
    Signature(String),
    /// The certificate, or one that issued it, is of a kind that is not served here.
    #[error("it is of a kind that is not served here: {0}")]
    Unserved(String),
    /// The certificate has a critical extension that is not understood.
    #[error("it has a critical extension that is not understood: {0}")]
    Critical(String),
    /// The certificate, or one that issued it, may not be used for this.
    #[error("it may not be used so: {0}")]
    Use(&'static str),
    /// The certificate names other addresses than the client's.
    #[error("it does not name the client's address")]
    Address,
}

/// What a client wrote, on one line and short.
pub(crate) fn shown(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let escaped = format!("{start:?}");
    if start.len() == text.len() && escaped.chars().count() <= SHOWN_CHARS_MAX {
        return escaped;
    }
    let mut cut: String = escaped.chars().take(SHOWN_CHARS_MAX - 1).collect();
    cut.push('…');
    cut
}
