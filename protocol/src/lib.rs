//! millstream-protocol.
