//! Kafka's messages and ours, field by field, and the defaults of the fields that a version lacks.

use std::collections::BTreeMap;

use millstream_fuzz::golden;
use serde_json::Value;

/// Kafka's default of every field of every struct, taken from the hollow messages of the versions that have
/// it.
pub struct Defaults(BTreeMap<String, Value>);

impl Defaults {
    /// Of each hollow message its name and JSON.
    pub fn of<'a>(hollow: impl Iterator<Item = (String, &'a str)>) -> Self {
        let mut defaults = Self(BTreeMap::new());
        for (root, json) in hollow {
            let json = serde_json::from_str(json).expect("the generator writes JSON");
            defaults.collect(&root, &json);
        }
        defaults
    }

    fn collect(&mut self, path: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    let path = format!("{path}.{field}");
                    self.collect(&path, value);
                    self.0.insert(path, value.clone());
                }
            }
            Value::Array(elements) => elements.iter().for_each(|element| self.collect(path, element)),
            _ => {}
        }
    }

    /// Every field that Kafka has in this version must have its value; a field that the version lacks, its
    /// default. `name` says which message it is, `path` which field.
    pub fn assert_same(&self, name: &str, path: &str, ours: &Value, kafkas: &Value) {
        match (ours, kafkas) {
            (Value::Object(ours), Value::Object(kafkas)) => {
                let missing = kafkas.keys().find(|field| !ours.contains_key(*field));
                assert_eq!(missing, None, "{name}: {path}");
                for (field, ours) in ours {
                    let path = format!("{path}.{field}");
                    match (kafkas.get(field), self.0.get(&path)) {
                        (Some(kafkas), _) => self.assert_same(name, &path, ours, kafkas),
                        (None, _) => self.assert_default(name, &path, ours),
                    }
                }
            }
            (Value::Array(ours), Value::Array(kafkas)) => {
                assert_eq!(ours.len(), kafkas.len(), "{name}: {path}");
                let pairs = ours.iter().zip(kafkas);
                pairs.for_each(|(ours, kafkas)| self.assert_same(name, path, ours, kafkas));
            }
            (Value::Array(bytes), Value::String(hex)) => {
                let bytes: Vec<u8> = bytes
                    .iter()
                    .map(|byte| byte.as_u64().expect("a byte") as u8)
                    .collect();
                assert_eq!(bytes, golden::from_hex(hex), "{name}: {path}");
            }
            _ => assert_eq!(ours, kafkas, "{name}: {path}"),
        }
    }

    /// Every field of a message must have its default.
    pub fn assert_all(&self, name: &str, path: &str, ours: &Value) {
        for (field, ours) in ours.as_object().expect("a struct") {
            self.assert_default(name, &format!("{path}.{field}"), ours);
        }
    }

    fn assert_default(&self, name: &str, path: &str, ours: &Value) {
        let default = self
            .0
            .get(path)
            .unwrap_or_else(|| panic!("{name}: no version of Kafka's has {path}"));
        match (ours, default) {
            // What may be null is null by default in ours, and often empty in Kafka's.
            (Value::Null, Value::String(text)) => assert_eq!(text, "", "{name}: {path}"),
            (Value::Null, Value::Array(_) | Value::Object(_)) => {}
            // A hollow message has one element in each array.
            (Value::Array(elements), Value::Array(_)) => assert!(elements.is_empty(), "{name}: {path}"),
            (Value::Array(bytes), Value::String(hex)) => {
                assert!(bytes.is_empty() && hex.is_empty(), "{name}: {path}")
            }
            (Value::Object(_), Value::Object(_)) => self.assert_all(name, path, ours),
            _ => assert_eq!(ours, default, "{name}: {path}"),
        }
    }
}
