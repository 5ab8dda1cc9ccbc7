//! Names of the broker's own operations on the ring: what kind, and whose.
//! Invariant: the top bit stays clear; tokens with the top bit set are the storage's.

use millstream_ring::Token;

use super::slab::Key;

/// A broker operation in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// The accept of a listener, by its index.
    Accept(usize),
    /// A receive of a connection.
    Receive(Key),
    /// A send of a connection.
    Send(Key),
    /// The close of a connection.
    Close(Key),
    /// The close of a socket that never became a connection.
    Discard,
}

impl Tag {
    pub fn token(self) -> Token {
        let (kind, bits) = match self {
            Tag::Accept(listener) => (ACCEPT, listener as u64),
            Tag::Receive(connection) => (RECEIVE, connection.to_bits()),
            Tag::Send(connection) => (SEND, connection.to_bits()),
            Tag::Close(connection) => (CLOSE, connection.to_bits()),
            Tag::Discard => (DISCARD, 0),
        };
        Token(kind << KIND_SHIFT | bits)
    }

    /// `None`: the token is the storage's.
    pub fn of(token: Token) -> Option<Tag> {
        if token.0 >> 63 == 1 {
            return None;
        }
        let key = Key::from_bits(token.0);
        Some(match token.0 >> KIND_SHIFT {
            ACCEPT => Tag::Accept(key.slot()),
            RECEIVE => Tag::Receive(key),
            SEND => Tag::Send(key),
            CLOSE => Tag::Close(key),
            DISCARD => Tag::Discard,
            kind => panic!("token of unknown kind {kind}"),
        })
    }
}

const KIND_SHIFT: u32 = 56;
const ACCEPT: u64 = 1;
const RECEIVE: u64 = 2;
const SEND: u64 = 3;
const CLOSE: u64 = 4;
const DISCARD: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_survive_their_tokens() {
        let key = Key::from_bits(0x00ab_cdef_1234_5678);
        for tag in [
            Tag::Accept(3),
            Tag::Receive(key),
            Tag::Send(key),
            Tag::Close(key),
            Tag::Discard,
        ] {
            assert_eq!(Tag::of(tag.token()), Some(tag));
        }
        assert_eq!(Tag::of(Token(1 << 63 | 5)), None);
    }
}
