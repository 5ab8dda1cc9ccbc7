//! millstream-tuning.
