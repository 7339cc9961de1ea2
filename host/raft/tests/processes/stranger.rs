//! A node of a later release, byte by byte: it says hello in protocols that no node speaks yet.

use std::net::{Ipv4Addr, SocketAddr};

use crc32c::crc32c;
use innkeeper_runtime::real::RealListener;
use innkeeper_runtime::{Listener, Real, Runtime, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

const MAGIC: &[u8] = b"INKPEER\n";
const PROTOCOLS: (u16, u16) = (7, 9);
const HELLO: u8 = 1;
const REFUSAL: u8 = 4;

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut checked = vec![kind];
    checked.extend(0_u64.to_le_bytes());
    checked.extend(body);
    let len = u32::try_from(checked.len()).unwrap();
    let mut frame = len.to_le_bytes().to_vec();
    frame.extend(crc32c(&checked).to_le_bytes());
    frame.extend(checked);
    frame
}

fn hello(from: u64, to: u64) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(PROTOCOLS.0.to_le_bytes());
    body.extend(PROTOCOLS.1.to_le_bytes());
    body.push(1);
    body.extend(from.to_le_bytes());
    body.extend(to.to_le_bytes());
    // No cluster, an incarnation, a feature level, random bytes, and no vote.
    body.push(0);
    body.extend([0; 16]);
    body.extend([3; 16]);
    body.extend(1_u32.to_le_bytes());
    body.extend([5; 32]);
    body.push(0);
    frame(HELLO, &body)
}

async fn next_frame(reader: &mut (impl AsyncRead + Unpin)) -> (u8, Vec<u8>) {
    let len = reader.read_u32_le().await.unwrap();
    let _crc = reader.read_u32_le().await.unwrap();
    let mut checked = vec![0; len as usize];
    reader.read_exact(&mut checked).await.unwrap();
    (checked[0], checked.split_off(9))
}

/// The sentence with which the other end refuses this one.
async fn refusal(reader: &mut (impl AsyncRead + Unpin)) -> String {
    let (kind, body) = next_frame(reader).await;
    assert_eq!(kind, REFUSAL);
    String::from_utf8(body).unwrap()
}

/// Dials a node, and returns the sentence of its refusal.
pub async fn dial(runtime: &Real, from: u64, to: u64, port: u16) -> String {
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let stream = runtime.connect_tcp(address).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let said = [MAGIC, &hello(from, to)].concat();
    writer.write_all(&said).await.unwrap();
    assert_eq!(next_frame(&mut reader).await.0, HELLO);
    refusal(&mut reader).await
}

/// Listens at a port.
pub async fn listen(runtime: &Real, port: u16) -> RealListener {
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    runtime.listen_tcp(address).await.unwrap()
}

/// Takes one connection, and returns the sentence with which the node at the other end refuses.
pub async fn accept(listener: RealListener, from: u64) -> String {
    let stream = listener.accept().await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut magic = [0; MAGIC.len()];
    reader.read_exact(&mut magic).await.unwrap();
    assert_eq!(magic, MAGIC);
    assert_eq!(next_frame(&mut reader).await.0, HELLO);
    writer.write_all(&hello(from, 1)).await.unwrap();
    refusal(&mut reader).await
}
