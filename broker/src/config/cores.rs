//! Which cores the broker runs on, one shard each.

use super::source::Raw;
use crate::startup::CoreSet;

/// A bare number is a count; a list (`0-3,6`, or a TOML array) names cores; `N,` is the one core N.
pub fn parse_cores(raw: &Raw) -> Result<CoreSet, String> {
    match raw {
        Raw::List(items) => from_numbers(items.iter().map(|item| {
            item.scalar()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| "core numbers are expected".to_owned())
        })),
        _ => parse_text(raw.scalar().ok_or("a number or a list is expected")?.trim()),
    }
}

fn parse_text(text: &str) -> Result<CoreSet, String> {
    if text.eq_ignore_ascii_case("all") {
        return Ok(CoreSet::All);
    }
    if let Ok(count) = text.parse::<usize>() {
        if count == 0 {
            return Err("at least one core is needed".to_owned());
        }
        return Ok(CoreSet::Count(count));
    }
    let mut numbers = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let parse = |s: &str| {
            s.trim()
                .parse::<usize>()
                .map_err(|_| format!("`{part}` is not a core or a range"))
        };
        let (first, last) = (parse(first)?, parse(last)?);
        if first > last || last >= CORES_MAX {
            return Err(format!("`{part}` is not a range of cores below {CORES_MAX}"));
        }
        numbers.extend(first..=last);
    }
    from_numbers(numbers.into_iter().map(Ok))
}

fn from_numbers(numbers: impl Iterator<Item = Result<usize, String>>) -> Result<CoreSet, String> {
    let mut numbers = numbers.collect::<Result<Vec<usize>, String>>()?;
    numbers.sort_unstable();
    if numbers.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("a core is named twice".to_owned());
    }
    match numbers.last() {
        None => Err("at least one core is needed".to_owned()),
        Some(&last) if last >= CORES_MAX => Err(format!("core {last} is not below {CORES_MAX}")),
        Some(_) => Ok(CoreSet::List(numbers)),
    }
}

/// As [`parse_cores`] reads it.
pub fn show_cores(cores: &CoreSet) -> String {
    match cores {
        CoreSet::All => "all".to_owned(),
        CoreSet::Count(count) => count.to_string(),
        CoreSet::List(cores) => {
            let names: Vec<String> = cores.iter().map(usize::to_string).collect();
            // The comma at the end keeps a single core from reading as a count.
            format!("{}{}", names.join(","), if cores.len() == 1 { "," } else { "" })
        }
    }
}

/// What the kernel's own CPU masks hold at most.
const CORES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CoreSet, String> {
        parse_cores(&Raw::Text(text.to_owned()))
    }

    #[test]
    fn counts_lists_and_all() {
        assert_eq!(parse("all"), Ok(CoreSet::All));
        assert_eq!(parse("2"), Ok(CoreSet::Count(2)));
        assert_eq!(parse("2,"), Ok(CoreSet::List(vec![2])));
        assert_eq!(parse("6,0-2"), Ok(CoreSet::List(vec![0, 1, 2, 6])));
        let list = Raw::List(vec![Raw::Integer("3".into()), Raw::Integer("1".into())]);
        assert_eq!(parse_cores(&list), Ok(CoreSet::List(vec![1, 3])));
    }

    #[test]
    fn what_is_shown_reads_back() {
        for text in ["all", "4", "2,", "0,1,2,6"] {
            assert_eq!(show_cores(&parse(text).unwrap()), text);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["0", "", ",", "3-1", "1,1", "0-2,1", "x", "1-", "0-99999", "5000,"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
