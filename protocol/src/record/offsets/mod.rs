//! The records of `__consumer_offsets`, in Kafka's own bytes: all that a group coordinator keeps.
//!
//! A key's first two bytes say what kind of record it is, a value's first two its version. A record without a
//! value takes back what the last one with its key said. Kinds 9 to 15 and from 17 on are share and streams
//! groups, which are not read here.

pub mod consumer_group;
pub mod group_metadata;
pub mod offset_commit;

pub use consumer_group::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey,
    ConsumerGroupMetadataValue, ConsumerGroupPartitionMetadataKey, ConsumerGroupPartitionMetadataValue,
    ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue,
};
pub use group_metadata::{GroupMetadataKey, GroupMetadataValue};
pub use offset_commit::{LegacyOffsetCommitKey, LegacyOffsetCommitValue, OffsetCommitKey, OffsetCommitValue};

use crate::error::{DecodeError, EncodeError};
use crate::message::data::Data;
use crate::message::value::{Value, Version};
use crate::primitive::{Reader, Writer};

/// Defines the enum of all kinds of records: number, name, key, value, and the version that values are written in.
macro_rules! records {
    ($($kind:literal $name:ident: $key:ty => $value:ty, written in $version:expr;)*) => {
        /// A record with its key and, unless it takes back, its value.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum OffsetsRecord<'a> {
            $($name($key, Option<$value>),)*
        }

        impl<'a> OffsetsRecord<'a> {
            /// `None` for a kind that is not read here. A value is `None` where the record's is null.
            pub fn decode(key: &'a [u8], value: Option<&'a [u8]>) -> Result<Option<Self>, DecodeError> {
                let mut r = Reader::new(key);
                match r.i16()? {
                    $($kind => {
                        let key = Value::read(&mut r, KEY_VERSION)?;
                        r.finish()?;
                        let value = value.map(<$value as Data>::decode).transpose()?;
                        Ok(Some(Self::$name(key, value)))
                    })*
                    _ => Ok(None),
                }
            }

            /// After an error the writer holds a part of the key.
            pub fn encode_key(&self, w: &mut Writer) -> Result<(), EncodeError> {
                match self {
                    $(Self::$name(key, _) => {
                        w.i16($kind);
                        key.write(w, KEY_VERSION)
                    })*
                }
            }

            /// Writes the value in the version that Kafka 4.3 would choose. `false`, and nothing written, where
            /// the record takes back. After an error the writer holds a part of the value.
            pub fn encode_value(&self, w: &mut Writer) -> Result<bool, EncodeError> {
                match self {
                    $(Self::$name(_, Some(value)) => {
                        let version: fn(&$value) -> i16 = $version;
                        value.encode(w, version(value)).map(|()| true)
                    })*
                    $(Self::$name(_, None))|* => Ok(false),
                }
            }
        }
    };
}

records! {
    0 LegacyOffsetCommit: LegacyOffsetCommitKey<'a> => LegacyOffsetCommitValue<'a>, written in |_| 0;
    // Version 1 is the only one that has an expiry of its own.
    1 OffsetCommit: OffsetCommitKey<'a> => OffsetCommitValue<'a>, written in
        |value| if value.expire_timestamp == -1 { 4 } else { 1 };
    // Version 4 came with nothing but its layout.
    2 GroupMetadata: GroupMetadataKey<'a> => GroupMetadataValue<'a>, written in |_| 3;
    3 ConsumerGroupMetadata: ConsumerGroupMetadataKey<'a> => ConsumerGroupMetadataValue, written in |_| 0;
    4 ConsumerGroupPartitionMetadata: ConsumerGroupPartitionMetadataKey<'a>
        => ConsumerGroupPartitionMetadataValue<'a>, written in |_| 0;
    5 ConsumerGroupMemberMetadata: ConsumerGroupMemberMetadataKey<'a>
        => ConsumerGroupMemberMetadataValue<'a>, written in |_| 0;
    6 ConsumerGroupTargetAssignmentMetadata: ConsumerGroupTargetAssignmentMetadataKey<'a>
        => ConsumerGroupTargetAssignmentMetadataValue, written in |_| 0;
    7 ConsumerGroupTargetAssignmentMember: ConsumerGroupTargetAssignmentMemberKey<'a>
        => ConsumerGroupTargetAssignmentMemberValue, written in |_| 0;
    8 ConsumerGroupCurrentMemberAssignment: ConsumerGroupCurrentMemberAssignmentKey<'a>
        => ConsumerGroupCurrentMemberAssignmentValue, written in |_| 0;
    16 ConsumerGroupRegularExpression: ConsumerGroupRegularExpressionKey<'a>
        => ConsumerGroupRegularExpressionValue<'a>, written in |_| 0;
}

/// Keys have one version, which the wire does not carry.
const KEY_VERSION: Version = Version {
    number: 0,
    flexible: false,
};

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn records_come_back() {
        let key = OffsetCommitKey {
            group: "g",
            topic: "t",
            partition: 3,
        };
        let value = OffsetCommitValue {
            offset: 7,
            metadata: "m",
            commit_timestamp: 11,
            ..OffsetCommitValue::default()
        };
        let expiring = OffsetCommitValue {
            expire_timestamp: 12,
            ..value.clone()
        };
        for (value, version) in [(Some(value), 4), (Some(expiring), 1), (None, -1)] {
            let record = OffsetsRecord::OffsetCommit(key.clone(), value);
            let (key, value) = encoded(&record);
            assert_eq!(key, [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 3]);
            assert_eq!(value.as_ref().map_or(-1, |value| i16::from(value[1])), version);
            assert_eq!(OffsetsRecord::decode(&key, value.as_deref()), Ok(Some(record)));
        }
    }

    #[test]
    fn other_kinds_are_none_and_damage_is_an_error() {
        let share_group = [0, 9, 0, 1, b'g'];
        assert_eq!(OffsetsRecord::decode(&share_group, Some(&[0])), Ok(None));
        assert_eq!(OffsetsRecord::decode(&[0], None), Err(DecodeError::Truncated));
        let group = [0, 2, 0, 1, b'g'];
        assert!(OffsetsRecord::decode(&group, None).is_ok());
        assert_eq!(
            OffsetsRecord::decode(&[0, 2, 0, 1, b'g', 0], None),
            Err(DecodeError::Trailing)
        );
        assert_eq!(
            OffsetsRecord::decode(&group, Some(&[0, 5])),
            Err(DecodeError::UnsupportedVersion(5))
        );
    }

    fn encoded(record: &OffsetsRecord<'_>) -> (Vec<u8>, Option<Vec<u8>>) {
        let (mut key, mut value) = (Writer::new(), Writer::new());
        record.encode_key(&mut key).expect("a key");
        let there = record.encode_value(&mut value).expect("a value");
        (key.into_parts().0, there.then(|| value.into_parts().0))
    }
}
