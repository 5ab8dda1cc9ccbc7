//! millstream-tests.
