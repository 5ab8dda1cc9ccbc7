//! What else comes to a broker's port: other protocols, told apart by the four bytes that stand where a Kafka request
//! has its length.
//! Invariant: every one of them is above the largest request, so that no request is ever taken for one.

use std::fmt;

use crate::limits::REQUEST_BYTES_MAX;

/// A protocol that is not Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// A ClientHello (RFC 8446, 5.1: handshake record, legacy version 3.x).
    Tls,
    Http,
    /// The banner that an SSH client begins with (RFC 4253, 4.2).
    Ssh,
}

impl Foreign {
    /// What a declared length really is.
    pub fn of(declared: usize) -> Option<Self> {
        let first = u32::try_from(declared).ok()?.to_be_bytes();
        match &first {
            [0x16, 0x03, _, _] => Some(Foreign::Tls),
            b"SSH-" => Some(Foreign::Ssh),
            _ => HTTP_METHODS.contains(&&first).then_some(Foreign::Http),
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Foreign::Tls => {
                "this is a TLS handshake and the listener speaks plain text; set the client's security.protocol to \
                 PLAINTEXT"
            }
            Foreign::Http => "this is an HTTP request and the listener speaks Kafka's protocol only",
            Foreign::Ssh => "this is an SSH client and the listener speaks Kafka's protocol only",
        })
    }
}

/// The first four bytes of each.
const HTTP_METHODS: [&[u8; 4]; 9] = [
    b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"CONN", b"OPTI", b"PATC", b"PRI ",
];

const _: () = assert!(REQUEST_BYTES_MAX < 0x1603_0000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_told_apart_and_lengths_are_none() {
        let of = |bytes: &[u8; 4]| Foreign::of(u32::from_be_bytes(*bytes) as usize);
        assert_eq!(of(&[0x16, 3, 1, 2]), Some(Foreign::Tls));
        for method in HTTP_METHODS {
            assert_eq!(of(method), Some(Foreign::Http));
        }
        assert_eq!(of(b"SSH-"), Some(Foreign::Ssh));
        assert_eq!(of(&[0x7f, 0xff, 0xff, 0xff]), None);
        assert_eq!(Foreign::of(REQUEST_BYTES_MAX + 1), None);
    }
}
