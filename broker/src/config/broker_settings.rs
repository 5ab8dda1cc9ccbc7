//! Kafka's broker settings, under Kafka's names, as the `[broker]` table, `--set` and `MILLSTREAM_BROKER_…`
//! give them.

use millstream_machine::config::broker::BROKER_CONFIGS;
use millstream_machine::config::definition::{ConfigDefinition, Effect, find};
use millstream_machine::config::lacking::LACKING_CONFIGS;

use super::nearest::nearest;
use super::source::Raw;
use super::units;

/// The value of a broker setting as Kafka writes it, checked against the setting's definition.
pub fn parse(name: &str, raw: &Raw) -> Result<String, String> {
    if let Some((_, own)) = OWN.iter().find(|(kafkas, _)| *kafkas == name) {
        return Err(format!("`{name}` is `{own}` here, outside of [broker]"));
    }
    if find(LACKING_CONFIGS, name).is_some() {
        return Err(format!(
            "`{name}` is a setting of Kafka's that Millstream does not have"
        ));
    }
    let Some(definition) = find(BROKER_CONFIGS, name) else {
        let known = BROKER_CONFIGS.iter().map(|definition| definition.name);
        let hint = nearest(name, known).map(|name| format!(". Did you mean `{name}`?"));
        return Err(format!(
            "`{name}` is not a broker setting{}",
            hint.unwrap_or_default()
        ));
    };
    let value = resolve_units(name, raw)?;
    definition
        .parse(&value)
        .map(|value| value.to_text())
        .map_err(|error| error.message)
}

/// The settings that change something here and have a value even if nobody sets one.
pub fn effective_defaults() -> impl Iterator<Item = (&'static str, &'static str)> {
    let acted_on = BROKER_CONFIGS
        .iter()
        .filter(|definition| definition.effect == Effect::ActedOn);
    let ours = |definition: &&ConfigDefinition| OWN.iter().all(|(kafkas, _)| *kafkas != definition.name);
    acted_on
        .filter(ours)
        .filter_map(|definition| Some((definition.name, definition.default?)))
}

/// A config's value with its unit, if it has one, worked out into the bare number that the name stands for.
pub fn resolve_units(name: &str, raw: &Raw) -> Result<String, String> {
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
    let number = if name.ends_with(".ms") {
        units::parse_millis(text)
    } else if name.ends_with(".bytes") {
        units::parse_bytes(text)
    } else {
        return Ok(text.to_owned());
    };
    number
        .map(|number| number.to_string())
        .map_err(|error| format!("`{name}`: {error}"))
}

/// `MILLSTREAM_BROKER_NUM_PARTITIONS` → `num.partitions`. `None` for a variable that sets no broker setting.
pub fn name_of_variable(variable: &str) -> Option<String> {
    let rest = variable.strip_prefix(VARIABLE_PREFIX)?;
    (!rest.is_empty()).then(|| rest.to_ascii_lowercase().replace('_', "."))
}

const VARIABLE_PREFIX: &str = "MILLSTREAM_BROKER_";

/// Kafka's settings that are keys of our own.
const OWN: [(&str, &str); 4] = [
    ("advertised.listeners", "advertise"),
    ("listeners", "listen"),
    ("log.dir", "data_dir"),
    ("log.dirs", "data_dir"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_become_the_number_that_the_name_stands_for() {
        let check =
            |name: &str, raw: Raw, expected: &str| assert_eq!(parse(name, &raw).as_deref(), Ok(expected));
        check("num.partitions", Raw::Integer("3".into()), "3");
        check("auto.create.topics.enable", Raw::Boolean(false), "false");
        check("log.retention.ms", Raw::Text("7d".into()), "604800000");
        check("log.retention.ms", Raw::Text("-1".into()), "-1");
        check("log.segment.bytes", Raw::Text("1GiB".into()), "1073741824");
        let both = Raw::List(vec![Raw::Text("compact".into()), Raw::Text("delete".into())]);
        check("log.cleanup.policy", both, "compact,delete");
    }

    #[test]
    fn wrong_names_and_values_are_refused_with_advice() {
        let check = |name: &str, value: &str, part: &str| {
            let error = parse(name, &Raw::Text(value.into())).unwrap_err();
            assert!(error.contains(part), "{error}");
        };
        check("num.partition", "1", "Did you mean `num.partitions`?");
        check("log.retension.ms", "1", "Did you mean `log.retention.ms`?");
        check("listeners", "PLAINTEXT://:9092", "`listeners` is `listen` here");
        check("ssl.keystore.location", "/k", "Millstream does not have");
        check("num.partitions", "0", "at least 1");
        check("log.segment.bytes", "1 parsec", "parsec");
        check("log.retention.ms", "soon", "`log.retention.ms`");
        check("auto.create.topics.enable", "perhaps", "true or false");
        assert!(
            parse("num.partitions", &Raw::Unfit("a date"))
                .unwrap_err()
                .contains("a date")
        );
    }

    #[test]
    fn defaults_are_values() {
        let mut seen = 0;
        for (name, value) in effective_defaults() {
            assert!(
                parse(name, &Raw::Text(value.to_owned())).is_ok(),
                "{name}={value}"
            );
            seen += 1;
        }
        assert!(seen > 10);
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
