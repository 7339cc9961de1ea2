//! Measures the latencies of one client.

use std::pin::pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use innkeeper_runtime::{Select2, select2};
use serde::Serialize;
use zookeeper_client as zk;

/// The znode that the client writes and reads.
pub(super) const PATH: &str = "/probe";

/// One measured request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// When it was answered, in milliseconds since 1970.
    pub(super) done_ms: u64,
    took: Duration,
    is_write: bool,
}

/// The latencies of one kind of request.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Latency {
    /// The number of answered requests.
    pub(super) requests: usize,
    /// The median, in milliseconds.
    pub(super) p50_ms: f64,
    /// The 99th percentile, in milliseconds.
    pub(super) p99_ms: f64,
    /// The maximum, in milliseconds.
    pub(super) max_ms: f64,
}

/// The latencies of a span of time.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Latencies {
    /// Durable writes (setData).
    pub(super) writes: Latency,
    /// Reads (getData).
    pub(super) reads: Latency,
}

impl Latencies {
    /// The latencies of the samples; `None` without a write or without a read.
    pub(super) fn of(samples: &[Sample]) -> Option<Self> {
        let of = |is_write| {
            let kind = samples.iter().filter(|sample| sample.is_write == is_write);
            latency(kind.map(|sample| sample.took).collect())
        };
        Some(Self {
            writes: of(true)?,
            reads: of(false)?,
        })
    }
}

fn latency(mut took: Vec<Duration>) -> Option<Latency> {
    took.sort_unstable();
    let max = *took.last()?;
    let quantile =
        |hundredths: usize| took[(took.len() * hundredths).div_ceil(100).saturating_sub(1)];
    Some(Latency {
        requests: took.len(),
        p50_ms: ms(quantile(50)),
        p99_ms: ms(quantile(99)),
        max_ms: ms(max),
    })
}

/// Writes and reads [`PATH`] in turn, one request at a time, until `until` completes. A failed request
/// is an error.
pub(super) async fn run<T>(
    client: &zk::Client,
    until: impl Future<Output = T>,
) -> anyhow::Result<(Vec<Sample>, T)> {
    let mut until = pin!(until);
    let mut samples = Vec::new();
    for round in 0_u64.. {
        let is_write = round % 2 == 0;
        let started = Instant::now();
        let request = async {
            if is_write {
                client
                    .set_data(PATH, &round.to_le_bytes(), None)
                    .await
                    .map(drop)
            } else {
                client.get_data(PATH).await.map(drop)
            }
        };
        match select2(&mut until, request).await {
            Select2::First(done) => return Ok((samples, done)),
            Select2::Second(answer) => {
                answer.context("the request of a client failed")?;
                samples.push(Sample {
                    done_ms: wall_ms(),
                    took: started.elapsed(),
                    is_write,
                });
            }
        }
    }
    unreachable!("a demo ends before 2^64 requests")
}

/// Milliseconds since 1970, from the clock that the node stamps failures of guests with.
pub(super) fn wall_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A duration in milliseconds, for figures.
pub(super) fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_was_measured() {
        let of = |range: std::ops::RangeInclusive<u64>| {
            latency(range.rev().map(Duration::from_millis).collect())
        };
        let hundred = of(1..=100).expect("samples");
        assert_eq!(
            (
                hundred.requests,
                hundred.p50_ms,
                hundred.p99_ms,
                hundred.max_ms
            ),
            (100, 50.0, 99.0, 100.0)
        );
        let one = of(7..=7).expect("a sample");
        assert_eq!((one.p50_ms, one.p99_ms, one.max_ms), (7.0, 7.0, 7.0));
        assert!(latency(Vec::new()).is_none());
    }
}
