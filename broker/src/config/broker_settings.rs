//! Kafka's broker settings, under Kafka's names, as the `[broker]` table, `--set` and `MILLSTREAM_BROKER_…`
//! give them.

use super::source::Raw;
use super::units;

/// The value as Kafka writes it: units are worked out into the bare number that the name stands for.
pub fn normalise(name: &str, raw: &Raw) -> Result<String, String> {
    if name.is_empty()
        || !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    {
        return Err(format!("`{name}` is not a setting of Kafka's"));
    }
    let text = match raw {
        // Kafka's lists are one string with commas.
        Raw::List(items) => {
            let items: Option<Vec<String>> = items.iter().map(Raw::scalar).collect();
            items.ok_or("a list of plain values is expected")?.join(",")
        }
        _ => raw
            .scalar()
            .ok_or_else(|| format!("{} is not a value for `{name}`", raw.kind()))?,
    };
    let text = text.trim();
    if text.parse::<i64>().is_ok() {
        return Ok(text.to_owned());
    }
    if name.ends_with(".ms") {
        return units::parse_millis(text)
            .map(|ms| ms.to_string())
            .map_err(|error| format!("`{name}`: {error}"));
    }
    if name.ends_with(".bytes") {
        return units::parse_bytes(text)
            .map(|bytes| bytes.to_string())
            .map_err(|error| format!("`{name}`: {error}"));
    }
    Ok(text.to_owned())
}

/// `MILLSTREAM_BROKER_NUM_PARTITIONS` → `num.partitions`. `None` for a variable that sets no broker setting.
pub fn name_of_variable(variable: &str) -> Option<String> {
    let rest = variable.strip_prefix(VARIABLE_PREFIX)?;
    (!rest.is_empty()).then(|| rest.to_ascii_lowercase().replace('_', "."))
}

const VARIABLE_PREFIX: &str = "MILLSTREAM_BROKER_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_become_the_number_that_the_name_stands_for() {
        let check =
            |name: &str, raw: Raw, expected: &str| assert_eq!(normalise(name, &raw).as_deref(), Ok(expected));
        check("num.partitions", Raw::Integer("3".into()), "3");
        check("auto.create.topics.enable", Raw::Boolean(false), "false");
        check("log.retention.ms", Raw::Text("7d".into()), "604800000");
        check("log.retention.ms", Raw::Text("-1".into()), "-1");
        check("log.segment.bytes", Raw::Text("1GiB".into()), "1073741824");
        check(
            "log.cleanup.policy",
            Raw::List(vec![Raw::Text("a".into()), Raw::Text("b".into())]),
            "a,b",
        );
    }

    #[test]
    fn wrong_units_and_names_are_refused() {
        assert!(
            normalise("log.segment.bytes", &Raw::Text("1 parsec".into()))
                .unwrap_err()
                .contains("parsec")
        );
        assert!(normalise("log.retention.ms", &Raw::Text("soon".into())).is_err());
        assert!(normalise("a b", &Raw::Text("1".into())).is_err());
        assert!(
            normalise("num.partitions", &Raw::Unfit("a date"))
                .unwrap_err()
                .contains("a date")
        );
    }

    #[test]
    fn variables_name_settings() {
        assert_eq!(
            name_of_variable("MILLSTREAM_BROKER_NUM_PARTITIONS").as_deref(),
            Some("num.partitions")
        );
        assert_eq!(name_of_variable("MILLSTREAM_BROKERS"), None);
        assert_eq!(name_of_variable("MILLSTREAM_BROKER_"), None);
    }
}
