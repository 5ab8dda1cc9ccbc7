//! Positions in a topic, as people write them.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::client::Position;
use crate::config::units;
use crate::telemetry::civil_time;

/// `beginning`, `end`, an offset, `-N` (the last N), `@MILLISECONDS`, a date or moment (UTC without a zone),
/// or a duration such as `30m`: that long ago.
pub fn parse_position(text: &str) -> Result<Position, String> {
    parse_at(text, now())
}

fn parse_at(text: &str, now: i64) -> Result<Position, String> {
    let text = text.trim();
    match text {
        "beginning" | "start" | "earliest" => return Ok(Position::Beginning),
        "end" | "latest" => return Ok(Position::End),
        _ => {}
    }
    if let Ok(offset) = text.parse::<i64>() {
        return Ok(if text.starts_with('-') {
            Position::Last(offset.saturating_neg())
        } else {
            Position::Offset(offset)
        });
    }
    if let Some(at) = parse_moment(text) {
        return Ok(Position::Time(at));
    }
    if let Some(ago) = units::parse_millis(text)
        .ok()
        .and_then(|ago| i64::try_from(ago).ok())
    {
        return Ok(Position::Time(now.saturating_sub(ago)));
    }
    Err(
        "expected beginning, end, an offset, -N for the last N, a time such as 2026-11-21T12:00 or 30m (ago)"
            .to_owned(),
    )
}

/// `@MILLISECONDS` or a date or moment, as milliseconds since 1970.
pub fn parse_moment(text: &str) -> Option<i64> {
    match text.strip_prefix('@') {
        Some(millis) => millis.parse().ok(),
        None => civil_time::parse_millis(text),
    }
}

/// The wall clock, in milliseconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions() {
        let check =
            |text: &str, expected: Position| assert_eq!(parse_at(text, 1_000_000), Ok(expected), "{text}");
        check("beginning", Position::Beginning);
        check("end", Position::End);
        check("0", Position::Offset(0));
        check("12345", Position::Offset(12_345));
        check("-10", Position::Last(10));
        check("@1700000000000", Position::Time(1_700_000_000_000));
        check("1970-01-02", Position::Time(86_400_000));
        check("1970-01-01T00:00:01+00:00", Position::Time(1_000));
        check("10s", Position::Time(990_000));
        assert!(parse_at("soon", 0).unwrap_err().contains("-N for the last N"));
    }
}
