//! What ZooKeeper's AdminServer shows of a server and its connections.

use std::iter::once;

use innkeeper_auth::address;
use innkeeper_runtime::Runtime;
use innkeeper_server::inspect::ConnectionInfo;
use innkeeper_server::inspect::Serves;
use innkeeper_server::service::Service;
use innkeeper_server::stats::Totals;
use serde_json::{Value, json};

use super::pretty::Token;
use crate::ensemble;
use crate::metrics::render::rounded;
use crate::metrics::{json_number, sizes, uptime_ms, version};
use crate::surface::Surface;

/// `server_stats`.
pub(super) async fn server<R: Runtime>(surface: &Surface<R>) -> Vec<(String, Value)> {
    let service = &*surface.service;
    let serves = service.serves();
    let totals = service.totals();
    let response = response_sizes(&totals);
    let view = service.reader.view();
    let (latency, sizes) = (
        totals.latency_us(),
        sizes(&surface.service, &surface.disk_usage).await,
    );
    let slow_syncs = service
        .replica()
        .map_or(0, |replica| replica.stats().slow_syncs());
    let (remote, local) = service.connections_without_tls();
    let stats = json!({
        "packets_sent": totals.sent,
        "packets_received": totals.received,
        "fsync_threshold_exceed_count": slow_syncs,
        "client_response_stats": response,
        "data_dir_size": sizes.data_bytes,
        "log_dir_size": sizes.log_bytes,
        "provider_null": false,
        "last_processed_zxid": view.zxid().0,
        "outstanding_requests": service.pending_requests(),
        "server_state": service.mode().name(),
        "avg_latency": json_number(rounded(latency.average / 1000.0)),
        "max_latency": latency.max / 1000,
        "min_latency": latency.min / 1000,
        "num_alive_client_connections": service.connection_count(),
        "uptime": uptime_ms(service),
        "auth_failed_count": service.stats.auth_failed.get(),
        "non_mtlsremote_conn_count": remote,
        "non_mtlslocal_conn_count": local,
    });
    let mut fields = vec![
        ("version".into(), version(&surface.settings).into()),
        ("read_only".into(), (serves == Serves::Readers).into()),
        ("server_stats".into(), stats),
        ("client_response".into(), response),
    ];
    let proposals = ensemble::proposal_stats(service);
    fields.extend(proposals.map(|sizes| ("proposal_stats".into(), sizes)));
    fields.push(("node_count".into(), view.znode_count().into()));
    fields
}

fn response_sizes(totals: &Totals) -> Value {
    json!({
        "last_buffer_size": totals.last_response,
        "min_buffer_size": totals.min_response,
        "max_buffer_size": totals.max_response,
    })
}

/// `connections` and `secure_connections`, each connection briefly or not.
pub(super) fn connections<R: Runtime>(
    service: &Service<R>,
    briefly: bool,
) -> impl Iterator<Item = Token> + Send + use<R> {
    let those = |key: &str, secure: bool| {
        let those = service.connections();
        let those = those.filter(move |client| client.secure == secure);
        let those = those.map(move |client| Token::Value(None, connection(&client, briefly)));
        once(Token::List(Some(key.to_owned())))
            .chain(those)
            .chain(once(Token::End))
    };
    those("connections", false).chain(those("secure_connections", true))
}

fn connection(client: &ConnectionInfo, briefly: bool) -> Value {
    let mut info = json!({
        "remote_socket_address": client.peer.map(address::with_port),
        "interest_ops": u8::from(client.session.is_some()),
        "outstanding_requests": client.pending,
        "packets_received": client.received,
        "packets_sent": client.sent,
    });
    if let (false, Some(info)) = (briefly, info.as_object_mut()) {
        let session = client.session.unwrap_or_default();
        let more = [
            ("session_id", Value::from(session.0 as i64)),
            ("last_operation", client.last_op.into()),
            ("established", client.established_ms.into()),
            ("session_timeout", client.timeout_ms.into()),
            ("last_cxid", client.last_cxid.into()),
            ("last_zxid", client.last_zxid.into()),
            ("last_response_time", client.last_answer_ms.into()),
            ("last_latency", client.last_latency_ms.into()),
            ("min_latency", client.min_latency_ms.into()),
            ("avg_latency", client.avg_latency_ms.into()),
            ("max_latency", client.max_latency_ms.into()),
        ];
        info.extend(more.map(|(key, value)| (key.to_owned(), value)));
    }
    info
}
