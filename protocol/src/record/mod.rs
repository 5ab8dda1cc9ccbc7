//! Records and the batches that they travel in (format v2, the only one since Kafka 4.0).
//!
//! A batch is checked once, when it is produced, and from then on is bytes that are stored and served as they
//! are.

pub mod batch;
pub mod builder;
pub mod codec;
pub mod crc;
mod cursor;
pub mod error;
pub mod offsets;
#[expect(clippy::module_inception, reason = "a record is what this room is about")]
pub mod record;
