//! Reads what `{:?}` prints of a message into JSON, so that messages can be compared without a serializer in
//! them.

use serde_json::{Map, Value};

/// Panics on anything that a derived `Debug` of our messages does not print.
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
            b'-' | b'0'..=b'9' => self.number(),
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
            "Some" | "Bytes" => self.value(),
            _ => panic!("an unknown wrapper: {name}"),
        };
        assert!(self.skip(")"));
        value
    }

    fn fields(&mut self) -> Map<String, Value> {
        let mut fields = Map::new();
        loop {
            let name = self.word();
            assert!(self.skip(": "), "after {name}");
            fields.insert(name.to_owned(), self.value());
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

    /// The golden strings have nothing to be escaped.
    fn string(&mut self) -> String {
        assert!(self.skip("\""));
        let (string, rest) = self.rest.split_once('"').expect("a closing quote");
        self.rest = rest;
        string.to_owned()
    }

    fn number(&mut self) -> Value {
        let digits = self.word();
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
