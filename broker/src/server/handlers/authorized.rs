//! Which operations a client may do, as bit sets of Kafka's operation numbers: all that there are for such a resource,
//! as nobody is kept from anything.

use millstream_protocol::error::ErrorCode;

/// Create, alter, describe, cluster action, describe and alter configs, idempotent write.
pub const CLUSTER: i32 = bits(&[5, 7, 8, 9, 10, 11, 12]);
/// Read, write, create, delete, alter, describe, describe and alter configs.
pub const TOPIC: i32 = bits(&[3, 4, 5, 6, 7, 8, 10, 11]);
/// Read, delete, describe, describe and alter configs.
pub const GROUP: i32 = bits(&[3, 6, 8, 10, 11]);
/// What is said where nobody asked.
pub const NOT_ASKED: i32 = i32::MIN;

/// What is told of a group: nothing of one that is not known, and nothing that was not asked for.
pub fn of_group(is_asked: bool, error_code: i16) -> i32 {
    match is_asked && error_code == ErrorCode::None as i16 {
        true => GROUP,
        false => NOT_ASKED,
    }
}

const fn bits(operations: &[u32]) -> i32 {
    let mut bits = 0;
    let mut at = 0;
    while at < operations.len() {
        bits |= 1 << operations[at];
        at += 1;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kafka 4.3.1 without an authorizer answers these.
    #[test]
    fn the_sets_are_kafkas() {
        assert_eq!((CLUSTER, TOPIC, GROUP), (8096, 3576, 3400));
    }
}
