//! Latencies of one load: the percentiles, the curve through them, and the histogram that they come from.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer as SerdeDeserializer, Serialize, Serializer};

use crate::limits::{CURVE_POINTS_MAX, LATENCY_NANOS_MAX};

/// Latencies in nanoseconds, told apart to three digits. Written as base64 of HdrHistogram's V2 format, deflated,
/// which HdrHistogram's tools in other languages read too.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyHistogram(Histogram<u64>);

impl LatencyHistogram {
    /// Takes all its memory here.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_NANOS_MAX, SIGNIFICANT_DIGITS);
        let mut histogram = histogram.expect("the bounds are constants that the histogram accepts");
        // The first touch of a page would otherwise be timed as the server's latency.
        histogram.saturating_record(LATENCY_NANOS_MAX);
        histogram.reset();
        LatencyHistogram(histogram)
    }

    /// Longer ones than the histogram tells apart count as the longest.
    pub fn record(&mut self, elapsed: Duration) {
        self.0.saturating_record(nanos(elapsed));
    }

    /// Notes the same latency `count` times.
    pub fn record_n(&mut self, elapsed: Duration, count: u64) {
        self.0.saturating_record_n(nanos(elapsed), count);
    }

    /// Adds what another one holds: percentiles of several rounds are those of the sum, not their mean.
    pub fn merge(&mut self, other: &LatencyHistogram) {
        let added = self.0.add(&other.0);
        added.expect("all histograms have the same bounds");
    }

    pub fn clear(&mut self) {
        self.0.reset();
    }

    pub fn samples(&self) -> u64 {
        self.0.len()
    }

    /// In microseconds; zero of nothing.
    pub fn quantile_us(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }

    /// In microseconds; zero of nothing.
    pub fn max_us(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    pub fn percentiles(&self) -> Latency {
        Latency {
            p50_us: self.quantile_us(0.5),
            p90_us: self.quantile_us(0.9),
            p95_us: self.quantile_us(0.95),
            p99_us: self.quantile_us(0.99),
            p999_us: self.quantile_us(0.999),
            p9999_us: self.quantile_us(0.9999),
            p99999_us: self.quantile_us(0.99999),
            max_us: self.max_us(),
            samples: self.samples(),
        }
    }

    /// Latency by quantile, ever denser towards the slowest; at most [`CURVE_POINTS_MAX`] points, the last of them
    /// the maximum. Empty of nothing.
    pub fn curve(&self) -> Vec<CurvePoint> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let steps = self.0.iter_quantiles(CURVE_STEPS_PER_HALVING);
        let mut points: Vec<CurvePoint> = steps
            .take(CURVE_POINTS_MAX - 1)
            .map(|step| CurvePoint {
                quantile: step.quantile_iterated_to(),
                us: step.value_iterated_to().min(self.0.max()) as f64 / 1e3,
            })
            .filter(|point| point.quantile < 1.0)
            .collect();
        points.push(CurvePoint {
            quantile: 1.0,
            us: self.max_us(),
        });
        points
    }

    fn encode(&self) -> Result<String, String> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.0, &mut bytes)
            .map_err(|error| error.to_string())?;
        Ok(STANDARD.encode(bytes))
    }

    fn decode(text: &str) -> Result<Self, String> {
        let bytes = STANDARD.decode(text).map_err(|error| error.to_string())?;
        let histogram = Deserializer::new()
            .deserialize::<u64, _>(&mut bytes.as_slice())
            .map_err(|error| format!("{error:?}"))?;
        let mut own = LatencyHistogram::new();
        own.0
            .add(&histogram)
            .map_err(|error| format!("latencies beyond what is told apart: {error}"))?;
        Ok(own)
    }
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        LatencyHistogram::new()
    }
}

impl Serialize for LatencyHistogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.encode().map_err(S::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for LatencyHistogram {
    fn deserialize<D: SerdeDeserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        LatencyHistogram::decode(&text)
            .map_err(|error| D::Error::custom(format!("not a histogram of latencies: {error}")))
    }
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub p50_us: f64,
    pub p90_us: f64,
    pub p95_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub p9999_us: f64,
    pub p99999_us: f64,
    pub max_us: f64,
    /// Requests timed, or records where those are timed: a percentile that leaves out less than one of them is the
    /// maximum.
    pub samples: u64,
}

/// A point of the curve "latency by quantile".
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Share of the requests that were at least as fast, above 0, at most 1.
    pub quantile: f64,
    pub us: f64,
}

fn nanos(elapsed: Duration) -> u64 {
    let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
    nanos.clamp(1, LATENCY_NANOS_MAX)
}

const SIGNIFICANT_DIGITS: u8 = 3;

/// Points of the curve each time that the share of slower requests halves.
const CURVE_STEPS_PER_HALVING: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each millisecond from 1 to `n`.
    fn ramp(n: u64) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::new();
        (1..=n).for_each(|millis| histogram.record(Duration::from_millis(millis)));
        histogram
    }

    fn near(got: f64, want: f64) {
        assert!((got / want - 1.0).abs() < 0.002, "{got} is not about {want}");
    }

    #[test]
    fn each_percentile_is_the_latency_that_its_share_of_requests_did_not_exceed() {
        let mut histogram = LatencyHistogram::new();
        let shares = [500_000, 400_000, 50_000, 40_000, 9_000, 900, 90, 10];
        for (millis, count) in (1..).zip(shares) {
            histogram.record_n(Duration::from_millis(millis), count);
        }
        let latency = histogram.percentiles();
        near(latency.p50_us, 1e3);
        near(latency.p90_us, 2e3);
        near(latency.p95_us, 3e3);
        near(latency.p99_us, 4e3);
        near(latency.p999_us, 5e3);
        near(latency.p9999_us, 6e3);
        near(latency.p99999_us, 7e3);
        near(latency.max_us, 8e3);
        assert_eq!(latency.samples, 1_000_000);
    }

    #[test]
    fn the_curve_rises_to_the_maximum_within_its_bound() {
        let histogram = ramp(10_000);
        let curve = histogram.curve();
        assert!((40..=CURVE_POINTS_MAX).contains(&curve.len()), "{}", curve.len());
        assert!(
            curve
                .windows(2)
                .all(|pair| pair[0].quantile < pair[1].quantile && pair[0].us <= pair[1].us),
            "{curve:?}"
        );
        let at = |quantile: f64| curve.iter().find(|point| point.quantile >= quantile).unwrap().us;
        assert!((4.9e6..5.6e6).contains(&at(0.5)), "{}", at(0.5));
        assert!((9.89e6..9.96e6).contains(&at(0.99)), "{}", at(0.99));
        let last = curve[curve.len() - 1];
        assert_eq!((last.quantile, last.us), (1.0, histogram.max_us()));
        assert!(LatencyHistogram::new().curve().is_empty());
    }

    #[test]
    fn a_merged_histogram_is_that_of_all_requests() {
        let mut merged = ramp(1000);
        (1001..=2000).for_each(|millis| merged.record(Duration::from_millis(millis)));
        let mut sum = ramp(1000);
        let mut slow = LatencyHistogram::new();
        (1001..=2000).for_each(|millis| slow.record(Duration::from_millis(millis)));
        sum.merge(&slow);
        assert_eq!(sum, merged);
        near(sum.percentiles().p50_us, 1e6);
    }

    #[test]
    fn a_histogram_survives_being_written_and_read() {
        let histogram = ramp(5000);
        let text = serde_json::to_string(&histogram).unwrap();
        assert!(text.len() < 20_000, "{} bytes", text.len());
        assert_eq!(
            serde_json::from_str::<LatencyHistogram>(&text).unwrap(),
            histogram
        );
        for broken in ["\"\"", "\"!\"", "\"AAAA\"", "7"] {
            assert!(
                serde_json::from_str::<LatencyHistogram>(broken).is_err(),
                "{broken}"
            );
        }
    }

    #[test]
    fn what_is_too_long_to_tell_apart_counts_as_the_longest() {
        let mut histogram = LatencyHistogram::new();
        histogram.record(Duration::from_secs(100_000));
        near(histogram.max_us(), LATENCY_NANOS_MAX as f64 / 1e3);
    }
}
