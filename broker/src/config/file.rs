//! `millstream.toml` → values with their lines. Knows the keys by name, not what their values mean.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Excerpt};
use super::key::{BROKER_TABLE, KEYS, Key, KeySpec};
use super::nearest::nearest;
use super::source::{Raw, Source};

/// What a file sets, in the order of its lines.
#[derive(Debug, Default)]
pub struct FileValues {
    pub keys: Vec<(Key, Placed)>,
    /// The `[broker]` table: Kafka's names, dotted keys flattened.
    pub broker: Vec<(String, Placed)>,
}

/// A value and its place.
#[derive(Debug)]
pub struct Placed {
    pub raw: Raw,
    pub source: Source,
    pub excerpt: Excerpt,
}

impl Placed {
    pub fn error(&self, message: impl Into<String>) -> ConfigError {
        ConfigError {
            excerpt: Some(self.excerpt.clone()),
            ..ConfigError::new(self.source.clone(), message)
        }
    }
}

/// Reads the file. A file that is far too large to be a configuration is refused before it is read.
pub fn read(path: &Path) -> Result<String, ConfigError> {
    let source = || Source::File {
        path: path.to_owned(),
        line: 1,
    };
    let fail =
        |error: std::io::Error| ConfigError::new(source(), format!("the file cannot be read: {error}"));
    let size = std::fs::metadata(path).map_err(fail)?.len();
    if size > FILE_BYTES_MAX {
        return Err(ConfigError::new(
            source(),
            format!("a configuration of {size} bytes is too large"),
        ));
    }
    std::fs::read_to_string(path).map_err(fail)
}

/// The first mistake of the text is the error.
pub fn parse(path: &Path, text: &str) -> Result<FileValues, ConfigError> {
    let reader = Reader {
        path: path.to_owned(),
        text,
    };
    let table = DeTable::parse(text).map_err(|error| reader.syntax_error(&error))?;
    let mut values = FileValues::default();
    for (name, value) in in_file_order(table.get_ref()) {
        match (name.get_ref().as_ref(), value.get_ref()) {
            (BROKER_TABLE, DeValue::Table(settings)) => {
                reader.flatten(String::new(), settings, &mut values)?
            }
            (table, DeValue::Table(inner)) if KEYS.iter().any(|spec| spec.table == Some(table)) => {
                for (name, value) in in_file_order(inner) {
                    let spec = reader.known_key(Some(table), name)?;
                    values.keys.push((spec.key, reader.placed(value)));
                }
            }
            _ => {
                let spec = reader.known_key(None, name)?;
                values.keys.push((spec.key, reader.placed(value)));
            }
        }
    }
    Ok(values)
}

struct Reader<'a> {
    path: PathBuf,
    text: &'a str,
}

impl Reader<'_> {
    /// The key of this name in this table, or the error that names the nearest one.
    fn known_key<K: AsRef<str>>(
        &self,
        table: Option<&str>,
        name: &Spanned<K>,
    ) -> Result<&'static KeySpec, ConfigError> {
        let wrong = name.get_ref().as_ref();
        if let Some(spec) = KEYS.iter().find(|spec| spec.table == table && spec.name == wrong) {
            return Ok(spec);
        }
        let place = self.place(name.span());
        if let Some(elsewhere) = KEYS.iter().find(|spec| spec.name == wrong) {
            let home = elsewhere
                .table
                .map_or("the top of the file".to_owned(), |table| format!("[{table}]"));
            let message = format!("`{wrong}` belongs to {home}, not {}", show_table(table));
            return Err(place.error(message));
        }
        if table.is_none() && wrong.contains('.') {
            return Err(place.error(format!(
                "`{wrong}` is not a setting here; Kafka's own belong to [broker]"
            )));
        }
        let mut names: Vec<&str> = KEYS
            .iter()
            .filter(|spec| spec.table == table)
            .map(|spec| spec.name)
            .collect();
        if table.is_none() {
            names.extend(["log", "client", BROKER_TABLE]);
        }
        let error = ConfigError::unknown(
            place.source.clone(),
            &format!("a setting of {}", show_table(table)),
            wrong,
            nearest(wrong, names.iter().copied()),
        );
        let known = names.join(", ");
        let message = if error.message.contains("Did you mean") {
            error.message
        } else {
            format!("{}; known are {known}", error.message)
        };
        Err(place.error(message))
    }

    /// `num.partitions = 3` in TOML is a table in a table: put the name together again.
    fn flatten(&self, prefix: String, table: &DeTable<'_>, into: &mut FileValues) -> Result<(), ConfigError> {
        for (name, value) in in_file_order(table) {
            let part = name.get_ref();
            let full = if prefix.is_empty() {
                part.to_string()
            } else {
                format!("{prefix}.{part}")
            };
            match value.get_ref() {
                DeValue::Table(inner) => self.flatten(full, inner, into)?,
                _ => {
                    // The span of the key: a mistake in the name is as likely as one in the value.
                    let place = Placed {
                        raw: raw(value.get_ref()),
                        ..self.place(name.span())
                    };
                    if into.broker.iter().any(|(known, _)| *known == full) {
                        return Err(place.error(format!("`{full}` is set twice")));
                    }
                    into.broker.push((full, place));
                }
            }
        }
        Ok(())
    }

    fn placed(&self, value: &Spanned<DeValue<'_>>) -> Placed {
        Placed {
            raw: raw(value.get_ref()),
            ..self.place(value.span())
        }
    }

    /// A place without a value yet.
    fn place(&self, span: Range<usize>) -> Placed {
        let start = span.start.min(self.text.len());
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[start..]
            .find('\n')
            .map_or(self.text.len(), |at| start + at);
        let line_number = self.text[..start].matches('\n').count() + 1;
        let columns = start - line_start..span.end.clamp(start, line_end) - line_start;
        let line = self.text[line_start..line_end].trim_end_matches('\r').to_owned();
        Placed {
            raw: Raw::Unfit("nothing"),
            source: Source::File {
                path: self.path.clone(),
                line: line_number,
            },
            excerpt: Excerpt {
                line_number,
                line,
                columns,
            },
        }
    }

    fn syntax_error(&self, error: &toml::de::Error) -> ConfigError {
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        self.place(error.span().unwrap_or(0..0)).error(message)
    }
}

fn show_table(table: Option<&str>) -> String {
    table.map_or("the top of the file".to_owned(), |table| format!("[{table}]"))
}

/// The parser's map is sorted by name; people read from the top.
fn in_file_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<toml::de::DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => {
            Raw::Integer(number.as_str().replace(['_', '+'], ""))
        }
        DeValue::Integer(_) => Raw::Unfit("a number that is not decimal"),
        DeValue::Float(number) => Raw::Text(number.as_str().replace('_', "")),
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Array(items) => Raw::List(items.iter().map(|item| raw(item.get_ref())).collect()),
        DeValue::Datetime(_) => Raw::Unfit("a date"),
        DeValue::Table(_) => Raw::Unfit("a table"),
    }
}

const FILE_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<FileValues, ConfigError> {
        parse(Path::new("m.toml"), text)
    }

    #[test]
    fn values_keep_their_line_and_columns() {
        let values =
            parse_text("# comment\nlisten = [\"a:1\", \"b:2\"]\n\n[log]\n  level = \"debug\"\n").unwrap();
        let (key, placed) = &values.keys[1];
        assert_eq!(*key, Key::LogLevel);
        assert_eq!(placed.source.to_string(), "m.toml:5");
        assert_eq!(&placed.excerpt.line[placed.excerpt.columns.clone()], "\"debug\"");
        let both = Raw::List(vec![Raw::Text("a:1".into()), Raw::Text("b:2".into())]);
        assert_eq!(values.keys[0].1.raw, both);
    }

    #[test]
    fn dotted_and_quoted_broker_settings_are_the_same() {
        let dotted = parse_text("[broker]\nnum.partitions = 3\nlog.retention.ms = \"7d\"").unwrap();
        let quoted = parse_text("[broker]\n\"num.partitions\" = 3\n\"log.retention.ms\" = \"7d\"").unwrap();
        let names = |values: &FileValues| {
            values
                .broker
                .iter()
                .map(|(name, _)| name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&dotted), ["num.partitions", "log.retention.ms"]);
        assert_eq!(names(&dotted), names(&quoted));
    }

    /// One mistake a row: the text, the place, and what the message must hold.
    #[test]
    fn mistakes_name_the_line_and_the_nearest_key() {
        let check = |text: &str, line: usize, part: &str| {
            let shown = parse_text(text).unwrap_err().to_string();
            assert!(shown.starts_with(&format!("m.toml:{line}: ")), "{shown}");
            assert!(shown.contains(part), "{shown}");
        };
        check("\nlisen = \"a\"", 2, "Did you mean `listen`?");
        check("[log]\nlevle = \"info\"", 2, "Did you mean `level`?");
        check("level = \"info\"", 1, "`level` belongs to [log]");
        check(
            "[log]\nlisten = \"a\"",
            2,
            "`listen` belongs to the top of the file",
        );
        check("[bloker]\nx = 1", 1, "Did you mean `broker`?");
        check("\"num.partitions\" = 1", 1, "belong to [broker]");
        check("zzz = 1", 1, "known are data_dir, listen");
        check("[broker]\na.b = 1\n\"a.b\" = 2", 3, "`a.b` is set twice");
        check("listen = [", 1, "m.toml:1: ");
        check("cores = 1\ncores = 2", 2, "duplicate key");
    }

    #[test]
    fn the_excerpt_points_at_the_mistake() {
        let shown = parse_text("cores = 1\nlisen = \"a\"").unwrap_err().to_string();
        assert!(shown.ends_with("\n  2 | lisen = \"a\"\n    | ^^^^^"), "{shown}");
    }
}
