//! Amounts, rates and counts as a scenario file writes them: "256 MiB", "1000000 records", "50 MB/s".

use std::time::Duration;

use serde::Deserialize;

/// So many of something that has a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Count<const MAX: i64>(usize);

impl<const MAX: i64> Count<MAX> {
    pub fn get(self) -> usize {
        self.0
    }
}

impl<const MAX: i64> TryFrom<i64> for Count<MAX> {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match usize::try_from(number) {
            Ok(count) if (1..=MAX).contains(&number) => Ok(Count(count)),
            _ => Err(format!("{number} is not a whole number from 1 to {MAX}")),
        }
    }
}

/// Bytes, above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Bytes(pub u64);

impl TryFrom<String> for Bytes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match parse(&text) {
            Some((number, Unit::Bytes(unit))) if number * unit >= 1.0 => Ok(Bytes((number * unit) as u64)),
            _ => Err(format!(
                "\"{text}\" is no size: write it as \"64 KiB\", \"1 MiB\", \"500 MB\" or \"2 GiB\""
            )),
        }
    }
}

/// How much is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Amount {
    /// Of record batches.
    Bytes(u64),
    Records(u64),
}

impl TryFrom<String> for Amount {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match parse(&text) {
            Some((number, Unit::Bytes(unit))) if number * unit >= 1.0 => {
                Ok(Amount::Bytes((number * unit) as u64))
            }
            Some((number, Unit::Records)) if number >= 1.0 => Ok(Amount::Records(number as u64)),
            _ => Err(format!(
                "\"{text}\" is no amount: write it as \"256 MiB\", \"2 GB\" or \"1000000 records\""
            )),
        }
    }
}

/// How much a second.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub enum Rate {
    /// Of the records' values.
    Bytes(f64),
    Records(f64),
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let amount = text.trim().strip_suffix("/s").and_then(parse);
        match amount.filter(|&(number, _)| number > 0.0) {
            Some((number, Unit::Bytes(unit))) => Ok(Rate::Bytes(number * unit)),
            Some((number, Unit::Records)) => Ok(Rate::Records(number)),
            None => Err(format!(
                "\"{text}\" is no rate: write it as \"50 MB/s\", \"512 KiB/s\" or \"20000 records/s\""
            )),
        }
    }
}

/// A time above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Time(pub Duration);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (number, unit) = split(&text).unwrap_or((0.0, ""));
        let seconds = match unit {
            "us" | "µs" => number / 1e6,
            "ms" => number / 1e3,
            "s" => number,
            _ => 0.0,
        };
        match (1e-6..=TIME_SECONDS_MAX).contains(&seconds) {
            true => Ok(Time(Duration::from_secs_f64(seconds))),
            false => Err(format!(
                "\"{text}\" is no time up to {TIME_SECONDS_MAX} s: write it as \"500 us\", \"10 ms\" or \"1 s\""
            )),
        }
    }
}

const TIME_SECONDS_MAX: f64 = 60.0;

enum Unit {
    Bytes(f64),
    Records,
}

/// A number of something. `None` where either is not one.
fn parse(text: &str) -> Option<(f64, Unit)> {
    let (number, unit) = split(text)?;
    let unit = match unit {
        "B" | "bytes" => Unit::Bytes(1.0),
        "kB" | "KB" => Unit::Bytes(1e3),
        "MB" => Unit::Bytes(1e6),
        "GB" => Unit::Bytes(1e9),
        "KiB" => Unit::Bytes(1024.0),
        "MiB" => Unit::Bytes(1048576.0),
        "GiB" => Unit::Bytes(1073741824.0),
        "record" | "records" => Unit::Records,
        _ => return None,
    };
    Some((number, unit))
}

fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')?;
    let (number, unit) = text.split_at(end);
    Some((number.replace('_', "").parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_understood_with_and_without_a_space() {
        let bytes = |text: &str| Bytes::try_from(text.to_owned()).map(|bytes| bytes.0);
        assert_eq!(bytes("64 KiB"), Ok(65536));
        assert_eq!(bytes("1.5MB"), Ok(1_500_000));
        assert_eq!(bytes("1_000 B"), Ok(1000));
        let amount = |text: &str| Amount::try_from(text.to_owned());
        assert_eq!(amount("2 GiB"), Ok(Amount::Bytes(2 << 30)));
        assert_eq!(amount("5000 records"), Ok(Amount::Records(5000)));
        let rate = |text: &str| Rate::try_from(text.to_owned());
        assert_eq!(rate("50 MB/s"), Ok(Rate::Bytes(50e6)));
        assert_eq!(rate("0.5 records/s"), Ok(Rate::Records(0.5)));
        let time = |text: &str| Time::try_from(text.to_owned()).map(|time| time.0.as_micros());
        assert_eq!(
            (time("10ms"), time("500 us"), time("1.5 s")),
            (Ok(10_000), Ok(500), Ok(1_500_000))
        );
    }

    #[test]
    fn what_is_none_is_refused_with_an_example() {
        for bad in [
            "",
            "MiB",
            "12",
            "0 MiB",
            "1..5 MiB",
            "-1 MiB",
            "5 miles",
            "5 records",
        ] {
            let error = Bytes::try_from(bad.to_owned()).unwrap_err();
            assert!(error.contains("1 MiB"), "{bad}: {error}");
        }
        for bad in ["50 MB", "0 records/s", "fast", "50 MB/min"] {
            let error = Rate::try_from(bad.to_owned()).unwrap_err();
            assert!(error.contains("50 MB/s"), "{bad}: {error}");
        }
        for bad in ["10", "0 ms", "2 min", "90 s"] {
            let error = Time::try_from(bad.to_owned()).unwrap_err();
            assert!(error.contains("10 ms"), "{bad}: {error}");
        }
        assert!(Amount::try_from("0 records".to_owned()).is_err());
        assert!(Count::<10>::try_from(11).unwrap_err().contains("1 to 10"));
        assert!(Count::<10>::try_from(0).is_err());
    }
}
