//! Who may append while the logs are short of room: those that bring little, for it is others who took it.
//!
//! Place: one [`Appended`] for each connection, asked before a produce request starts.
//! Invariant: between two changes of the room no connection appends more than [`LITTLE_BYTES`] into what is left.

use millstream_storage::Room;

use crate::limits::LITTLE_BYTES;

/// What may be appended now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub room: Room,
    /// Another one whenever the room changed.
    pub moment: u64,
}

/// What one connection appended while room was short.
#[derive(Debug, Default)]
pub struct Appended {
    moment: u64,
    bytes: usize,
}

impl Appended {
    /// Whether a request of so many bytes may start; it counts then.
    pub fn may_take(&mut self, bytes: usize, allowance: Allowance) -> bool {
        if self.moment != allowance.moment {
            *self = Self {
                moment: allowance.moment,
                bytes: 0,
            };
        }
        match allowance.room {
            Room::Plenty => true,
            Room::Little if self.bytes + bytes <= LITTLE_BYTES => {
                self.bytes += bytes;
                true
            }
            Room::Little | Room::None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_goes_on_while_much_waits_and_much_little_is_much() {
        let mut appended = Appended::default();
        let little = |moment| Allowance {
            room: Room::Little,
            moment,
        };
        assert!(!appended.may_take(LITTLE_BYTES + 1, little(1)));
        for _ in 0..4 {
            assert!(appended.may_take(LITTLE_BYTES / 4, little(1)));
        }
        assert!(!appended.may_take(1, little(1)), "its share is used up");
        assert!(
            appended.may_take(LITTLE_BYTES, little(2)),
            "until the room changes"
        );
        for (room, may) in [(Room::Plenty, true), (Room::None, false)] {
            assert_eq!(appended.may_take(1, Allowance { room, moment: 3 }), may);
        }
    }
}
