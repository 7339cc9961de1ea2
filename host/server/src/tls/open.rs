//! The first moments of a connection: is it TLS, and who is it?
//!
//! 1. On the plain port nothing is read, unless it takes TLS as well: then the first byte tells.
//!    A frame's length begins with a zero, a four-letter word with a letter, and a handshake
//!    with 22.
//! 2. A handshake has a time limit. A client that does not come to an end is dropped; nobody
//!    waits for it but its own task.
//! 3. The client's certificate is handed on; its address is looked for in it if that is wished.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use innkeeper_runtime::{Runtime, Stream};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::stream::{ClientStream, Peeked};
use super::{Tls, trust};
use crate::service::Service;

/// What a listener takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Port {
    /// What the settings say of the plain port.
    Plain,
    /// TLS alone.
    Secure,
}

/// Why a connection does not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// Nothing came, or not enough.
    #[error("nothing came within {0} ms")]
    Silent(u64),
    /// It left.
    #[error("the client left")]
    Left,
    /// The handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Handshake(std::io::Error),
    /// Too many are under way.
    #[error("too many TLS handshakes are under way")]
    TooMany,
    /// Its certificate names another address.
    #[error("the client's certificate is not believed: {0}")]
    Distrusted(trust::Distrust),
}

/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

/// A connection that has begun.
pub(crate) struct Opened<S> {
    /// What it is read from.
    pub(crate) stream: ClientStream<S>,
    /// The certificate that the client has proved to own.
    pub(crate) certificate: Option<CertificateDer<'static>>,
}

impl<S> Opened<S> {
    /// Whether it speaks TLS.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.stream, ClientStream::Tls(_))
    }
}

/// Begins a connection.
pub(crate) async fn open<R: Runtime, S: Stream>(
    service: &Arc<Service<R>>,
    mut stream: S,
    port: Port,
) -> Result<Opened<S>, Refused> {
    let Some(tls) = &service.tls else {
        return Ok(plain(None, stream));
    };
    let mut first = None;
    if port == Port::Plain {
        if !service.settings.port_unification {
            return Ok(plain(None, stream));
        }
        let limit_ms = service.settings.handshake_timeout_ms;
        let limit = Duration::from_millis(limit_ms);
        let byte = service.runtime.timeout(limit, stream.read_u8()).await;
        let byte = byte.map_err(|_| Refused::Silent(limit_ms))?;
        let byte = byte.map_err(|_| Refused::Left)?;
        if byte != HANDSHAKE {
            return Ok(plain(Some(byte), stream));
        }
        first = Some(byte);
    }
    let limit_ms = tls.settings.handshake_timeout_ms;
    let limit = Duration::from_millis(limit_ms);
    let handshake = tls.accept(Peeked::new(first, stream));
    let opened = service.runtime.timeout(limit, handshake).await;
    let opened = opened.map_err(|_| Refused::Silent(limit_ms))??;
    tls.check_address(&opened)?;
    Ok(opened)
}

fn plain<S>(first: Option<u8>, stream: S) -> Opened<S> {
    Opened {
        stream: ClientStream::Plain(Peeked::new(first, stream)),
        certificate: None,
    }
}

/// A place among the handshakes under way.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tls {
    async fn accept<S: Stream>(&self, stream: Peeked<S>) -> Result<Opened<S>, Refused> {
        let before = self.handshakes.fetch_add(1, Ordering::Relaxed);
        let _place = Place(&self.handshakes);
        if self
            .settings
            .handshakes_max
            .is_some_and(|max| before >= max)
        {
            return Err(Refused::TooMany);
        }
        let acceptor = TlsAcceptor::from(self.config.load_full());
        let stream = acceptor.accept(stream).await.map_err(Refused::Handshake)?;
        let certificates = stream.get_ref().1.peer_certificates();
        let own = certificates.and_then(|certificates| certificates.first());
        let certificate = own.map(|own| own.clone().into_owned());
        Ok(Opened {
            stream: ClientStream::Tls(Box::new(stream)),
            certificate,
        })
    }

    fn check_address<S: Stream>(&self, opened: &Opened<S>) -> Result<(), Refused> {
        let settings = &self.settings;
        let wished = settings.hostname_verification && settings.client_hostname_verification;
        match (&opened.certificate, opened.stream.peer_addr()) {
            (Some(certificate), Some(peer)) if wished => {
                trust::names_address(certificate, peer.ip()).map_err(Refused::Distrusted)
            }
            _ => Ok(()),
        }
    }
}
