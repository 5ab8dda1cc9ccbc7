//! millstream-storage.
