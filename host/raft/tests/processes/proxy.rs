//! A proxy between two nodes that can cut what goes through it: nothing breaks, and nothing arrives.

use std::net::{Ipv4Addr, SocketAddr};

use innkeeper_runtime::{Latest, Listener, Real, Runtime, Stream, ThreadRole, select2};

/// Listens on a port of its own and connects each connection to `to`. When the cut is over, the
/// connections that it met end.
pub async fn start(runtime: &Real, to: u16, is_open: Latest<bool>) -> u16 {
    let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let listener = runtime.listen_tcp(any).await.unwrap();
    let port = listener.local_addr().expect("a port").port();
    let inside = runtime.clone();
    let accepting = async move {
        while let Ok(stream) = listener.accept().await {
            is_open.wait_for(|open| *open).await;
            let (runtime, is_open) = (inside.clone(), is_open.clone());
            let joined = async move {
                let to = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), to);
                let Ok(other) = runtime.connect_tcp(to).await else {
                    return;
                };
                let ((mut from_reader, mut from_writer), (mut to_reader, mut to_writer)) =
                    (stream.split(), other.split());
                let both = select2(
                    tokio::io::copy(&mut from_reader, &mut to_writer),
                    tokio::io::copy(&mut to_reader, &mut from_writer),
                );
                select2(is_open.wait_for(|open| !*open), both).await;
                is_open.wait_for(|open| *open).await;
            };
            inside.spawn(ThreadRole::Client, joined).detach();
        }
    };
    runtime.spawn(ThreadRole::Client, accepting).detach();
    port
}
