//! The first moments of a connection: is it TLS, and who is it?
//!
//! 1. On the plain port nothing is read, unless it takes TLS as well: then the first byte tells.
//!    A frame's length begins with a zero, a four-letter word with a letter, and a handshake
//!    with 22.
//! 2. A handshake has a time limit. A client that does not come to an end is dropped; nobody
//!    waits for it but its own task.
//! 3. The client's certificate is handed on; its address is looked for in it if that is wished.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use innkeeper_runtime::{Runtime, Stream};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::serve::Tls;
use super::stream::{ClientStream, Peeked};
use crate::x509::{Distrust, names_address};

/// What a port takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Port {
    /// No TLS.
    Plain,
    /// Both; the first byte of a connection tells which it is.
    Either {
        /// How long a client may take for that byte, in milliseconds.
        first_byte_ms: u64,
    },
    /// TLS alone.
    Secure,
}

/// Why a connection does not begin.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The client sent nothing within so many milliseconds, or not enough.
    #[error("nothing came within {0} ms")]
    Silent(u64),
    /// The client closed the connection.
    #[error("the client left")]
    Left,
    /// The handshake failed: the client speaks no TLS, or is not believed.
    #[error("the TLS handshake failed: {0}")]
    Handshake(std::io::Error),
    /// More handshakes are under way than `netty.server.outstandingHandshake.limit` lets in.
    #[error("too many TLS handshakes are under way")]
    TooMany,
    /// The client's certificate is not believed, since it does not name the client's address.
    #[error("the client's certificate is not believed: {0}")]
    Distrusted(Distrust),
}

/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

/// A connection that has begun.
pub struct Opened<S> {
    /// What the session reads and writes.
    pub stream: ClientStream<S>,
    /// The certificate that the client has proved to own.
    pub certificate: Option<CertificateDer<'static>>,
}

impl<S> Opened<S> {
    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }
}

/// Begins a connection that came to this port. Without TLS every port is a plain one.
pub async fn open<R: Runtime, S: Stream>(
    tls: Option<&Tls>,
    runtime: &R,
    mut stream: S,
    port: Port,
) -> Result<Opened<S>, Refused> {
    let Some(tls) = tls else {
        return Ok(plain(None, stream));
    };
    let first = match port {
        Port::Plain => return Ok(plain(None, stream)),
        Port::Secure => None,
        Port::Either { first_byte_ms } => {
            let limit = Duration::from_millis(first_byte_ms);
            let byte = runtime.timeout(limit, stream.read_u8()).await;
            let byte = byte.map_err(|_| Refused::Silent(first_byte_ms))?;
            let byte = byte.map_err(|_| Refused::Left)?;
            if byte != HANDSHAKE {
                return Ok(plain(Some(byte), stream));
            }
            Some(byte)
        }
    };
    let limit_ms = tls.settings.handshake_timeout_ms;
    let limit = Duration::from_millis(limit_ms);
    let handshake = tls.accept(Peeked::new(first, stream));
    let opened = runtime.timeout(limit, handshake).await;
    let opened = opened.map_err(|_| Refused::Silent(limit_ms))??;
    tls.check_address(&opened)?;
    Ok(opened)
}

fn plain<S>(first: Option<u8>, stream: S) -> Opened<S> {
    Opened {
        stream: ClientStream::plain(Peeked::new(first, stream)),
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
            stream: ClientStream::tls(stream),
            certificate,
        })
    }

    fn check_address<S: Stream>(&self, opened: &Opened<S>) -> Result<(), Refused> {
        let settings = &self.settings;
        let wished = settings.hostname_verification && settings.client_hostname_verification;
        match (&opened.certificate, opened.stream.peer_addr()) {
            (Some(certificate), Some(peer)) if wished => {
                names_address(certificate, peer.ip()).map_err(Refused::Distrusted)
            }
            _ => Ok(()),
        }
    }
}
