//! A configuration error: what is wrong, where it is written, and what was probably meant.

use std::fmt;

use super::source::Source;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub source: Source,
    /// What is wrong, without the place.
    pub message: String,
    /// The line of the file, and the byte range of the wrong part in it.
    pub excerpt: Option<Excerpt>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    pub line_number: usize,
    pub line: String,
    pub columns: std::ops::Range<usize>,
}

impl ConfigError {
    pub fn new(source: Source, message: impl Into<String>) -> ConfigError {
        ConfigError {
            source,
            message: message.into(),
            excerpt: None,
        }
    }

    /// `` `lisen` is not a setting. Did you mean `listen`? ``
    pub fn unknown(source: Source, what: &str, wrong: &str, meant: Option<&str>) -> ConfigError {
        let hint = meant
            .map(|name| format!(". Did you mean `{name}`?"))
            .unwrap_or_default();
        ConfigError::new(source, format!("`{wrong}` is not {what}{hint}"))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.message)?;
        if let Some(Excerpt {
            line_number,
            line,
            columns,
        }) = &self.excerpt
        {
            let margin = line_number.to_string();
            let before = line.get(..columns.start).map_or(0, |part| part.chars().count());
            let marked = line
                .get(columns.clone())
                .map_or(1, |part| part.chars().count().max(1));
            write!(f, "\n  {margin} | {line}")?;
            write!(
                f,
                "\n  {:w$} | {:before$}{}",
                "",
                "",
                "^".repeat(marked),
                w = margin.len()
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
