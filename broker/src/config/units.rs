//! Byte sizes and durations as people write them: `512MiB`, `1.5GiB`, `10MB`, `90s`, `1h30m`, `7d`.

/// Bytes. `KB MB GB TB` count in thousands, `KiB MiB GiB TiB` and the bare letters `K M G T` in 1024s;
/// without a unit it is bytes.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split(text)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => {
            return Err(UnitError::Unit {
                unit: unit.to_owned(),
                known: "B, KB, KiB, MB, MiB, GB, GiB, TB, TiB",
            });
        }
    };
    number.times(factor)
}

/// Milliseconds. Units `ms s m h d w`, several in a row add up; no unit is milliseconds.
pub fn parse_millis(text: &str) -> Result<u64, UnitError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(UnitError::Number);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let letters = rest[digits..]
            .find(|c: char| !c.is_ascii_alphabetic())
            .map_or(rest.len(), |n| digits + n);
        let number = Number::parse(&rest[..digits])?;
        let factor = match &rest[digits..letters] {
            "" | "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            unit => {
                return Err(UnitError::Unit {
                    unit: unit.to_owned(),
                    known: "ms, s, m, h, d, w",
                });
            }
        };
        total = total
            .checked_add(number.times(factor)?)
            .ok_or(UnitError::TooLarge)?;
        rest = rest[letters..].trim_start();
    }
    Ok(total)
}

/// A size for people: the largest unit that divides it, else one decimal of the largest that fits.
pub fn show_bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    for (factor, unit) in UNITS {
        if bytes >= factor {
            let whole = bytes.is_multiple_of(factor);
            let value = bytes as f64 / factor as f64;
            return if whole {
                format!("{}{unit}", bytes / factor)
            } else {
                format!("{value:.1}{unit}")
            };
        }
    }
    format!("{bytes}B")
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitError {
    Number,
    Unit {
        unit: String,
        known: &'static str,
    },
    /// More than 64 bits hold, or a fraction of the smallest unit.
    TooLarge,
}

impl std::fmt::Display for UnitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            UnitError::Number => f.write_str("a number is expected, with a unit if you like"),
            UnitError::Unit { unit, known } => write!(f, "`{unit}` is not a unit; known are {known}"),
            UnitError::TooLarge => f.write_str("the number is too large"),
        }
    }
}

impl std::error::Error for UnitError {}

/// A decimal number as an integer and how many of its digits follow the point, so that `0.1` is exact.
struct Number {
    digits: u64,
    decimals: u32,
}

impl Number {
    fn parse(text: &str) -> Result<Number, UnitError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || text.ends_with('.') {
            return Err(UnitError::Number);
        }
        let digits = format!("{whole}{fraction}")
            .parse()
            .map_err(|_| UnitError::TooLarge)?;
        Ok(Number {
            digits,
            decimals: fraction.len() as u32,
        })
    }

    /// Rounded down to whole smallest units.
    fn times(&self, factor: u64) -> Result<u64, UnitError> {
        let scale = 10u128.checked_pow(self.decimals).ok_or(UnitError::TooLarge)?;
        let product = u128::from(self.digits) * u128::from(factor) / scale;
        u64::try_from(product).map_err(|_| UnitError::TooLarge)
    }
}

fn split(text: &str) -> Result<(Number, &str), UnitError> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    Ok((Number::parse(&text[..end])?, text[end..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_with_every_unit() {
        let check = |text: &str, expected: u64| assert_eq!(parse_bytes(text), Ok(expected), "{text}");
        check("0", 0);
        check("4096", 4096);
        check("4096B", 4096);
        check("10KB", 10_000);
        check("10 KiB", 10_240);
        check("1.5GiB", 1_610_612_736);
        check("512mib", 512 << 20);
        check("2G", 2 << 30);
        check("0.1MB", 100_000);
        check("16777215TiB", 16_777_215 << 40);
    }

    #[test]
    fn durations_with_every_unit() {
        let check = |text: &str, expected: u64| assert_eq!(parse_millis(text), Ok(expected), "{text}");
        check("250", 250);
        check("250ms", 250);
        check("1.5s", 1_500);
        check("1h30m", 5_400_000);
        check("7d", 604_800_000);
        check("1w 1d", 691_200_000);
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        assert_eq!(parse_bytes(""), Err(UnitError::Number));
        assert_eq!(parse_bytes("-1"), Err(UnitError::Number));
        assert_eq!(parse_bytes("1.2.3K"), Err(UnitError::Number));
        assert_eq!(parse_bytes("16777216TiB"), Err(UnitError::TooLarge));
        assert!(matches!(parse_bytes("3 parsecs"), Err(UnitError::Unit { unit, .. }) if unit == "parsecs"));
        assert_eq!(parse_millis(""), Err(UnitError::Number));
        assert_eq!(parse_millis("h"), Err(UnitError::Number));
        assert!(matches!(parse_millis("3y"), Err(UnitError::Unit { unit, .. }) if unit == "y"));
    }

    #[test]
    fn sizes_are_shown_in_the_unit_that_fits() {
        assert_eq!(show_bytes(0), "0B");
        assert_eq!(show_bytes(1023), "1023B");
        assert_eq!(show_bytes(512 << 20), "512MiB");
        assert_eq!(show_bytes(1_610_612_736), "1.5GiB");
    }
}
