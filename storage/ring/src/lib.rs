//! millstream-ring.
