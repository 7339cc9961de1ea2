//! Sessions that only their node knows: local sessions, and sessions of a node without its quorum.
#![allow(clippy::disallowed_methods)] // Clients of tests have sockets of their own.

mod common;

use common::*;
use innkeeper_node::NodeSettings;
use innkeeper_proto::connect::ConnectRequest;
use innkeeper_proto::request::{MultiOp, Request};
use innkeeper_proto::{ErrorCode, EventType, xid};
use innkeeper_server::quorum::Held;
use innkeeper_tree::SessionId;

fn local(settings: &mut NodeSettings) {
    settings.server.local_sessions = true;
}

/// The zxid of the last command, the number of sessions in the log, and the number of sessions that
/// only this node knows.
fn state(server: &Running) -> (u64, usize, usize) {
    let service = server.node.as_ref().unwrap().service();
    let view = service.reader.view();
    (
        view.zxid().0,
        view.sessions().len(),
        service.local_sessions(),
    )
}

fn is_local(server: &Running, client: &Client) -> Option<bool> {
    let service = server.node.as_ref().unwrap().service();
    let session = SessionId(client.connected.session_id as u64);
    service
        .reader
        .view()
        .session(session)
        .map(|known| known.local)
}

#[test]
fn a_local_session_costs_no_command_until_it_writes() {
    let server = Running::start_with(local);
    let (zxid, ..) = state(&server);
    let mut client = server.client();
    assert_eq!(client.connected.session_id >> 56, 1);
    assert_ne!(client.connected.password, [0; 16]);
    client.must(exists("/", true));
    client.must(children("/", false));
    client.send_as(xid::PING, &Request::Ping);
    assert_eq!(client.answer().xid, xid::PING);
    assert_eq!(state(&server), (zxid, 0, 1));
    client.close();
    assert_eq!(state(&server), (zxid, 0, 0));
}

#[test]
fn a_local_session_is_recorded_by_its_first_write() {
    let server = Running::start_with(local);
    let (zxid, ..) = state(&server);
    let (mut client, mut other) = (server.client(), server.client());
    other.must(children("/", true));
    client.must(create("/a", b"1"));
    assert_eq!(
        state(&server),
        (zxid + 2, 1, 1),
        "its record, and the write"
    );
    assert_eq!(is_local(&server, &client), Some(true));
    assert_eq!(
        other.answer().event(),
        (EventType::NodeChildrenChanged, "/".to_owned())
    );
    // Many writes at once make one record, and keep their order.
    let sets: Vec<_> = (0..500)
        .map(|n: i32| set("/a", n.to_string().as_bytes()))
        .collect();
    other.send(&sets);
    let zxids: Vec<_> = sets.iter().map(|_| other.answer().zxid).collect();
    assert!(zxids.is_sorted());
    assert_eq!(state(&server), (zxid + 3 + 500, 2, 0));
    assert_eq!(other.must(get("/a", false)).data(), b"499");
    other.close();
    assert_eq!(state(&server).1, 1);
}

#[test]
fn a_local_session_has_no_ephemerals() {
    let server = Running::start_with(local);
    let mut client = server.client();
    let (zxid, ..) = state(&server);
    let ephemeral = ErrorCode::EphemeralOnLocalSession;
    assert_eq!(client.ask(create_as("/e", b"", 1)).err, ephemeral);
    let mixed = multi(vec![
        MultiOp::Create(creation("/p", b"", 0)),
        MultiOp::Create(creation("/e", b"", 3)),
    ]);
    let answer = client.ask(mixed.clone());
    assert_eq!((answer.err, answer.body.len()), (ephemeral, 0));
    assert_eq!(state(&server).0, zxid);
    // Nor after it has a record, here or after the client has reattached.
    client.must(create("/p", b""));
    assert_eq!(client.ask(create_as("/e", b"", 1)).err, ephemeral);
    let mut back = Client::connect_as(server.addr, &client.reattach_request()).unwrap();
    assert_eq!(back.ask(mixed).err, ephemeral);
    assert_eq!(back.ask(exists("/e", false)).err, ErrorCode::NoNode);
}

#[test]
fn a_local_session_is_upgraded_for_its_ephemerals_where_that_is_allowed() {
    let server = Running::start_with(|settings| {
        local(settings);
        settings.server.local_sessions_upgrading = true;
    });
    let (mut first, mut later, mut other) = (server.client(), server.client(), server.client());
    first.must(create_as("/first", b"", 1));
    assert_eq!(is_local(&server, &first), Some(false));
    later.must(create("/p", b""));
    assert_eq!(is_local(&server, &later), Some(true));
    later.must(create_as("/later", b"", 1));
    assert_eq!(is_local(&server, &later), Some(false));
    first.close();
    later.close();
    for path in ["/first", "/later"] {
        assert_eq!(other.ask(exists(path, false)).err, ErrorCode::NoNode);
    }
}

#[test]
fn a_client_comes_back_to_its_local_session_while_the_node_knows_it() {
    let server = Running::start_with(local);
    let (zxid, ..) = state(&server);
    let mut old = server.client();
    let good = old.reattach_request();
    let mut new = Client::connect_as(server.addr, &good).unwrap();
    assert_eq!(new.connected.session_id, old.connected.session_id);
    assert!(old.is_closed());
    let wrong = ConnectRequest {
        password: vec![9; 16].into(),
        ..good.clone()
    };
    let refused = Client::connect_as(server.addr, &wrong).unwrap();
    assert_eq!(refused.connected.session_id, 0);
    assert_eq!(state(&server), (zxid, 0, 1));
    // The client can write on its second connection as on its first.
    new.must(create("/a", b""));
    let third = Client::connect_as(server.addr, &good).unwrap();
    assert_eq!(third.connected.session_id, old.connected.session_id);
    assert!(new.is_closed());
    let unrecorded = server.client().reattach_request();
    let folder = server.stop();
    let server = Running::start_in(folder, local);
    let recorded = Client::connect_as(server.addr, &good).unwrap();
    assert_eq!(recorded.connected.session_id, old.connected.session_id);
    let unknown = Client::connect_as(server.addr, &unrecorded).unwrap();
    assert_eq!(unknown.connected.session_id, 0);
}

#[test]
fn a_silent_local_session_expires() {
    let server = Running::start_with(|settings| {
        local(settings);
        settings.server.tick_time_ms = 100;
    });
    let (zxid, ..) = state(&server);
    let mut silent = Client::connect(server.addr, 200);
    let back = silent.reattach_request();
    assert!(silent.is_closed());
    assert_eq!(state(&server), (zxid, 0, 0));
    let refused = Client::connect_as(server.addr, &back).unwrap();
    assert_eq!(refused.connected.session_id, 0);
}

fn read_only_request(read_only: Option<bool>) -> ConnectRequest {
    ConnectRequest {
        read_only,
        ..connect_request(10_000)
    }
}

#[test]
fn a_node_without_its_quorum_serves_reads_to_those_who_agreed() {
    let server = Running::start_with(|settings| settings.server.read_only_mode = true);
    let service = server.node.as_ref().unwrap().service().clone();
    let mut before = server.client();
    before.must(create("/a", b"1"));
    let (zxid, ..) = state(&server);
    service.pin_quorum(Some(Held::Lost));
    assert!(before.is_closed());
    for read_only in [None, Some(false)] {
        assert!(Client::connect_as(server.addr, &read_only_request(read_only)).is_none());
    }
    // A session of the whole service needs a quorum, even if its client agrees to be read-only.
    let of_all = ConnectRequest {
        read_only: Some(true),
        ..before.reattach_request()
    };
    assert!(Client::connect_as(server.addr, &of_all).is_none());

    let mut client = Client::connect_as(server.addr, &read_only_request(Some(true))).unwrap();
    assert_eq!(client.connected.read_only, Some(true));
    assert_ne!(client.connected.session_id, 0);
    assert_eq!(client.must(get("/a", true)).data(), b"1");
    client.send_as(xid::PING, &Request::Ping);
    assert_eq!(client.answer().xid, xid::PING);
    let writes = [
        create("/b", b""),
        set("/a", b"2"),
        delete("/a"),
        multi(vec![MultiOp::Create(creation("/b", b"", 0))]),
        Request::Sync("/a".into()),
    ];
    client.send(&writes);
    for write in &writes {
        let answer = client.answer();
        assert_eq!(
            (answer.err, answer.body.len()),
            (ErrorCode::NotReadOnly, 0),
            "{write:?}"
        );
    }
    let back = ConnectRequest {
        read_only: Some(true),
        ..client.reattach_request()
    };
    let mut again = Client::connect_as(server.addr, &back).unwrap();
    assert_eq!(again.connected.session_id, client.connected.session_id);
    assert!(client.is_closed());
    let parting = Client::connect_as(server.addr, &read_only_request(Some(true))).unwrap();
    parting.close();
    assert_eq!(state(&server), (zxid, 1, 1), "nothing of it is in the log");

    service.pin_quorum(Some(Held::Held));
    assert!(again.is_closed());
    let refused = Client::connect_as(server.addr, &back).unwrap();
    assert_eq!(refused.connected.session_id, 0);
    let mut whole = Client::connect_as(server.addr, &of_all).unwrap();
    assert_eq!(whole.connected.session_id, before.connected.session_id);
    assert_eq!(whole.connected.read_only, Some(false));
    whole.must(set("/a", b"2"));
}

/// Otherwise a client that comes back to its local session would be sent away for as long as the
/// node has no quorum.
#[test]
fn a_local_session_ends_where_its_client_asks_to_read_without_a_quorum() {
    let server = Running::start_with(|settings| {
        local(settings);
        settings.server.read_only_mode = true;
    });
    let service = server.node.as_ref().unwrap().service();
    let mut client = server.client();
    service.pin_quorum(Some(Held::Lost));
    assert!(client.is_closed());
    let back = |read_only| ConnectRequest {
        read_only: Some(read_only),
        ..client.reattach_request()
    };
    assert!(Client::connect_as(server.addr, &back(false)).is_none());
    let mut wrong = back(true);
    wrong.password = [1; 16].as_slice().into();
    let refused = Client::connect_as(server.addr, &wrong).unwrap();
    assert_eq!(refused.connected.session_id, 0);
    assert_eq!(state(&server).2, 1, "a wrong password ends nothing");
    let ended = Client::connect_as(server.addr, &back(true)).unwrap();
    assert_eq!(ended.connected.session_id, 0);
    let mut reader = Client::connect_as(server.addr, &read_only_request(Some(true))).unwrap();
    assert_eq!(reader.connected.read_only, Some(true));
    reader.must(exists("/", false));
}

#[test]
fn without_read_only_mode_a_node_without_its_quorum_serves_nobody() {
    let server = Running::start();
    let service = server.node.as_ref().unwrap().service();
    service.pin_quorum(Some(Held::Lost));
    for read_only in [None, Some(false), Some(true)] {
        assert!(Client::connect_as(server.addr, &read_only_request(read_only)).is_none());
    }
    service.pin_quorum(None);
    eventually("it is served again", || {
        Client::connect_as(server.addr, &connect_request(10_000)).is_some()
    });
}
