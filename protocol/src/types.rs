//! The protocol's nouns as types, so that an offset cannot be passed for an epoch.
//!
//! Invariants: none of them has a value that means "unset" (the wire's -1 is `None` here); [`Offset`] and
//! [`LeaderEpoch`] are never negative.

use core::fmt;
use core::ops::{Add, Sub};

/// Defines a newtype over an integer: copied, compared and shown as the integer is, with no implicit way back.
/// Who names it gives it its `new`.
#[macro_export]
macro_rules! newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name($inner);

        impl $name {
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

/// A newtype any value of which is legal.
#[macro_export]
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $crate::newtype! { $(#[$doc])* $name($inner) }

        impl $name {
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

/// Lets newtypes count: gives them `next`.
#[macro_export]
macro_rules! counting {
    ($($name:ident)*) => {
        $(
            impl $name {
                /// The one after this. Panics at the type's end, which nothing that is counted so reaches.
                #[track_caller]
                pub const fn next(self) -> Self {
                    match self.0.checked_add(1) {
                        Some(value) => Self(value),
                        None => panic!(concat!(stringify!($name), " overflows")),
                    }
                }
            }
        )*
    };
}

/// A newtype over a signed integer that is never negative, and counts.
macro_rules! natural {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        newtype! { $(#[$doc])* $name($inner) }
        counting! { $name }

        impl $name {
            pub const ZERO: Self = Self(0);
            pub const MAX: Self = Self(<$inner>::MAX);

            /// Panics on a negative value; for values from outside there is [`Self::checked`].
            #[track_caller]
            pub const fn new(value: $inner) -> Self {
                assert!(value >= 0, concat!(stringify!($name), " is never negative"));
                Self(value)
            }

            /// `None` for a negative value, which on the wire means "unknown" or is nonsense.
            pub const fn checked(value: $inner) -> Option<Self> {
                if value >= 0 { Some(Self(value)) } else { None }
            }
        }
    };
}

natural! {
    /// The place of a record in its partition's log: the first record ever written has 0.
    Offset(i64)
}

natural! {
    /// Counts the leaders that a partition has had.
    LeaderEpoch(i32)
}

number! {
    /// A partition's number within its topic.
    PartitionIndex(i32)
}

number! {
    /// An idempotent producer, as handed out by InitProducerId.
    ProducerId(i64)
}

number! {
    /// Counts the incarnations of one producer id.
    ProducerEpoch(i16)
}

number! {
    /// A broker's id within its cluster (Kafka's node id).
    BrokerId(i32)
}

number! {
    /// What a client matches a response to its request by.
    CorrelationId(i32)
}

number! {
    /// Milliseconds since 1970-01-01T00:00Z by a wall clock, a client's or a broker's.
    TimestampMs(i64)
}

number! {
    /// The place of a record among all those that a producer incarnation wrote to one partition. Runs from 0
    /// to `i32::MAX` and then from 0 again.
    Sequence(i32)
}

impl Offset {
    /// `None` where the sum would overflow or be negative.
    pub const fn checked_add(self, records: i64) -> Option<Self> {
        match self.0.checked_add(records) {
            Some(value) => Self::checked(value),
            None => None,
        }
    }
}

impl Add<i64> for Offset {
    type Output = Offset;

    /// Panics where the sum would overflow or be negative.
    #[track_caller]
    fn add(self, records: i64) -> Offset {
        self.checked_add(records).expect("offset out of range")
    }
}

impl Sub for Offset {
    type Output = i64;

    /// How many offsets lie between the two; negative where `self` is the lower one.
    fn sub(self, other: Offset) -> i64 {
        self.0 - other.0
    }
}

impl Sequence {
    /// The sequence `records` further on (0 or more), past `i32::MAX` from 0 again.
    pub const fn advance(self, records: i32) -> Self {
        let sum = self.0 as i64 + records as i64;
        Self((sum & i32::MAX as i64) as i32)
    }
}

impl TimestampMs {
    /// `None` for -1, by which the wire says "no timestamp".
    pub const fn from_wire(value: i64) -> Option<Self> {
        if value == -1 { None } else { Some(Self(value)) }
    }

    pub const fn to_wire(timestamp: Option<Self>) -> i64 {
        match timestamp {
            Some(timestamp) => timestamp.0,
            None => -1,
        }
    }
}

/// A topic's identity for ever: a topic that is deleted and created again under its name has another
/// (KIP-516).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct TopicId([u8; 16]);

impl TopicId {
    /// What the wire carries where a topic is given by name; no topic has it.
    pub const ZERO: Self = Self([0; 16]);

    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub const fn get(self) -> [u8; 16] {
        self.0
    }

    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// The 22 characters by which Kafka's tools show an id: URL-safe base64 without padding.
    pub fn to_base64(self) -> [u8; 22] {
        let mut text = [0; 22];
        let bits = u128::from_be_bytes(self.0);
        for (index, character) in text.iter_mut().enumerate() {
            let shift = 122 - 6 * index as i32;
            let six = if shift >= 0 { bits >> shift } else { bits << -shift };
            *character = BASE64[(six & 63) as usize];
        }
        text
    }

    /// Reads what [`Self::to_base64`] wrote; `None` for anything else.
    pub fn from_base64(text: &str) -> Option<Self> {
        if text.len() != 22 {
            return None;
        }
        let mut bits = 0u128;
        for (index, character) in text.bytes().enumerate() {
            let six = BASE64.iter().position(|&known| known == character)? as u128;
            match 122 - 6 * index as i32 {
                shift if shift >= 0 => bits |= six << shift,
                _ if six & 15 != 0 => return None,
                shift => bits |= six >> -shift,
            }
        }
        Some(Self(bits.to_be_bytes()))
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_base64();
        f.pad(core::str::from_utf8(&text).expect("base64 is ASCII"))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({self})")
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(Sequence::new(i32::MAX).advance(1), Sequence::new(0));
        assert_eq!(Sequence::new(i32::MAX - 1).advance(3), Sequence::new(1));
        assert_eq!(Sequence::new(7).advance(0), Sequence::new(7));
    }

    #[test]
    fn topic_ids_read_as_kafka_shows_them() {
        // Kafka's reserved id 1 in its own notation.
        let mut one = [0; 16];
        one[15] = 1;
        assert_eq!(TopicId::new(one).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id = TopicId::new(*b"\x00\x10\xff\xfe0123456789ab");
        assert_eq!(TopicId::from_base64(&id.to_string()), Some(id));
        assert_eq!(
            TopicId::from_base64("AAAAAAAAAAAAAAAAAAAAAR"),
            None,
            "bits beyond the 128th"
        );
        assert_eq!(TopicId::from_base64("short"), None);
    }

    #[test]
    fn offsets_refuse_what_is_no_offset() {
        assert_eq!(Offset::checked(-1), None);
        assert_eq!(Offset::MAX.checked_add(1), None);
        assert_eq!(Offset::new(5) + 3 - Offset::new(2), 6);
    }
}
