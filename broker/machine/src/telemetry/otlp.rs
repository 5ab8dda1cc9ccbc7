//! OpenTelemetry's `MetricsData` as far as it is shown: names, attributes and values.
//!
//! Place: what a client pushed is read when it comes, to know that it reads, and when somebody wants to see it. The
//! fields' numbers are those of `opentelemetry/proto/metrics/v1/metrics.proto`.
//!
//! Invariants: no input panics; nothing is taken on the word of a count; points beyond the caller's bound are an error.
//! What is not known is skipped, as protobuf has it. Nothing here calls itself.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// All that one push says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics<'a> {
    /// Of the process as a whole.
    pub resource: Attributes<'a>,
    pub metrics: Vec<Metric<'a>>,
}

/// One metric with its points, of which it may have several with different attributes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metric<'a> {
    pub name: &'a str,
    pub unit: &'a str,
    pub kind: Kind,
    pub points: Vec<Point<'a>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    Unknown,
    Gauge,
    Sum,
    Histogram,
    Summary,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point<'a> {
    pub attributes: Attributes<'a>,
    pub value: Value,
}

/// Names and values, as they came.
pub type Attributes<'a> = Vec<(&'a str, String)>;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Value {
    #[default]
    None,
    Int(i64),
    Double(f64),
    /// How many, and what they add up to.
    Distribution {
        count: u64,
        sum: f64,
    },
}

/// The bytes are no metrics, or more than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    Malformed,
    /// More metrics, points and attributes than the bound.
    TooMany,
}

/// Reads a push. `parts_max` is the most that there may be of metrics, points and attributes together.
pub fn read(bytes: &[u8], parts_max: usize) -> Result<Metrics<'_>, ReadError> {
    let mut reading = Reading {
        parts_left: parts_max,
    };
    let mut all = Metrics::default();
    for field in fields(bytes) {
        if let (1, Wire::Bytes(resource_metrics)) = field? {
            reading.resource_metrics(resource_metrics, &mut all)?;
        }
    }
    Ok(all)
}

struct Reading {
    parts_left: usize,
}

impl Reading {
    fn resource_metrics<'a>(&mut self, bytes: &'a [u8], all: &mut Metrics<'a>) -> Result<(), ReadError> {
        for field in fields(bytes) {
            match field? {
                (1, Wire::Bytes(resource)) => {
                    for field in fields(resource) {
                        if let (1, Wire::Bytes(attribute)) = field? {
                            all.resource.push(self.attribute(attribute)?);
                        }
                    }
                }
                (2, Wire::Bytes(scope)) => {
                    for field in fields(scope) {
                        if let (2, Wire::Bytes(metric)) = field? {
                            all.metrics.push(self.metric(metric)?);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn metric<'a>(&mut self, bytes: &'a [u8]) -> Result<Metric<'a>, ReadError> {
        self.count()?;
        let mut metric = Metric::default();
        for field in fields(bytes) {
            let (number, value) = field?;
            let Wire::Bytes(bytes) = value else { continue };
            let kind = match number {
                1 => {
                    metric.name = text(bytes)?;
                    continue;
                }
                3 => {
                    metric.unit = text(bytes)?;
                    continue;
                }
                5 => Kind::Gauge,
                7 => Kind::Sum,
                9 | 10 => Kind::Histogram,
                11 => Kind::Summary,
                _ => continue,
            };
            metric.kind = kind;
            // Only an exponential histogram has its attributes at another place.
            let attributes = match number {
                9 => 9,
                10 => 1,
                _ => 7,
            };
            for field in fields(bytes) {
                if let (1, Wire::Bytes(point)) = field? {
                    metric.points.push(self.point(point, kind, attributes)?);
                }
            }
        }
        Ok(metric)
    }

    fn point<'a>(&mut self, bytes: &'a [u8], kind: Kind, attributes: u32) -> Result<Point<'a>, ReadError> {
        self.count()?;
        let mut point = Point::default();
        let (mut counted, mut total) = (0, 0.0);
        let is_number = matches!(kind, Kind::Gauge | Kind::Sum);
        for field in fields(bytes) {
            match field? {
                (number, Wire::Bytes(attribute)) if number == attributes => {
                    point.attributes.push(self.attribute(attribute)?);
                }
                (4, Wire::Fixed64(bits)) if is_number => point.value = Value::Double(f64::from_bits(bits)),
                (6, Wire::Fixed64(bits)) if is_number => point.value = Value::Int(bits.cast_signed()),
                (4, Wire::Fixed64(bits)) => counted = bits,
                (5, Wire::Fixed64(bits)) => total = f64::from_bits(bits),
                _ => {}
            }
        }
        if !is_number {
            point.value = Value::Distribution {
                count: counted,
                sum: total,
            };
        }
        Ok(point)
    }

    /// A `KeyValue`. Lists, maps and bytes as values are left out.
    fn attribute<'a>(&mut self, bytes: &'a [u8]) -> Result<(&'a str, String), ReadError> {
        self.count()?;
        let (mut name, mut shown) = ("", String::new());
        for field in fields(bytes) {
            match field? {
                (1, Wire::Bytes(key)) => name = text(key)?,
                (2, Wire::Bytes(value)) => {
                    for field in fields(value) {
                        match field? {
                            (1, Wire::Bytes(value)) => shown = text(value)?.to_string(),
                            (2, Wire::Varint(value)) => shown = (value != 0).to_string(),
                            (3, Wire::Varint(value)) => shown = value.cast_signed().to_string(),
                            (4, Wire::Fixed64(bits)) => shown = f64::from_bits(bits).to_string(),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Ok((name, shown))
    }

    fn count(&mut self) -> Result<(), ReadError> {
        self.parts_left = self.parts_left.checked_sub(1).ok_or(ReadError::TooMany)?;
        Ok(())
    }
}

/// A field's value, by its wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// The fields of a protobuf message with their numbers, up to the first error.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = Result<(u32, Wire<'_>), ReadError>> {
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = field(&mut rest).ok_or(ReadError::Malformed);
        if field.is_err() {
            rest = &[];
        }
        Some(field)
    })
}

/// `None` where the bytes are no field. Groups, which protobuf gave up long ago, are none.
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u32, Wire<'a>)> {
    let key = u32::try_from(varint(rest)?).ok()?;
    let value = match key & 7 {
        0 => Wire::Varint(varint(rest)?),
        1 => Wire::Fixed64(u64::from_le_bytes(take(rest, 8)?.try_into().ok()?)),
        2 => {
            let len = usize::try_from(varint(rest)?).ok()?;
            Wire::Bytes(take(rest, len)?)
        }
        5 => {
            take(rest, 4)?;
            Wire::Fixed32
        }
        _ => return None,
    };
    let number = key >> 3;
    (number != 0).then_some((number, value))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has one bit left.
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(taken)
}

fn text(bytes: &[u8]) -> Result<&str, ReadError> {
    core::str::from_utf8(bytes).map_err(|_| ReadError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::vec;

    fn len(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut left = bytes.len();
        while left >= 0x80 {
            out.push(left as u8 | 0x80);
            left >>= 7;
        }
        out.push(left as u8);
        [out.as_slice(), bytes].concat()
    }

    fn fixed(number: u8, bits: u64) -> Vec<u8> {
        [&[number << 3 | 1][..], &bits.to_le_bytes()].concat()
    }

    fn attribute(field: u8, name: &str, value: &[u8]) -> Vec<u8> {
        len(field, &[len(1, name.as_bytes()), len(2, value)].concat())
    }

    fn metric(name: &str, data: u8, points: &[Vec<u8>]) -> Vec<u8> {
        let points: Vec<u8> = points.iter().flat_map(|point| len(1, point)).collect();
        len(
            2,
            &[len(1, name.as_bytes()), len(3, b"1"), len(data, &points)].concat(),
        )
    }

    fn push(metrics: &[Vec<u8>]) -> Vec<u8> {
        let resource = len(1, &attribute(1, "group_id", &len(1, b"g")));
        // An unknown field of each wire type is passed over.
        let unknown = [&[0x78, 0x96, 0x01][..], &fixed(14, 3), &[0x6d, 1, 2, 3, 4]].concat();
        let scope = len(2, &metrics.concat());
        len(1, &[resource, unknown, scope].concat())
    }

    fn some() -> Vec<u8> {
        push(&[
            metric("a.gauge", 5, &[fixed(4, 1.5f64.to_bits())]),
            metric(
                "a.sum",
                7,
                &[
                    [
                        fixed(6, (-3i64).cast_unsigned()),
                        attribute(7, "node", &len(1, b"n1")),
                    ]
                    .concat(),
                    [
                        fixed(6, 4),
                        attribute(7, "id", &[0x18, 7]),
                        attribute(7, "on", &[0x10, 1]),
                    ]
                    .concat(),
                ],
            ),
            metric(
                "a.histogram",
                9,
                &[[
                    fixed(4, 9),
                    fixed(5, 2.5f64.to_bits()),
                    attribute(9, "x", &fixed(4, 0.5f64.to_bits())),
                ]
                .concat()],
            ),
            metric(
                "exponential",
                10,
                &[[attribute(1, "y", &len(1, b"z")), fixed(4, 2)].concat()],
            ),
            metric("a.summary", 11, &[fixed(4, 1)]),
        ])
    }

    #[test]
    fn names_attributes_and_values_are_read() {
        let bytes = some();
        let read = read(&bytes, 100).unwrap();
        assert_eq!(read.resource, [("group_id", "g".to_string())]);
        let shown: Vec<_> = read
            .metrics
            .iter()
            .map(|metric| (metric.name, metric.unit, metric.kind, metric.points.clone()))
            .collect();
        let point = |attributes: &[(&'static str, &str)], value| Point {
            attributes: attributes
                .iter()
                .map(|(name, text)| (*name, text.to_string()))
                .collect(),
            value,
        };
        let of = |count, sum| Value::Distribution { count, sum };
        let sums = vec![
            point(&[("node", "n1")], Value::Int(-3)),
            point(&[("id", "7"), ("on", "true")], Value::Int(4)),
        ];
        assert_eq!(
            shown,
            [
                ("a.gauge", "1", Kind::Gauge, vec![point(&[], Value::Double(1.5))]),
                ("a.sum", "1", Kind::Sum, sums),
                (
                    "a.histogram",
                    "1",
                    Kind::Histogram,
                    vec![point(&[("x", "0.5")], of(9, 2.5))]
                ),
                (
                    "exponential",
                    "1",
                    Kind::Histogram,
                    vec![point(&[("y", "z")], of(2, 0.0))]
                ),
                ("a.summary", "1", Kind::Summary, vec![point(&[], of(1, 0.0))]),
            ]
        );
    }

    #[test]
    fn there_may_be_so_many_parts_and_no_more() {
        // A resource's attribute, 5 metrics, 6 points and 5 attributes of theirs.
        let bytes = some();
        assert!(read(&bytes, 17).is_ok());
        assert_eq!(read(&bytes, 16), Err(ReadError::TooMany));
        assert_eq!(read(&[], 0), Ok(Metrics::default()));
    }

    #[test]
    fn what_is_no_message_is_malformed() {
        for bytes in [
            &[0x0a][..],
            &[0x0a, 5, 1],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            &[0x0b],
            &[0x02, 0],
            &[0x09, 1, 2, 3],
            &[0xff; 20],
        ] {
            assert_eq!(read(bytes, 10), Err(ReadError::Malformed), "{bytes:?}");
        }
        let no_text = push(&[len(2, &len(1, &[0xff]))]);
        assert_eq!(read(&no_text, 10), Err(ReadError::Malformed));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let good = some();
        for end in 0..good.len() {
            let _ = read(&good[..end], 100);
        }
        let mut random = Random::new(7);
        for _ in 0..50_000 {
            let mut bytes = good.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = random.next() as u8;
            }
            let _ = read(&bytes, 100);
        }
    }
}
