//! Names and values, as ZooKeeper's `mntr` and `/commands/monitor` list them.
//!
//! ZooKeeper lists what its metrics provider has: the built-in one spreads a summary over
//! `avg_`, `min_`, `max_`, `cnt_`, `sum_` and, in detail, `p50_` to `p999_`; the Prometheus one
//! lists samples, labels included. Here the same, by whether `/metrics` has a port of its own,
//! which is what choosing that provider means.

use super::Provider;
use super::metric::{Detail, Distribution, Metric, Number, Value};

/// The quantiles that the Prometheus provider shows.
pub(crate) fn quantiles(detail: Detail) -> &'static [f64] {
    match detail {
        Detail::Basic => &[0.5],
        Detail::Advanced => &[0.5, 0.9, 0.99],
    }
}

/// A sample as Prometheus names it.
#[derive(Debug, PartialEq)]
pub(crate) struct Sample {
    /// What follows the row's name: nothing, `_count` or `_sum`.
    pub(crate) suffix: &'static str,
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) value: f64,
}

/// The samples of a row.
pub(crate) fn samples(value: &Value) -> Vec<Sample> {
    let plain = |labels: Vec<_>, value| Sample {
        suffix: "",
        labels,
        value,
    };
    match value {
        Value::Gauge(number) => vec![plain(Vec::new(), number.as_f64())],
        Value::Counter(count) => vec![plain(Vec::new(), *count as f64)],
        Value::Seconds(seconds) => vec![plain(Vec::new(), *seconds)],
        Value::Summary(distribution) => of_distribution(distribution, None),
        Value::Gauges(label, all) => all
            .iter()
            .map(|(key, number)| plain(vec![(*label, key.clone())], number.as_f64()))
            .collect(),
        Value::Counters(label, all) => all
            .iter()
            .map(|(key, count)| plain(vec![(*label, key.clone())], *count as f64))
            .collect(),
        Value::Summaries(label, all) => all
            .iter()
            .flat_map(|(key, one)| of_distribution(one, Some((*label, key))))
            .collect(),
    }
}

fn of_distribution(one: &Distribution, key: Option<(&'static str, &String)>) -> Vec<Sample> {
    let labels: Vec<_> = key
        .map(|(label, key)| (label, key.clone()))
        .into_iter()
        .collect();
    let mut samples: Vec<_> = quantiles(one.detail)
        .iter()
        .map(|share| {
            let quantile = one.reading.quantile(*share);
            let mut labels = labels.clone();
            labels.push(("quantile", share.to_string()));
            Sample {
                suffix: "",
                labels,
                value: quantile.map_or(f64::NAN, |value| one.scaled(value)),
            }
        })
        .collect();
    samples.push(Sample {
        suffix: "_count",
        labels: labels.clone(),
        value: one.reading.count as f64,
    });
    samples.push(Sample {
        suffix: "_sum",
        labels,
        value: one.scaled(one.reading.sum as f64),
    });
    samples
}

/// `{a="b",c="d"}`, or nothing.
pub(crate) fn labels(labels: &[(&'static str, String)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let all: Vec<_> = labels
        .iter()
        .map(|(label, value)| {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            format!("{label}=\"{value}\"")
        })
        .collect();
    format!("{{{}}}", all.join(","))
}

/// Names and values, as that provider lists them.
pub(crate) fn lines(rows: &[Metric], provider: Provider) -> Vec<(String, Number)> {
    let mut lines = Vec::new();
    for row in rows {
        if provider == Provider::Prometheus {
            lines.extend(samples(&row.value).into_iter().map(|sample| {
                let labels = labels(&sample.labels);
                let name = format!("{}{}{labels}", row.name, sample.suffix);
                (name, Number::Float(sample.value))
            }));
        } else {
            spread(row, &mut lines);
        }
    }
    lines
}

fn spread(row: &Metric, lines: &mut Vec<(String, Number)>) {
    let keyed = |key: &str| format!("{key}_{}", row.name);
    match &row.value {
        Value::Gauge(number) => lines.push((row.name.to_owned(), *number)),
        Value::Counter(count) => lines.push((row.name.to_owned(), (*count).into())),
        Value::Seconds(seconds) => lines.push((row.name.to_owned(), Number::Float(*seconds))),
        Value::Gauges(_, all) => {
            lines.extend(all.iter().map(|(key, number)| (keyed(key), *number)));
        }
        Value::Counters(_, all) => {
            lines.extend(all.iter().map(|(key, count)| (keyed(key), (*count).into())));
        }
        Value::Summary(one) => spread_distribution(row.name, one, lines),
        Value::Summaries(_, all) => {
            for (key, one) in all {
                spread_distribution(&keyed(key), one, lines);
            }
        }
    }
}

fn spread_distribution(name: &str, one: &Distribution, lines: &mut Vec<(String, Number)>) {
    let reading = &one.reading;
    let mut push = |prefix: &str, number| lines.push((format!("{prefix}_{name}"), number));
    push("avg", rounded(one.scaled(reading.average())));
    push("min", Number::Int(one.whole(reading.min() as f64)));
    push("max", Number::Int(one.whole(reading.max() as f64)));
    push("cnt", reading.count.into());
    push("sum", Number::Int(one.whole(reading.sum as f64)));
    if one.detail == Detail::Advanced {
        for (prefix, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)] {
            let quantile = reading.quantile(share).unwrap_or(0.0);
            push(prefix, Number::Int(one.whole(quantile)));
        }
    }
}

/// A fraction with the four decimals that ZooKeeper keeps.
pub(crate) fn rounded(value: f64) -> Number {
    Number::Float((value * 10_000.0).round() / 10_000.0)
}

#[cfg(test)]
mod tests {
    use innkeeper_raft::histogram::Summary;

    use super::super::metric::Unit;
    use super::*;

    fn row(value: Value) -> Metric {
        Metric {
            name: "thing",
            help: "A thing.",
            value,
        }
    }

    fn shown(rows: &[Metric], provider: Provider) -> Vec<String> {
        lines(rows, provider)
            .into_iter()
            .map(|(name, number)| format!("{name} {number}"))
            .collect()
    }

    #[test]
    fn summaries_are_spread_as_each_provider_does() {
        let summary = Summary::default();
        summary.add_many(1000, 3);
        summary.add(3000);
        let distribution = |detail| Distribution {
            reading: summary.read(),
            unit: Unit::Time,
            detail,
        };
        let rows = [row(Value::Summary(distribution(Detail::Basic)))];
        assert_eq!(
            shown(&rows, Provider::Default),
            [
                "avg_thing 1.5",
                "min_thing 1",
                "max_thing 3",
                "cnt_thing 4",
                "sum_thing 6"
            ]
        );
        let found = shown(&rows, Provider::Prometheus);
        assert!(
            found[0].starts_with("thing{quantile=\"0.5\"} "),
            "{found:?}"
        );
        assert_eq!(found[1..], ["thing_count 4.0", "thing_sum 6.0"]);
        let of_key = vec![("a\"b".to_owned(), distribution(Detail::Advanced))];
        let rows = [row(Value::Summaries("key", of_key))];
        assert_eq!(
            shown(&rows, Provider::Default)[4..],
            [
                "sum_a\"b_thing 6",
                "p50_a\"b_thing 1",
                "p95_a\"b_thing 3",
                "p99_a\"b_thing 3",
                "p999_a\"b_thing 3"
            ]
        );
        let found = shown(&rows, Provider::Prometheus);
        assert_eq!(found.len(), 5);
        assert!(
            found[0].starts_with("thing{key=\"a\\\"b\",quantile=\"0.5\"} "),
            "{found:?}"
        );
    }

    #[test]
    fn nothing_recorded_is_no_number_for_prometheus_and_zero_for_mntr() {
        let nothing = Distribution {
            reading: Summary::default().read(),
            unit: Unit::Plain,
            detail: Detail::Basic,
        };
        let rows = [
            row(Value::Summary(nothing)),
            row(Value::Gauges("key", Vec::new())),
            row(Value::Gauge(Number::Int(-1))),
        ];
        assert_eq!(
            shown(&rows, Provider::Prometheus),
            [
                "thing{quantile=\"0.5\"} NaN",
                "thing_count 0.0",
                "thing_sum 0.0",
                "thing -1.0"
            ]
        );
        assert_eq!(shown(&rows, Provider::Default)[0], "avg_thing 0.0");
        assert_eq!(shown(&rows, Provider::Default)[1], "min_thing 0");
    }
}
