//! Messages outside of requests: the bytes that say themselves which version they are of, in their first two.
//!
//! They lie in records of internal topics and in fields that only clients understand.

use core::ops::RangeInclusive;

use super::value::{Value, Version};
use crate::error::{DecodeError, EncodeError};
use crate::primitive::{Reader, Writer};

/// A message that carries its version.
pub trait Data<'a>: Value<'a> {
    /// Those that are read and written.
    const VERSIONS: RangeInclusive<i16>;
    /// The first version with compact lengths and tagged fields; `None` for a message that never has them.
    const FLEXIBLE_FROM: Option<i16>;

    /// Reads what was written here or by an equal: an unknown version and bytes left over are errors.
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let number = r.i16()?;
        let version = Self::version(number).ok_or(DecodeError::UnsupportedVersion(number))?;
        let message = Self::read(&mut r, version)?;
        r.finish()?;
        Ok(message)
    }

    /// Reads what somebody newer may have written: a later version begins as the last known one does, and what
    /// follows is not looked at.
    fn decode_open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let number = r.i16()?;
        let version = Self::version(number.min(*Self::VERSIONS.end()))
            .ok_or(DecodeError::UnsupportedVersion(number))?;
        Self::read(&mut r, version)
    }

    /// After an error the writer holds a part of the message.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let known = Self::version(version).ok_or(EncodeError::UnsupportedVersion(version))?;
        w.i16(version);
        self.write(w, known)
    }

    /// `None` for one that is not known.
    fn version(number: i16) -> Option<Version> {
        Self::VERSIONS.contains(&number).then(|| Version {
            number,
            flexible: Self::FLEXIBLE_FROM.is_some_and(|from| number >= from),
        })
    }
}

/// `data!(Name<'a>: 0..=4, flexible Some(4))`
macro_rules! data {
    ($name:ident $(<$life:lifetime>)?: $versions:expr, flexible $flexible:expr) => {
        impl<'a> $crate::message::data::Data<'a> for $name $(<$life>)? {
            const VERSIONS: core::ops::RangeInclusive<i16> = $versions;
            const FLEXIBLE_FROM: Option<i16> = $flexible;
        }
    };
}

pub(crate) use data;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::consumer_protocol::ConsumerProtocolSubscription;
    use alloc::vec::Vec;

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let mut later = written(3);
        later[1] = 9;
        later.extend_from_slice(b"news");
        assert_eq!(
            ConsumerProtocolSubscription::decode(&later),
            Err(DecodeError::UnsupportedVersion(9))
        );
        let read = ConsumerProtocolSubscription::decode_open(&later).expect("as version 3");
        assert_eq!((read.topics, read.rack_id), (alloc::vec!["t"], Some("r")));

        let mut longer = written(0);
        longer.push(0);
        assert_eq!(
            ConsumerProtocolSubscription::decode(&longer),
            Err(DecodeError::Trailing)
        );
        assert!(ConsumerProtocolSubscription::decode_open(&longer).is_ok());
    }

    #[test]
    fn no_version_is_below_the_first() {
        let mut bytes = written(0);
        bytes[..2].copy_from_slice(&(-1i16).to_be_bytes());
        let refused = Err(DecodeError::UnsupportedVersion(-1));
        assert_eq!(ConsumerProtocolSubscription::decode(&bytes), refused);
        assert_eq!(ConsumerProtocolSubscription::decode_open(&bytes), refused);
        assert_eq!(
            ConsumerProtocolSubscription::default().encode(&mut Writer::new(), 4),
            Err(EncodeError::UnsupportedVersion(4))
        );
    }

    fn written(version: i16) -> Vec<u8> {
        let subscription = ConsumerProtocolSubscription {
            topics: alloc::vec!["t"],
            rack_id: Some("r"),
            ..ConsumerProtocolSubscription::default()
        };
        let mut w = Writer::new();
        subscription.encode(&mut w, version).expect("a known version");
        w.into_parts().0
    }
}
