//! What a configuration is: its name, type, default and bounds, and how its text is read.
//!
//! Place: the tables of [`super::topic`] and [`super::broker`] are made of these; the controller checks
//! values with them, DescribeConfigs reports them.
//!
//! Invariants: reading accepts exactly what Kafka 4.3's `ConfigDef` accepts, save NaN, and its refusals read
//! the same, because tools show them to people who know Kafka. A default always reads.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::iso_duration;

/// One configuration. The tables are constants; two definitions are the same where their names are.
#[derive(Clone, Copy, Debug)]
pub struct ConfigDefinition {
    pub name: &'static str,
    pub kind: ConfigType,
    /// Canonical text; `None` where Kafka reports no default (null).
    pub default: Option<&'static str>,
    pub validator: Validator,
    pub effect: Effect,
    /// Broker configurations that give the value where nothing nearer does, strongest first.
    pub synonyms: &'static [Synonym],
    /// In our own words: what it does here, or what it is accepted for.
    pub documentation: &'static str,
}

/// A broker configuration that stands for a topic's (or another broker's) in some unit.
#[derive(Clone, Copy, Debug)]
pub struct Synonym {
    pub name: &'static str,
    /// What its number is multiplied by to mean the same: hours stand for milliseconds.
    pub scale: i64,
}

/// The numbers are those of DescribeConfigs' `config_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigType {
    /// Of a name that nobody knows.
    Unknown = 0,
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
    Password = 9,
}

/// Whether a value changes anything here. Where it does not, the documentation says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    ActedOn,
    /// Accepted and reported, because tools set or read it.
    Accepted,
    /// Reported with its default, and never accepted: see [`super::lacking`].
    Lacking,
}

#[derive(Clone, Copy, Debug)]
pub enum Validator {
    Anything,
    AtLeast(i64),
    Between(i64, i64),
    /// The range, or -1 for "the codec's own default".
    BetweenOrMinusOne(i64, i64),
    /// 0 to 1, both inclusive.
    Ratio,
    OneOf(&'static [&'static str]),
    /// One of these, in lower and upper case as one likes.
    OneOfInAnyCase(&'static [&'static str]),
    /// Every item is one of these; blank items are refused.
    ListOf(&'static [&'static str]),
    /// No item is blank.
    Items,
    /// Items like `address:count`.
    CountsOfAddresses,
    /// `earliest`, `latest`, or `by_duration:` and a duration like `PT1H`.
    ResetStrategy,
    /// `*`, or items like `partition:broker`.
    ThrottledReplicas,
}

/// A value that its definition accepted.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigValue {
    Boolean(bool),
    Number(i64),
    Double(f64),
    Text(String),
    List(Vec<String>),
}

/// Why a text is no value, in Kafka's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue {
    pub message: String,
}

impl ConfigDefinition {
    /// Reads and checks `text`. Blanks around it do not count.
    pub fn parse(&self, text: &str) -> Result<ConfigValue, InvalidValue> {
        let trimmed = text.trim();
        let value = match self.kind {
            ConfigType::Boolean => self.parse_boolean(trimmed)?,
            ConfigType::Int => self.parse_number(trimmed, i32::MIN.into(), i32::MAX.into())?,
            ConfigType::Short => self.parse_number(trimmed, i16::MIN.into(), i16::MAX.into())?,
            ConfigType::Long => self.parse_number(trimmed, i64::MIN, i64::MAX)?,
            ConfigType::Double => self.parse_double(trimmed)?,
            ConfigType::List => ConfigValue::List(split_list(trimmed)),
            ConfigType::String | ConfigType::Class | ConfigType::Password | ConfigType::Unknown => {
                ConfigValue::Text(trimmed.to_owned())
            }
        };
        self.check(&value)?;
        Ok(value)
    }

    /// The text that DescribeConfigs reports for `text`: what was set, without blanks and duplicates.
    /// `text` that does not read (written by another version) is reported as it stands.
    pub fn canonical(&self, text: &str) -> String {
        self.parse(text)
            .map_or_else(|_| text.to_owned(), |value| value.to_text())
    }

    /// Whether reports leave the value out.
    pub fn is_sensitive(&self) -> bool {
        self.kind == ConfigType::Password
    }

    fn parse_boolean(&self, text: &str) -> Result<ConfigValue, InvalidValue> {
        if text.eq_ignore_ascii_case("true") {
            Ok(ConfigValue::Boolean(true))
        } else if text.eq_ignore_ascii_case("false") {
            Ok(ConfigValue::Boolean(false))
        } else {
            Err(self.invalid(text, "Expected value to be either true or false"))
        }
    }

    fn parse_number(&self, text: &str, min: i64, max: i64) -> Result<ConfigValue, InvalidValue> {
        match text.parse::<i64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(ConfigValue::Number(number)),
            _ => Err(self.not_a_number(text)),
        }
    }

    fn parse_double(&self, text: &str) -> Result<ConfigValue, InvalidValue> {
        // Java takes a type suffix; Rust's names for the infinities and NaN are not Java's.
        let digits = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
        match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(ConfigValue::Double(number)),
            _ => Err(self.not_a_number(text)),
        }
    }

    fn check(&self, value: &ConfigValue) -> Result<(), InvalidValue> {
        match (self.validator, value) {
            (Validator::Anything, _) => Ok(()),
            (Validator::AtLeast(min), ConfigValue::Number(number)) if *number < min => {
                Err(self.invalid(number, &format!("Value must be at least {min}")))
            }
            (Validator::Between(min, _), ConfigValue::Number(number)) if *number < min => {
                Err(self.invalid(number, &format!("Value must be at least {min}")))
            }
            (Validator::Between(_, max), ConfigValue::Number(number)) if *number > max => {
                Err(self.invalid(number, &format!("Value must be no more than {max}")))
            }
            (Validator::BetweenOrMinusOne(min, max), ConfigValue::Number(number))
                if *number != -1 && !(min..=max).contains(number) =>
            {
                let reason = format!("Value must be between {min} and {max} or equal to -1");
                Err(self.invalid(number, &reason))
            }
            (Validator::Ratio, ConfigValue::Double(ratio)) if *ratio < 0.0 => {
                Err(self.invalid(ratio, "Value must be at least 0"))
            }
            (Validator::Ratio, ConfigValue::Double(ratio)) if *ratio > 1.0 => {
                Err(self.invalid(ratio, "Value must be no more than 1"))
            }
            (Validator::OneOf(known), ConfigValue::Text(text)) => self.check_one_of(text, known),
            (Validator::OneOfInAnyCase(known), ConfigValue::Text(text)) => {
                self.check_one_of(&text.to_ascii_lowercase(), known)
            }
            (Validator::Items, ConfigValue::List(items)) => self.check_items(items),
            (Validator::CountsOfAddresses, ConfigValue::Text(text)) => match counts_of_addresses(text) {
                Some(_) => Ok(()),
                None => Err(self.invalid(text, "It is a list of address:count")),
            },
            (Validator::ResetStrategy, ConfigValue::Text(text)) if !is_reset_strategy(text) => {
                let reason = format!(
                    "Invalid value `{text}` for configuration {}. The value must be either 'earliest', 'latest' or of \
                     the format 'by_duration:<PnDTnHnMn.nS>'.",
                    self.name
                );
                Err(self.invalid(text, &reason))
            }
            (Validator::ListOf(known), ConfigValue::List(items)) => {
                self.check_items(items)?;
                items.iter().try_for_each(|item| self.check_one_of(item, known))
            }
            (Validator::ThrottledReplicas, ConfigValue::List(items)) if !are_throttled_replicas(items) => {
                let reason = format!(
                    "{} must be the literal '*' or a list of replicas in the following format: \
                     [partitionId]:[brokerId],[partitionId]:[brokerId],...",
                    self.name
                );
                Err(self.invalid(format!("[{}]", items.join(", ")), &reason))
            }
            _ => Ok(()),
        }
    }

    fn check_items(&self, items: &[String]) -> Result<(), InvalidValue> {
        if !items.iter().any(String::is_empty) {
            return Ok(());
        }
        let message = format!("Configuration '{}' values must not be empty.", self.name);
        Err(InvalidValue { message })
    }

    fn check_one_of(&self, text: &str, known: &[&str]) -> Result<(), InvalidValue> {
        if known.contains(&text) {
            return Ok(());
        }
        Err(self.invalid(text, &format!("String must be one of: {}", known.join(", "))))
    }

    fn not_a_number(&self, text: &str) -> InvalidValue {
        let kind = match self.kind {
            ConfigType::Short => "SHORT",
            ConfigType::Long => "LONG",
            ConfigType::Double => "DOUBLE",
            _ => "INT",
        };
        self.invalid(text, &format!("Not a number of type {kind}"))
    }

    fn invalid(&self, value: impl core::fmt::Display, reason: &str) -> InvalidValue {
        InvalidValue {
            message: format!("Invalid value {value} for configuration {}: {reason}", self.name),
        }
    }
}

impl ConfigValue {
    pub fn to_text(&self) -> String {
        match self {
            ConfigValue::Boolean(value) => value.to_string(),
            ConfigValue::Number(value) => value.to_string(),
            // As Java shows them: always with a fraction.
            ConfigValue::Double(value) => format!("{value:?}").replace('e', "E"),
            ConfigValue::Text(value) => value.clone(),
            ConfigValue::List(items) => items.join(","),
        }
    }
}

/// The items of a list's text, without the blanks around them and without repetitions; none for an empty
/// text.
pub fn split_list(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    if text.trim().is_empty() {
        return items;
    }
    for item in text.split(',').map(str::trim) {
        if !items.iter().any(|known| known == item) {
            items.push(item.to_owned());
        }
    }
    items
}

/// The counts of a text like `10.0.0.7:100,::1:5`, by what stands before them; `None` where it is not like that.
pub fn counts_of_addresses(text: &str) -> Option<Vec<(&str, i32)>> {
    let items = text.split(',').map(str::trim).filter(|_| !text.trim().is_empty());
    items
        .map(|item| {
            let (address, count) = item.rsplit_once(':')?;
            Some((address.trim(), count.trim().parse().ok()?))
        })
        .collect()
}

/// The definition called `name` in a table sorted by name.
pub fn find(table: &'static [ConfigDefinition], name: &str) -> Option<&'static ConfigDefinition> {
    let at = table
        .binary_search_by(|definition| definition.name.cmp(name))
        .ok()?;
    Some(&table[at])
}

fn is_reset_strategy(text: &str) -> bool {
    match text.strip_prefix("by_duration:") {
        Some(duration) => iso_duration::is_not_negative(duration),
        None => ["earliest", "latest"].contains(&text),
    }
}

fn are_throttled_replicas(items: &[String]) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_replica = |item: &String| {
        item.split_once(':')
            .is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
    };
    items.iter().all(is_replica) || (items.len() == 1 && items[0] == "*")
}

/// Makes a table of [`ConfigDefinition`]s: `"name": Type = "default" or null, validator, acted_on or
/// accepted, [synonyms];` below its documentation.
macro_rules! configs {
    (
        $(#[$outer:meta])* $table:ident;
        $(
            $(#[doc = $doc:literal])+
            $name:literal: $kind:ident = $default:tt, $validator:expr, $effect:ident
            $(, [$($synonym:literal * $scale:literal),*])?;
        )*
    ) => {
        $(#[$outer])*
        pub const $table: &[$crate::config::definition::ConfigDefinition] = &[$(
            $crate::config::definition::ConfigDefinition {
                name: $name,
                kind: $crate::config::definition::ConfigType::$kind,
                default: $crate::config::definition::configs!(@default $default),
                validator: $validator,
                effect: $crate::config::definition::configs!(@effect $effect),
                synonyms: &[$($($crate::config::definition::Synonym { name: $synonym, scale: $scale }),*)?],
                documentation: $crate::config::definition::configs!(@text $effect, $($doc),+).trim_ascii_start(),
            },
        )*];
    };
    (@default null) => { None };
    (@default $default:literal) => { Some($default) };
    (@effect acted_on) => { $crate::config::definition::Effect::ActedOn };
    (@effect accepted) => { $crate::config::definition::Effect::Accepted };
    (@text acted_on, $($doc:literal),+) => { concat!($($doc),+) };
    (@text accepted, $($doc:literal),+) => {
        concat!($($doc,)+ " Accepted and reported; it changes nothing yet.")
    };
}
pub(crate) use configs;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_addresses_are_read_at_the_last_colon() {
        let read = counts_of_addresses;
        assert_eq!(
            read(" 10.0.0.7:100 , ::1:5"),
            Some([("10.0.0.7", 100), ("::1", 5)].to_vec())
        );
        assert_eq!((read(""), read(" ")), (Some(Vec::new()), Some(Vec::new())));
        for text in ["nonsense", "10.0.0.7:x", "a:1,", ",", "a:"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    use crate::config::topic::TOPIC_CONFIGS;

    /// The expectations were printed by `LogConfig.validate` of Kafka 4.3.
    #[track_caller]
    fn check(name: &str, text: &str, expect: Result<&str, &str>) {
        let definition = find(TOPIC_CONFIGS, name).expect("a topic config");
        let found = definition
            .parse(text)
            .map(|value| value.to_text())
            .map_err(|error| error.message);
        assert_eq!(found.as_deref().map_err(String::as_str), expect, "{name}={text}");
    }

    #[test]
    fn numbers_read_as_in_java() {
        check("segment.bytes", " 2000000 ", Ok("2000000"));
        check("retention.ms", "+5", Ok("5"));
        check("retention.bytes", "-5", Ok("-5"));
        let not_int = "Invalid value abc for configuration segment.bytes: Not a number of type INT";
        check("segment.bytes", "abc", Err(not_int));
        let too_big = "Invalid value 3000000000 for configuration segment.bytes: Not a number of type INT";
        check("segment.bytes", "3000000000", Err(too_big));
        let too_small = "Invalid value 10 for configuration segment.bytes: Value must be at least 1048576";
        check("segment.bytes", "10", Err(too_small));
        check(
            "retention.ms",
            "99999999999999999999",
            Err(
                "Invalid value 99999999999999999999 for configuration retention.ms: Not a number of type LONG",
            ),
        );
        check(
            "retention.ms",
            "",
            Err("Invalid value  for configuration retention.ms: Not a number of type LONG"),
        );
    }

    #[test]
    fn ranges_are_inclusive() {
        check("compression.lz4.level", "17", Ok("17"));
        let lz4 = "Invalid value 18 for configuration compression.lz4.level: Value must be no more than 17";
        check("compression.lz4.level", "18", Err(lz4));
        check("compression.gzip.level", "-1", Ok("-1"));
        check(
            "compression.gzip.level",
            "0",
            Err("Invalid value 0 for configuration compression.gzip.level: \
                 Value must be between 1 and 9 or equal to -1"),
        );
        check("min.cleanable.dirty.ratio", "1", Ok("1.0"));
        check("min.cleanable.dirty.ratio", "5e-1", Ok("0.5"));
        check("min.cleanable.dirty.ratio", "0.5d", Ok("0.5"));
        let ratio =
            "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1";
        check("min.cleanable.dirty.ratio", "1.5", Err(ratio));
        let no_ratio =
            "Invalid value x for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE";
        check("min.cleanable.dirty.ratio", "x", Err(no_ratio));
    }

    #[test]
    fn words_are_matched_exactly_and_booleans_are_not() {
        check("preallocate", "TRUE", Ok("true"));
        let boolean =
            "Invalid value yes for configuration preallocate: Expected value to be either true or false";
        check("preallocate", "yes", Err(boolean));
        check(
            "compression.type",
            "PRODUCER",
            Err("Invalid value PRODUCER for configuration compression.type: \
                 String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"),
        );
        check(
            "message.timestamp.type",
            "createtime",
            Err(
                "Invalid value createtime for configuration message.timestamp.type: \
                 String must be one of: CreateTime, LogAppendTime",
            ),
        );
    }

    #[test]
    fn lists_lose_blanks_and_repetitions() {
        check("cleanup.policy", " compact , delete ", Ok("compact,delete"));
        check("cleanup.policy", "delete,delete", Ok("delete"));
        check("cleanup.policy", "", Ok(""));
        check(
            "cleanup.policy",
            "delete,",
            Err("Configuration 'cleanup.policy' values must not be empty."),
        );
        check(
            "cleanup.policy",
            "delete,none",
            Err(
                "Invalid value none for configuration cleanup.policy: String must be one of: compact, delete",
            ),
        );
        check("leader.replication.throttled.replicas", "*", Ok("*"));
        check("leader.replication.throttled.replicas", "0:1,1:2", Ok("0:1,1:2"));
        check("leader.replication.throttled.replicas", "", Ok(""));
        check(
            "leader.replication.throttled.replicas",
            "abc",
            Err(
                "Invalid value [abc] for configuration leader.replication.throttled.replicas: \
                 leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the \
                 following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
            ),
        );
    }
}
