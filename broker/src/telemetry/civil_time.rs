//! Milliseconds since 1970 ↔ `2026-11-21T11:20:00.123Z` (RFC 3339, UTC, proleptic Gregorian, no leap
//! seconds).

/// The text of a moment. Years outside 0 to 9999 are written with as many digits as they need.
pub fn format_millis(millis: i64) -> String {
    let (days, of_day) = (millis.div_euclid(DAY_MS), millis.rem_euclid(DAY_MS));
    let (year, month, day) = date_of_days(days);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Reads `YYYY-MM-DD`, and behind it `THH:MM[:SS[.fraction]]` with `Z` or `±HH:MM`; without a zone it is UTC.
pub fn parse_millis(text: &str) -> Option<i64> {
    let text = text.trim();
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.splitn(3, '-');
    let year = number(parts.next()?, 4)?;
    let month = number(parts.next()?, 2)?;
    let day = number(parts.next()?, 2)?;
    let days = days_of_date(year, month, day);
    if date_of_days(days) != (year, month, day) {
        return None;
    }
    let of_day = time.map_or(Some(0), time_of_day)?;
    Some(days * DAY_MS + of_day)
}

/// Milliseconds since midnight UTC; a zone may take it below zero or past a day.
fn time_of_day(text: &str) -> Option<i64> {
    let (clock, zone_ms) = if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        (clock, 0)
    } else if let Some(at) = text.rfind(['+', '-']) {
        let (hours, minutes) = text[at + 1..].split_once(':')?;
        let size = number(hours, 2)? * 3_600_000 + number(minutes, 2)? * 60_000;
        (
            &text[..at],
            if text.as_bytes()[at] == b'-' { -size } else { size },
        )
    } else {
        (text, 0)
    };
    let mut parts = clock.splitn(3, ':');
    let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let (second, milli) = match parts.next() {
        None => (0, 0),
        Some(second) => match second.split_once('.') {
            None => (number(second, 2)?, 0),
            Some((second, fraction)) => (number(second, 2)?, thousandths(fraction)?),
        },
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(hour * 3_600_000 + minute * 60_000 + second * 1_000 + milli - zone_ms)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let fits = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// `5` is 500 thousandths; what is finer than a millisecond is cut.
fn thousandths(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<3}")[..3].parse().ok()
}

/// Howard Hinnant's days-from-civil: years begin in March, so that the leap day is the last of its year.
fn days_of_date(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_of_date`].
fn date_of_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

const DAY_MS: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_and_write_the_same() {
        let check = |millis: i64, text: &str| {
            assert_eq!(format_millis(millis), text);
            assert_eq!(parse_millis(text), Some(millis), "{text}");
        };
        check(0, "1970-01-01T00:00:00.000Z");
        check(-1, "1969-12-31T23:59:59.999Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(1_795_260_000_123, "2026-11-21T11:20:00.123Z");
        check(253_402_300_799_999, "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn shorter_forms_and_zones() {
        let check = |text: &str, same: &str| assert_eq!(parse_millis(text), parse_millis(same), "{text}");
        check("2026-11-21", "2026-11-21T00:00:00.000Z");
        check("2026-11-21 11:20", "2026-11-21T11:20:00.000Z");
        check("2026-11-21T11:20:00.5", "2026-11-21T11:20:00.500Z");
        check("2026-11-21T11:20:00+02:00", "2026-11-21T09:20:00.000Z");
        check("2026-11-21T23:30:00-01:30", "2026-11-22T01:00:00.000Z");
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-30",
            "2026-11-21T24:00",
            "2026-11-21T1:00",
            "26-11-21",
            "x",
        ] {
            assert_eq!(parse_millis(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_of_eight_centuries_survives() {
        for days in -146_097..146_097 {
            let (year, month, day) = date_of_days(days);
            assert_eq!(days_of_date(year, month, day), days);
        }
    }
}
