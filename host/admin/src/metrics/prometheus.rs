//! `/metrics`: the metrics in Prometheus's text format, version 0.0.4.
//!
//! The names and kinds are those of ZooKeeper's PrometheusMetricsProvider, so that dashboards
//! made for it go on working: its counters without `_total`, summaries with quantiles, and the
//! label `key` where there is one metric per top-level znode. What is not ZooKeeper's follows
//! Prometheus's own rules: counters end in `_total`, and the process is described by the names
//! that client libraries use. (test: `every_answer_has_the_shape_of_zookeepers`)

use std::collections::BTreeSet;
use std::fmt::Write;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use innkeeper_runtime::Runtime;
use innkeeper_server::settings::VERSION;

use crate::metrics::render::{labels, samples};
use crate::metrics::{Metric, Provider, rows};
use crate::surface::Surface;

/// The type of the text.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The one route of the port for metrics.
pub(crate) fn router<R: Runtime>(surface: Surface<R>) -> Router {
    Router::new()
        .route("/metrics", get(serve::<R>).post(serve::<R>))
        .fallback(|| async { (StatusCode::NOT_FOUND, "the metrics are at /metrics\n") })
        .with_state(surface)
}

/// `GET` or `POST /metrics`: all metrics, or those that `?name[]=a&name[]=b` names, as in ZooKeeper.
pub(crate) async fn serve<R: Runtime>(
    State(surface): State<Surface<R>>,
    RawQuery(query): RawQuery,
) -> Response {
    let wanted = wanted(query.as_deref().unwrap_or_default());
    let mut rows = rows(&surface, Provider::Prometheus);
    if !wanted.is_empty() {
        rows.retain(|row| wanted.contains(row.name));
    }
    let mut text = render(&rows);
    if wanted.is_empty() {
        // Not a row: it has nothing to say but its labels.
        let _ = writeln!(
            text,
            "# HELP innkeeper_build_info The version of this node.\n# TYPE innkeeper_build_info gauge\n\
             innkeeper_build_info{{version=\"{VERSION}\"}} 1.0"
        );
    }
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

fn wanted(query: &str) -> BTreeSet<String> {
    form_urlencoded::parse(query.as_bytes())
        .filter(|(key, _)| key.eq_ignore_ascii_case("name[]"))
        .map(|(_, name)| name.into_owned())
        .collect()
}

/// The text of some rows.
pub(crate) fn render(rows: &[Metric]) -> String {
    let mut text = String::new();
    for row in rows {
        let name = row.name;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "# HELP {name} {}\n# TYPE {name} {}",
            row.help,
            row.value.kind()
        );
        for sample in samples(&row.value) {
            let labels = labels(&sample.labels);
            let _ = writeln!(text, "{name}{}{labels} {:?}", sample.suffix, sample.value);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_from_the_query() {
        assert!(wanted("").is_empty() && wanted("a=b&name=c").is_empty());
        assert_eq!(
            wanted("name[]=a&name%5b%5d=b%20c&x"),
            BTreeSet::from(["a".to_owned(), "b c".to_owned()])
        );
    }
}
