//! Durations as in ISO 8601, as far as Java reads them: `P1DT2H3M4.5S`.
//!
//! Place: what [`super::definition`] checks texts with.

/// Whether `text` is a duration of zero or more that fits into 64 bits of seconds.
pub fn is_not_negative(text: &str) -> bool {
    duration_ns(&text.to_ascii_uppercase()).is_some_and(|ns| ns >= 0)
}

/// Of a text in upper case, in nanoseconds.
fn duration_ns(text: &str) -> Option<i128> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let rest = rest.strip_prefix('P')?;
    let (days, time) = match rest.split_once('T') {
        // A `T` announces something.
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (rest, ""),
    };
    if days.is_empty() && time.is_empty() {
        return None;
    }
    let (days, rest) = part(days, 'D')?;
    if !rest.is_empty() {
        return None;
    }
    let (hours, rest) = part(time, 'H')?;
    let (minutes, rest) = part(rest, 'M')?;
    let seconds = match rest {
        "" => 0,
        seconds => seconds_ns(seconds.strip_suffix('S')?)?,
    };
    let minutes = (days * 24 + hours) * 60 + minutes;
    let ns = minutes * 60 * NS_PER_S + seconds;
    i64::try_from(ns / NS_PER_S).ok()?;
    Some(sign * ns)
}

/// The number before `unit`, 0 where the unit is not there, and what comes after it.
fn part(text: &str, unit: char) -> Option<(i128, &str)> {
    match text.split_once(unit) {
        None => Some((0, text)),
        Some((number, rest)) => Some((number.parse::<i64>().ok()?.into(), rest)),
    }
}

/// Of seconds with at most nine digits behind a point or a comma, which may be none.
fn seconds_ns(text: &str) -> Option<i128> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let number = i128::from(whole.parse::<i64>().ok()?);
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain(core::iter::repeat(b'0')).take(9);
    let ns = digits.fold(0, |ns, digit| ns * 10 + i128::from(digit - b'0'));
    let sign = if whole.starts_with('-') { -1 } else { 1 };
    Some(number * NS_PER_S + sign * ns)
}

const NS_PER_S: i128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_java() {
        for text in [
            "PT0S",
            "P1D",
            "pt1h",
            "P1DT2H3M4.5S",
            "PT1.S",
            "PT1,5S",
            "+P1D",
            "PT-1H+61M",
            "-PT-1S",
            "P-1DT24H",
            "PT0.000000001S",
        ] {
            assert!(is_not_negative(text), "{text}");
        }
        for text in [
            "",
            "P",
            "PT",
            "P1DT",
            "1D",
            "P1",
            "PT1",
            "P1H",
            "PT1D",
            "PT1M1H",
            "PT.5S",
            "PT0.0000000001S",
            "PT1.xS",
            "-PT1S",
            "PT-1S",
            "PT-0.5S",
            "P-1DT23H",
            "P1D1D",
            "P 1D",
            "P106751991167301D",
            "PT9223372036854775808S",
        ] {
            assert!(!is_not_negative(text), "{text}");
        }
    }
}
