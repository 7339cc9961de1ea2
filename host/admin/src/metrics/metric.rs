//! One metric with its name and its value, ready to be rendered.

use innkeeper_raft::histogram::Reading;

/// A whole number or a fraction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Number::Int(int) => int as f64,
            Number::Float(float) => float,
        }
    }
}

impl std::fmt::Display for Number {
    /// A fraction always shows that it is one, as Java prints it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Number::Int(int) => write!(f, "{int}"),
            Number::Float(float) => write!(f, "{float:?}"),
        }
    }
}

/// A number in JSON; what is no number is null there.
pub(crate) fn json_number(number: Number) -> serde_json::Value {
    match number {
        Number::Int(int) => int.into(),
        Number::Float(float) => float.into(),
    }
}

impl From<u64> for Number {
    fn from(int: u64) -> Self {
        Number::Int(i64::try_from(int).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Number {
    fn from(int: usize) -> Self {
        Number::Int(i64::try_from(int).unwrap_or(i64::MAX))
    }
}

/// How much of a distribution is shown, in ZooKeeper's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// The median.
    Basic,
    /// High quantiles as well.
    Advanced,
}

/// What a distribution's numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// They are shown as they were recorded.
    Plain,
    /// Recorded in microseconds, shown in milliseconds.
    Time,
}

/// A distribution.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Distribution {
    pub(crate) reading: Reading,
    pub(crate) unit: Unit,
    pub(crate) detail: Detail,
}

impl Distribution {
    /// In the unit that is shown.
    pub(crate) fn scaled(&self, recorded: f64) -> f64 {
        match self.unit {
            Unit::Plain => recorded,
            Unit::Time => recorded / 1000.0,
        }
    }

    /// The same as a whole number.
    pub(crate) fn whole(&self, recorded: f64) -> i64 {
        self.scaled(recorded).round() as i64
    }
}

/// A metric's value, and what kind of metric it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A number that goes up and down.
    Gauge(Number),
    /// A number that only grows, until it is reset.
    Counter(u64),
    /// A counter of seconds.
    Seconds(f64),
    /// A distribution since the last reset.
    Summary(Distribution),
    /// Gauges under one name, told apart by a label: its name, and its value for each gauge.
    Gauges(&'static str, Vec<(String, Number)>),
    /// Counters under one name, told apart by a label.
    Counters(&'static str, Vec<(String, u64)>),
    /// Summaries under one name, told apart by a label.
    Summaries(&'static str, Vec<(String, Distribution)>),
}

impl Value {
    /// Prometheus's name for the kind.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Gauge(_) | Value::Gauges(..) => "gauge",
            Value::Counter(_) | Value::Seconds(_) | Value::Counters(..) => "counter",
            Value::Summary(_) | Value::Summaries(..) => "summary",
        }
    }
}

/// One metric.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    /// One sentence.
    pub(crate) help: &'static str,
    pub(crate) value: Value,
}
