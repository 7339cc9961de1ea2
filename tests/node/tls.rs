//! TLS over real sockets: a port of its own, one port for both, and which clients are admitted.
#![allow(clippy::disallowed_methods)] // Raw sockets and files of its own, on purpose.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use common::*;
use innkeeper_auth::ClientAuth;
use innkeeper_node::NodeSettings;
use innkeeper_proto::codec::Reader;
use innkeeper_proto::connect::ConnectResponse;
use innkeeper_proto::frame::{FourLetterWord, FrameDecoder, Inbound};
use innkeeper_proto::reply::{Reply, ReplyHeader};
use innkeeper_proto::request::{Auth, Create, Request};
use innkeeper_proto::{Acl, ErrorCode, OpCode, Perms};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, version,
};

/// An authority that issues certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A key and its certificate, in PEM.
struct Issued {
    key: String,
    certificate: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    fn issue(&self, name: &str, alternatives: &[&str]) -> Issued {
        let key = KeyPair::generate().unwrap();
        let alternatives: Vec<String> = alternatives.iter().map(|name| (*name).into()).collect();
        let mut params = CertificateParams::new(alternatives).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Example, Inc.");
        Issued {
            key: key.serialize_pem(),
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
        }
    }
}

/// A folder with the stores of a node, and the keys that a client needs.
struct Pki {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Pki {
    fn new() -> Self {
        let pki = Self {
            folder: tempfile::tempdir().unwrap(),
            authority: Authority::new("test authority"),
        };
        pki.write_own(&pki.authority);
        std::fs::write(pki.path("trust.pem"), &pki.authority.pem).unwrap();
        pki
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write_own(&self, authority: &Authority) {
        let own = authority.issue("localhost", &["localhost"]);
        std::fs::write(self.path("own.pem"), own.key + &own.certificate).unwrap();
    }

    fn settings(&self, settings: &mut NodeSettings) {
        settings.server.secure_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        settings.server.tls.key_store.location = Some(self.path("own.pem"));
        settings.server.tls.trust_store.location = Some(self.path("trust.pem"));
    }

    fn node(&self, change: impl Fn(&mut NodeSettings)) -> Running {
        Running::start_with(|settings| {
            self.settings(settings);
            change(settings);
        })
    }

    fn client(&self) -> Issued {
        self.authority.issue("a client", &[])
    }

    fn connect(&self, addr: SocketAddr, own: Option<&Issued>) -> Option<TlsClient> {
        let versions = [&version::TLS13, &version::TLS12];
        TlsClient::connect(addr, &self.authority.pem, own, &versions)
    }
}

fn secure(node: &Running) -> SocketAddr {
    node.node.as_ref().unwrap().secure().unwrap()
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A session over TLS.
struct TlsClient {
    stream: Tls,
    input: BytesMut,
    decoder: FrameDecoder,
    xid: i32,
}

fn handshake(
    addr: SocketAddr,
    trusted: &str,
    own: Option<&Issued>,
    versions: &[&'static SupportedProtocolVersion],
) -> Tls {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let certificate = CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            builder
                .with_client_auth_cert(vec![certificate], key)
                .unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(addr).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(connection, socket)
}

impl TlsClient {
    /// Opens a session; `None` if the server ends the connection instead.
    fn connect(
        addr: SocketAddr,
        trusted: &str,
        own: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Option<Self> {
        let mut client = Self {
            stream: handshake(addr, trusted, own, versions),
            input: BytesMut::new(),
            decoder: FrameDecoder::frames_only(64 << 20),
            xid: 0,
        };
        let mut out = BytesMut::new();
        connect_request(10_000).encode(&mut out);
        client.stream.write_all(&out).ok()?;
        let connected = ConnectResponse::decode(client.frame()?).unwrap();
        assert_ne!(connected.session_id, 0);
        Some(client)
    }

    fn frame(&mut self) -> Option<bytes::Bytes> {
        loop {
            if let Some(Inbound::Frame(frame)) = self.decoder.decode(&mut self.input).unwrap() {
                return Some(frame);
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(n) => self.input.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("nothing came")
                }
                Err(_) => return None,
            }
        }
    }

    fn ask(&mut self, request: &Request) -> (ErrorCode, Reader) {
        self.xid += 1;
        let mut out = BytesMut::new();
        request.encode(&mut out, self.xid);
        self.stream.write_all(&out).unwrap();
        let mut reader = Reader::new(self.frame().expect("the server is there"));
        let header = ReplyHeader::decode(&mut reader).unwrap();
        assert_eq!(header.xid, self.xid);
        (header.err, reader)
    }

    fn data(&mut self, path: &str) -> Result<Vec<u8>, ErrorCode> {
        let (error, mut body) = self.ask(&get(path, false));
        match error {
            ErrorCode::Ok => match Reply::decode(OpCode::GetData, &mut body).unwrap() {
                Reply::Data(data, _) => Ok(data.unwrap().to_vec()),
                other => panic!("{other:?}"),
            },
            error => Err(error),
        }
    }
}

fn create_for(path: &str, scheme: &str, id: &str) -> Request {
    Request::Create(Create {
        acl: vec![Acl::new(Perms::ALL, scheme, id)],
        ..creation(path, b"mine", 0)
    })
}

const CLIENT_DN: &str = "O=Example\\, Inc.,CN=a client";

#[test]
fn a_session_over_tls_is_its_certificates_subject() {
    let pki = Pki::new();
    let node = pki.node(|_| {});
    let own = pki.client();
    for version in [&version::TLS12, &version::TLS13] {
        let path = format!("/{version:?}").replace(|c: char| !c.is_alphanumeric() && c != '/', "");
        let connect = || {
            TlsClient::connect(secure(&node), &pki.authority.pem, Some(&own), &[version]).unwrap()
        };
        let mut client = connect();
        let (error, _) = client.ask(&create_for(&path, "auth", ""));
        assert_eq!(error, ErrorCode::Ok);
        assert_eq!(client.data(&path).unwrap(), b"mine");
        // Another client with the same subject may read it, one without a certificate may not, and
        // an ACL may write the name as Java does.
        assert_eq!(connect().data(&path).unwrap(), b"mine");
        let mut plain = node.client();
        assert_eq!(plain.ask(get(&path, false)).err, ErrorCode::NoAuth);
        let by_name = create_for(&format!("{path}-by-name"), "x509", CLIENT_DN);
        plain.must(by_name);
        assert_eq!(connect().data(&format!("{path}-by-name")).unwrap(), b"mine");
        // An auth packet of that scheme adds no identity.
        let auth = |client: &mut TlsClient| {
            client.ask(&Request::Auth(Auth {
                auth_type: 0,
                scheme: "x509".into(),
                auth: bytes::Bytes::new(),
            }))
        };
        assert_eq!(auth(&mut connect()).0, ErrorCode::Ok);
    }
}

#[test]
fn the_super_user_may_be_a_certificates_subject() {
    let pki = Pki::new();
    let node =
        pki.node(|settings| settings.server.auth.x509_super_user = Some(CLIENT_DN.to_owned()));
    let mut plain = node.client();
    plain.must(create_for("/a", "x509", "CN=somebody else"));
    let own = pki.client();
    let mut client = pki.connect(secure(&node), Some(&own)).unwrap();
    assert_eq!(client.data("/a").unwrap(), b"mine");
}

#[test]
fn who_is_let_in_goes_by_client_auth() {
    let pki = Pki::new();
    let (own, strangers) = (pki.client(), Authority::new("strangers").issue("eve", &[]));
    for (client_auth, without, believed, stranger) in [
        (ClientAuth::Need, false, true, false),
        (ClientAuth::Want, true, true, false),
        (ClientAuth::None, true, true, true),
    ] {
        let node = pki.node(|settings| settings.server.tls.client_auth = client_auth);
        let enters = |own: Option<&Issued>| pki.connect(secure(&node), own).is_some();
        assert_eq!(enters(None), without, "{client_auth:?}");
        assert_eq!(enters(Some(&own)), believed, "{client_auth:?}");
        assert_eq!(enters(Some(&strangers)), stranger, "{client_auth:?}");
    }
}

#[test]
fn one_port_takes_both_and_words_as_well() {
    let pki = Pki::new();
    let node = pki.node(|settings| {
        settings.server.secure_listen = None;
        settings.server.port_unification = true;
        settings.admin.words = vec![FourLetterWord::Ruok];
        settings.server.handshake_timeout_ms = 300;
        settings.server.tls.handshake_timeout_ms = 300;
    });
    let own = pki.client();
    let mut plain = node.client();
    plain.must(create("/a", b"1"));
    let mut secret = pki.connect(node.addr, Some(&own)).unwrap();
    assert_eq!(secret.data("/a").unwrap(), b"1");
    let mut word = TcpStream::connect(node.addr).unwrap();
    for letter in b"ruok" {
        word.write_all(&[*letter]).unwrap();
    }
    let mut answer = String::new();
    word.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "imok");
    let mut word = handshake(
        node.addr,
        &pki.authority.pem,
        Some(&own),
        &[&version::TLS13],
    );
    word.write_all(b"ruok").unwrap();
    let mut answer = String::new();
    word.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "imok");
    // A client that says nothing, and one that begins a handshake and stops, do not hold a place
    // for long.
    for first in [&b""[..], &[0x16], &[0x16, 3, 1, 2, 0, 1]] {
        let mut silent = Client::open(node.addr);
        silent.stream.write_all(first).unwrap();
        assert!(silent.is_closed(), "{first:?}");
    }
    plain.must(set("/a", b"2"));
    assert_eq!(secret.data("/a").unwrap(), b"2");
}

#[test]
fn silent_handshakes_end_and_harm_nobody() {
    let pki = Pki::new();
    let node = pki.node(|settings| settings.server.tls.handshake_timeout_ms = 1500);
    let began = Instant::now();
    let mut silent: Vec<Client> = (0..50).map(|_| Client::open(secure(&node))).collect();
    for client in &mut silent {
        client.stream.write_all(&[0x16, 3, 1]).unwrap();
    }
    let own = pki.client();
    let mut client = pki.connect(secure(&node), Some(&own)).unwrap();
    client.ask(&create("/a", b"1"));
    assert_eq!(client.data("/a").unwrap(), b"1");
    for client in &mut silent {
        assert!(client.is_closed());
    }
    assert!(began.elapsed() >= Duration::from_millis(1500));
    assert_eq!(client.data("/a").unwrap(), b"1");
}

#[test]
fn handshakes_under_way_may_be_limited() {
    let pki = Pki::new();
    let node = pki.node(|settings| settings.server.tls.handshakes_max = Some(2));
    let held: Vec<Client> = (0..2).map(|_| Client::open(secure(&node))).collect();
    eventually("a third is turned away", || {
        Client::open(secure(&node)).is_closed()
    });
    drop(held);
    let own = pki.client();
    eventually("there is room again", || {
        pki.connect(secure(&node), Some(&own)).is_some()
    });
}

#[test]
fn garbage_in_place_of_a_handshake_ends_that_connection_alone() {
    let pki = Pki::new();
    let node = pki.node(|_| {});
    for garbage in [
        &b"srvr"[..],
        b"\0\0\0\x2d\0\0\0\0",
        &[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0],
        &[0xff; 40],
        &[0x15, 3, 1, 0, 2, 2, 40],
    ] {
        let mut client = Client::open(secure(&node));
        client.stream.write_all(garbage).unwrap();
        let mut rest = Vec::new();
        // A TLS alert may come before the end.
        let _ = client.stream.read_to_end(&mut rest);
    }
    let own = pki.client();
    assert!(pki.connect(secure(&node), Some(&own)).is_some());
}

#[test]
fn a_clients_address_may_be_demanded_of_its_certificate() {
    let pki = Pki::new();
    let node = pki.node(|settings| settings.server.tls.client_hostname_verification = true);
    let nameless = pki.client();
    let named = pki.authority.issue("named", &["127.0.0.1"]);
    assert!(pki.connect(secure(&node), Some(&nameless)).is_none());
    assert!(pki.connect(secure(&node), Some(&named)).is_some());
}

/// More bytes than the buffers of a socket and of TLS hold, in both directions at once.
#[test]
fn large_answers_and_many_requests_come_through_whole() {
    let pki = Pki::new();
    let node = pki.node(|_| {});
    let own = pki.client();
    let mut client = pki.connect(secure(&node), Some(&own)).unwrap();
    let large = vec![7; 900_000];
    assert_eq!(client.ask(&create("/large", &large)).0, ErrorCode::Ok);
    let mut out = BytesMut::new();
    for xid in 100..120 {
        get("/large", false).encode(&mut out, xid);
    }
    client.stream.write_all(&out).unwrap();
    for xid in 100..120 {
        let mut reader = Reader::new(client.frame().unwrap());
        assert_eq!(ReplyHeader::decode(&mut reader).unwrap().xid, xid);
        match Reply::decode(OpCode::GetData, &mut reader).unwrap() {
            Reply::Data(data, _) => assert_eq!(data.unwrap().len(), large.len()),
            other => panic!("{other:?}"),
        }
    }
}

/// A client that sends and does not read: when the node stops reading, the rest of the client's
/// input is inside TLS, and the session must not be taken for silent while it is there.
#[test]
fn a_probe_finds_what_waits_inside_tls() {
    let pki = Pki::new();
    let node = pki.node(|settings| settings.server.tick_time_ms = 100);
    let own = pki.client();
    let mut client = pki.connect(secure(&node), Some(&own)).unwrap();
    assert_eq!(
        client.ask(&create("/large", &vec![7; 900_000])).0,
        ErrorCode::Ok
    );
    // A hundred answers fill every buffer; the pings behind them wait inside TLS or the socket.
    let mut out = BytesMut::new();
    for xid in 100..200 {
        get("/large", false).encode(&mut out, xid);
    }
    client.stream.write_all(&out).unwrap();
    // The session lives at most 2 s without a sign of life; one every 300 ms is enough.
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        let mut ping = BytesMut::new();
        Request::Ping.encode(&mut ping, -2);
        client.stream.write_all(&ping).unwrap();
        std::thread::sleep(Duration::from_millis(300));
    }
    for xid in 100..200 {
        let mut reader = Reader::new(client.frame().expect("the session is alive"));
        assert_eq!(ReplyHeader::decode(&mut reader).unwrap().xid, xid);
    }
}

#[test]
fn changed_stores_are_read_again_and_broken_ones_change_nothing() {
    let pki = Pki::new();
    let node = pki.node(|settings| settings.server.tls.reload = true);
    let own = pki.client();
    assert!(pki.connect(secure(&node), Some(&own)).is_some());
    std::fs::write(pki.path("trust.pem"), "no certificate").unwrap();
    let replaced = Authority::new("another authority");
    let newcomer = replaced.issue("a newcomer", &[]);
    // The broken store is noticed and not used; a valid one is used after that.
    std::thread::sleep(Duration::from_millis(2500));
    assert!(pki.connect(secure(&node), Some(&own)).is_some());
    std::fs::write(pki.path("trust.pem"), &replaced.pem).unwrap();
    eventually("the new authority is believed", || {
        pki.connect(secure(&node), Some(&newcomer)).is_some()
    });
    assert!(pki.connect(secure(&node), Some(&own)).is_none());
}

#[test]
fn what_is_wrong_with_the_stores_stops_the_start() {
    let pki = Pki::new();
    let start = |change: &dyn Fn(&mut NodeSettings)| {
        let data = tempfile::tempdir().unwrap();
        let threads = innkeeper_runtime::Threads::start(innkeeper_runtime::RealConfig::default());
        let threads = threads.unwrap();
        let mut settings = NodeSettings::on_free_ports(data.path());
        pki.settings(&mut settings);
        change(&mut settings);
        let started = threads.block_on(innkeeper_node::Node::start(threads.runtime(), settings));
        started.expect_err("it must not start").to_string()
    };
    let error = start(&|settings| settings.server.tls.key_store.location = None);
    assert!(error.contains("ssl.keyStore.location"), "{error}");
    let error = start(&|settings| settings.server.tls.trust_store.location = None);
    assert!(error.contains("ssl.clientAuth=none"), "{error}");
    let missing = |settings: &mut NodeSettings| {
        settings.server.tls.key_store.location = Some(Path::new("/nowhere/key.jks").to_owned());
    };
    let error = start(&missing);
    assert!(error.contains("/nowhere/key.jks"), "{error}");
    let error = start(&|settings| settings.server.tls.auth_provider = "custom".to_owned());
    assert!(error.contains("ssl.authProvider=custom"), "{error}");
}
