//! How a record is printed: kcat's format strings, and JSON.

use serde::{Deserialize, Serialize};

use super::base64;
use crate::client::FetchedRecord;
use crate::telemetry::civil_time;

/// A format string, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFormat {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Value,
    ValueSize,
    /// The value's size as four bytes, most significant first.
    ValueSizeBinary,
    Key,
    KeySize,
    Headers,
    Timestamp,
    /// The timestamp as a date and time.
    TimestampText,
    Topic,
    Partition,
    Offset,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Token(Token),
}

impl RecordFormat {
    /// `%s %S %R %k %K %h %T %D %t %p %o %%`, and the escapes `\n \r \t \\ \0 \xNN`.
    pub fn parse(text: &str) -> Result<RecordFormat, String> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '%' => match chars.next() {
                    Some('%') => literal.push(b'%'),
                    Some(letter) => {
                        let token =
                            token_of(letter).ok_or_else(|| format!("`%{letter}` means nothing; {TOKENS}"))?;
                        if !literal.is_empty() {
                            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                        }
                        pieces.push(Piece::Token(token));
                    }
                    None => return Err("a single `%` at the end; write `%%` for the sign itself".to_owned()),
                },
                '\\' => literal.push(escape(&mut chars)?),
                other => literal.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(RecordFormat { pieces })
    }

    /// Appends the record's text. `null` stands for a key or value that is none.
    pub fn write(&self, topic: &str, record: &FetchedRecord, null: &str, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Token(token) => write_token(*token, topic, record, null, out),
            }
        }
    }
}

/// A delimiter as it is written on the command line: text with the escapes of a format.
pub fn parse_delimiter(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => bytes.push(escape(&mut chars)?),
            other => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    if bytes.is_empty() {
        Err("a delimiter has at least one byte".to_owned())
    } else {
        Ok(bytes)
    }
}

/// A record as JSON: written by `consume --json`, read by `produce --json`. Bytes that are no text stand as
/// base64 under the name with `_base64`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// Milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_base64: Option<String>,
    /// Null, or left out, is a record without a value.
    #[serde(default)]
    pub value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<JsonHeader>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonHeader {
    pub name: String,
    #[serde(default)]
    pub value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
}

impl JsonRecord {
    pub fn new(topic: &str, record: &FetchedRecord) -> JsonRecord {
        let (key, key_base64) = text_or_base64(record.key.as_deref());
        let (value, value_base64) = text_or_base64(record.value.as_deref());
        let headers = record.headers.iter().map(|(name, value)| {
            let (value, value_base64) = text_or_base64(value.as_deref());
            JsonHeader {
                name: name.clone(),
                value,
                value_base64,
            }
        });
        JsonRecord {
            topic: Some(topic.to_owned()),
            partition: Some(record.partition),
            offset: Some(record.offset),
            timestamp: record.timestamp,
            key,
            key_base64,
            value,
            value_base64,
            headers: headers.collect(),
        }
    }
}

/// The bytes that a text or its base64 stand for.
pub fn bytes_of(text: Option<&str>, coded: Option<&str>) -> Result<Option<Vec<u8>>, String> {
    match (text, coded) {
        (Some(_), Some(_)) => Err("text and base64 of the same thing".to_owned()),
        (Some(text), None) => Ok(Some(text.as_bytes().to_vec())),
        (None, Some(coded)) => base64::decode(coded)
            .map(Some)
            .ok_or_else(|| "that is not base64".to_owned()),
        (None, None) => Ok(None),
    }
}

fn text_or_base64(bytes: Option<&[u8]>) -> (Option<String>, Option<String>) {
    match bytes.map(std::str::from_utf8) {
        None => (None, None),
        Some(Ok(text)) => (Some(text.to_owned()), None),
        Some(Err(_)) => (None, bytes.map(base64::encode)),
    }
}

fn token_of(letter: char) -> Option<Token> {
    Some(match letter {
        's' => Token::Value,
        'S' => Token::ValueSize,
        'R' => Token::ValueSizeBinary,
        'k' => Token::Key,
        'K' => Token::KeySize,
        'h' => Token::Headers,
        'T' => Token::Timestamp,
        'D' => Token::TimestampText,
        't' => Token::Topic,
        'p' => Token::Partition,
        'o' => Token::Offset,
        _ => return None,
    })
}

fn escape(chars: &mut std::str::Chars<'_>) -> Result<u8, String> {
    Ok(match chars.next() {
        Some('n') => b'\n',
        Some('r') => b'\r',
        Some('t') => b'\t',
        Some('0') => 0,
        Some('\\') => b'\\',
        Some('x') => {
            let digits: String = chars.by_ref().take(2).collect();
            let wrong = || format!("`\\x{digits}` is not a byte; write two hexadecimal digits");
            if digits.len() != 2 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            u8::from_str_radix(&digits, 16).map_err(|_| wrong())?
        }
        Some(other) => {
            return Err(format!(
                "`\\{other}` means nothing; known are \\n \\r \\t \\0 \\\\ \\xNN"
            ));
        }
        None => return Err("a single `\\` at the end; write `\\\\` for the sign itself".to_owned()),
    })
}

fn write_token(token: Token, topic: &str, record: &FetchedRecord, null: &str, out: &mut Vec<u8>) {
    let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(-1, |bytes| bytes.len() as i64);
    let or_null = |bytes: &Option<Vec<u8>>, out: &mut Vec<u8>| {
        out.extend_from_slice(bytes.as_deref().unwrap_or(null.as_bytes()));
    };
    match token {
        Token::Value => or_null(&record.value, out),
        Token::ValueSize => out.extend_from_slice(size(&record.value).to_string().as_bytes()),
        Token::ValueSizeBinary => out.extend_from_slice(&(size(&record.value) as i32).to_be_bytes()),
        Token::Key => or_null(&record.key, out),
        Token::KeySize => out.extend_from_slice(size(&record.key).to_string().as_bytes()),
        Token::Timestamp => out.extend_from_slice(record.timestamp.unwrap_or(-1).to_string().as_bytes()),
        Token::TimestampText => {
            let text = record
                .timestamp
                .map_or_else(|| "-".to_owned(), civil_time::format_millis);
            out.extend_from_slice(text.as_bytes());
        }
        Token::Topic => out.extend_from_slice(topic.as_bytes()),
        Token::Partition => out.extend_from_slice(record.partition.to_string().as_bytes()),
        Token::Offset => out.extend_from_slice(record.offset.to_string().as_bytes()),
        Token::Headers => {
            for (index, (name, value)) in record.headers.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(name.as_bytes());
                out.push(b'=');
                out.extend_from_slice(value.as_deref().unwrap_or(b"NULL"));
            }
        }
    }
}

/// What an error and the help say of the tokens.
const TOKENS: &str = "known are %s value, %S its size, %R the same as 4 bytes, %k key, %K its size, %h headers, %T \
                      milliseconds, %D date and time, %t topic, %p partition, %o offset, %% the sign";

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> FetchedRecord {
        FetchedRecord {
            partition: 3,
            offset: 42,
            timestamp: Some(1_000),
            key: Some(b"k".to_vec()),
            value: Some(b"value".to_vec()),
            headers: vec![("a".into(), Some(b"1".to_vec())), ("b".into(), None)],
        }
    }

    fn shown(format: &str, record: &FetchedRecord) -> Vec<u8> {
        let mut out = Vec::new();
        RecordFormat::parse(format)
            .unwrap()
            .write("t", record, "", &mut out);
        out
    }

    #[test]
    fn every_token_and_escape() {
        let check =
            |format: &str, expected: &[u8]| assert_eq!(shown(format, &record()), expected, "{format}");
        check(
            "%t [%p] at %o: key %k (%K), value %s (%S)\\n",
            b"t [3] at 42: key k (1), value value (5)\n",
        );
        check("%h|%T|%D|100%%", b"a=1,b=NULL|1000|1970-01-01T00:00:01.000Z|100%");
        check("%R", &[0, 0, 0, 5]);
        check("\\t\\r\\0\\\\\\x7f", b"\t\r\0\\\x7f");
        check("\u{e4}%s", "\u{e4}value".as_bytes());
    }

    #[test]
    fn nothing_is_shown_as_the_caller_wants_it() {
        let none = FetchedRecord {
            key: None,
            value: None,
            timestamp: None,
            headers: Vec::new(),
            ..record()
        };
        assert_eq!(shown("%k|%s|%K|%S|%T|%D|%h", &none), b"||-1|-1|-1|-|");
        let mut out = Vec::new();
        RecordFormat::parse("%k=%s")
            .unwrap()
            .write("t", &none, "NULL", &mut out);
        assert_eq!(out, b"NULL=NULL");
    }

    #[test]
    fn mistakes_say_what_is_known() {
        let check = |format: &str, part: &str| {
            let error = RecordFormat::parse(format).unwrap_err();
            assert!(error.contains(part), "{format}: {error}");
        };
        check("%x", "%s value");
        check("abc%", "`%%`");
        check("\\q", "\\xNN");
        check("\\", "`\\\\`");
        check("\\xg0", "two hexadecimal digits");
        check("\\x1", "two hexadecimal digits");
        assert_eq!(parse_delimiter("\\n"), Ok(vec![b'\n']));
        assert!(parse_delimiter("").is_err());
    }

    #[test]
    fn json_holds_text_as_text_and_bytes_as_base64() {
        let binary = FetchedRecord {
            value: Some(vec![0xFF, 0]),
            ..record()
        };
        let json = JsonRecord::new("t", &binary);
        let text = serde_json::to_string(&json).unwrap();
        assert!(
            text.contains(r#""key":"k","value":null,"value_base64":"/wA=""#),
            "{text}"
        );
        let back: JsonRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(back, json);
        assert_eq!(
            bytes_of(back.value.as_deref(), back.value_base64.as_deref()),
            Ok(Some(vec![0xFF, 0]))
        );
        assert!(bytes_of(Some("a"), Some("YQ==")).is_err());
        assert!(serde_json::from_str::<JsonRecord>(r#"{"valu":"x"}"#).is_err());
    }
}
