//! The names of hosts. The runtime alone resolves them: with the system's resolver, or in a simulated
//! world. (test: `a_node_listens_at_a_name`)

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context;
use innkeeper_runtime::Runtime;
use innkeeper_tree::text::piece;

/// The longest text that is looked up: a DNS name, with a dot at its end.
const NAME_BYTES_MAX: usize = 254;

/// The parts of `HOST:PORT`; `None` if a text is no such thing. The host is an address or a name,
/// and may have brackets around it. An IPv6 address needs them: without them its last part would be
/// read as the port.
pub(crate) fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let is_whole = host.starts_with('[') && host.ends_with(']') || !host.contains(':');
    if host.is_empty() || !is_whole {
        return None;
    }
    Some((host, port.parse().ok()?))
}

/// The addresses of a host by its name or number, with or without brackets. There is at least one.
pub(crate) async fn addresses<R: Runtime>(runtime: &R, host: &str) -> io::Result<Vec<IpAddr>> {
    let host = bare(host);
    if host.len() > NAME_BYTES_MAX {
        // The system's error would repeat the whole name.
        let sentence = "the name of a host has at most 253 bytes";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, sentence));
    }
    runtime.resolve(host).await
}

/// The address of a host by its name or number, for a socket that listens. An empty one is this
/// machine's own, as in Java.
pub(crate) async fn address<R: Runtime>(
    runtime: &R,
    host: &str,
    port: u16,
) -> anyhow::Result<SocketAddr> {
    if bare(host).is_empty() {
        return Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    }
    let found = addresses(runtime, host).await;
    let found = found.with_context(|| format!("{} is not known", piece(host)))?;
    // As Java does, IPv4 comes before IPv6, in whatever order the system answers.
    let first = found.iter().find(|addr| addr.is_ipv4()).or(found.first());
    let first = first.with_context(|| format!("{} has no address", piece(host)))?;
    Ok(SocketAddr::new(*first, port))
}

fn bare(host: &str) -> &str {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use innkeeper_runtime::Sim;

    #[test]
    fn an_empty_address_is_this_machine() {
        Sim::run(1, async |runtime| {
            let found = async |host| {
                address(&runtime, host, 7)
                    .await
                    .map(|addr| addr.to_string())
            };
            assert_eq!(found("").await.unwrap(), "127.0.0.1:7");
            assert_eq!(found("[::1]").await.unwrap(), "[::1]:7");
            assert_eq!(found("localhost").await.unwrap(), "127.0.0.1:7");
            let error = found("${HOST}").await.unwrap_err();
            assert_eq!(error.to_string(), "${HOST} is not known");
        });
    }
}
