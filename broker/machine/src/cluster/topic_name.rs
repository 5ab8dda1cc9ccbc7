//! Which names a topic may have.
//!
//! Place: the controller, before it creates one.

use alloc::format;
use alloc::string::{String, ToString};

/// Says in Kafka's words why `name` is no topic name.
pub fn check(name: &str) -> Result<(), String> {
    let reason = match name {
        "" => "the empty string is not allowed".to_string(),
        "." | ".." => format!("'{name}' is not allowed"),
        _ if name.len() > NAME_BYTES_MAX => {
            format!("the length of '{name}' is longer than the max allowed length {NAME_BYTES_MAX}")
        }
        _ if !name.bytes().all(is_legal) => {
            format!(
                "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
            )
        }
        _ => return Ok(()),
    };
    Err(format!("Topic name is invalid: {reason}"))
}

/// What a name has in common with those that it would be confused with (metrics write dots as underscores);
/// `None` for a name that is confused with none.
pub fn common_form(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// A directory named by topic and partition must fit into a file name; clients rely on the number.
pub const NAME_BYTES_MAX: usize = 249;

#[cfg(test)]
mod tests {
    use super::*;

    /// The expectations are the messages of Kafka 4.3's `Topic.validate`.
    #[test]
    fn names_are_kafkas() {
        for good in ["a", "A-1._", "...", &"x".repeat(249)] {
            assert_eq!(check(good), Ok(()));
        }
        let bad = |name: &str, reason: &str| {
            assert_eq!(check(name), Err(format!("Topic name is invalid: {reason}")))
        };
        bad("", "the empty string is not allowed");
        bad(".", "'.' is not allowed");
        bad("..", "'..' is not allowed");
        let long = "x".repeat(250);
        bad(
            &long,
            &format!("the length of '{long}' is longer than the max allowed length 249"),
        );
        let illegal = "contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'";
        for name in ["a b", "a/b", "ä", "a:b", "a\0"] {
            bad(name, &format!("'{name}' {illegal}"));
        }
    }

    #[test]
    fn only_dots_and_underscores_are_confused() {
        assert_eq!(common_form("a.b_c").as_deref(), Some("a_b_c"));
        assert_eq!(common_form("a-b"), None);
    }
}
