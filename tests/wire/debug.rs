//! Reads what `{:?}` prints of a message, ours or the `kafka-protocol` crate's, into JSON, so that messages can
//! be compared without a serializer in them.

use millstream_protocol::types::TopicId;
use serde_json::{Map, Value};

/// Panics on anything that a derived `Debug` of a message does not print.
pub fn parse(text: &str) -> Value {
    let mut parser = Parser { rest: text };
    let value = parser.value();
    assert_eq!(parser.rest, "");
    value
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn value(&mut self) -> Value {
        match self.rest.as_bytes()[0] {
            b'[' => Value::Array(self.elements()),
            b'"' => Value::String(self.string()),
            b'-' | b'0'..=b'9' | b'a'..=b'f' if self.peek_uuid().is_some() => self.uuid(),
            b'-' | b'0'..=b'9' => self.number(),
            b'b' if self.skip("b\"") => self.byte_string(),
            _ => self.named(),
        }
    }

    /// A word alone, a struct, or a tuple struct of one field: an `Option`, an id, or records.
    fn named(&mut self) -> Value {
        let name = self.word();
        if self.skip(" { ") {
            return Value::Object(self.fields());
        }
        if !self.skip("(") {
            return match name {
                "true" | "false" => Value::Bool(name == "true"),
                "None" | "Null" => Value::Null,
                _ => panic!("a word alone: {name}"),
            };
        }
        let value = match name {
            "TopicId" => Value::String(self.word().to_owned()),
            "Some" | "Bytes" | "BrokerId" | "GroupId" | "ProducerId" | "TopicName" | "TransactionalId" => {
                self.value()
            }
            _ => panic!("an unknown wrapper: {name}"),
        };
        assert!(self.skip(")"));
        value
    }

    fn fields(&mut self) -> Map<String, Value> {
        let mut fields = Map::new();
        loop {
            // The crate has an underscore before Rust's keywords.
            let name = self.word().trim_start_matches('_');
            assert!(self.skip(": "), "after {name}");
            if name == "unknown_tagged_fields" {
                assert!(self.skip("{}"), "the crate knows fewer fields");
            } else {
                fields.insert(name.to_owned(), self.value());
            }
            if self.skip(" }") {
                return fields;
            }
            assert!(self.skip(", "), "after {name}");
        }
    }

    fn elements(&mut self) -> Vec<Value> {
        let mut elements = Vec::new();
        assert!(self.skip("["));
        while !self.skip("]") {
            elements.push(self.value());
            let _ = self.skip(", ");
        }
        elements
    }

    fn string(&mut self) -> String {
        assert!(self.skip("\""));
        let mut string = String::new();
        loop {
            let end = self.rest.find(['"', '\\']).expect("a closing quote");
            string.push_str(&self.rest[..end]);
            let quote = self.rest[end..].starts_with('"');
            self.rest = &self.rest[end + 1..];
            if quote {
                return string;
            }
            string.push(self.escaped());
        }
    }

    /// What a backslash stands before.
    fn escaped(&mut self) -> char {
        let mut characters = self.rest.chars();
        let kind = characters.next().expect("an escape");
        self.rest = characters.as_str();
        match kind {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '0' => '\0',
            'u' => {
                let (digits, rest) = self.rest.split_once('}').expect("a closing brace");
                self.rest = rest;
                let code = u32::from_str_radix(digits.trim_start_matches('{'), 16).expect("hexadecimal");
                char::from_u32(code).expect("a character")
            }
            itself => itself,
        }
    }

    /// The crate's ids, in the notation of ours.
    fn uuid(&mut self) -> Value {
        let bits = self.peek_uuid().expect("looked at before");
        self.rest = &self.rest[UUID_LEN..];
        Value::String(TopicId::new(bits.to_be_bytes()).to_string())
    }

    fn peek_uuid(&self) -> Option<u128> {
        let text = self.rest.get(..UUID_LEN)?;
        let dashed = text.match_indices('-').map(|(at, _)| at).eq([8, 13, 18, 23]);
        dashed.then(|| u128::from_str_radix(&text.replace('-', ""), 16).ok())?
    }

    /// The crate's bytes, after the opening quote: ASCII as it is, the rest escaped.
    fn byte_string(&mut self) -> Value {
        let mut bytes = Vec::new();
        loop {
            let mut characters = self.rest.chars();
            let (byte, len) = match characters.next().expect("a closing quote") {
                '"' => break,
                '\\' => match characters.next().expect("an escape") {
                    'x' => {
                        let digits = &self.rest[2..4];
                        (u8::from_str_radix(digits, 16).expect("two hexadecimal digits"), 4)
                    }
                    'n' => (b'\n', 2),
                    'r' => (b'\r', 2),
                    't' => (b'\t', 2),
                    '0' => (0, 2),
                    itself => (itself as u8, 2),
                },
                plain => (plain as u8, 1),
            };
            bytes.push(byte);
            self.rest = &self.rest[len..];
        }
        assert!(self.skip("\""));
        Value::from(bytes)
    }

    fn number(&mut self) -> Value {
        let digits = self.word();
        if self.skip(".") {
            let fraction = self.word();
            return Value::from(format!("{digits}.{fraction}").parse::<f64>().expect("a number"));
        }
        Value::from(digits.parse::<i64>().expect("an integer"))
    }

    fn word(&mut self) -> &'a str {
        let end = self
            .rest
            .find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-'));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    fn skip(&mut self, expected: &str) -> bool {
        let rest = self.rest.strip_prefix(expected);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

const UUID_LEN: usize = 36;
