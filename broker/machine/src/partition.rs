//! One partition's decisions: what may be appended, what may be read, how far its marks have moved.
//!
//! Place: the owner shard's driver asks before it appends to or reads from the partition's log.

pub mod fetch;
pub mod list_offsets;
pub mod produce;
pub mod watermark;
