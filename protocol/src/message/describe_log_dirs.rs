//! DescribeLogDirs: a broker's data directories and how much of them each partition takes.

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(DescribeLogDirs: DescribeLogDirsRequest<'a>, DescribeLogDirsResponse<'r>);

message! {
    pub struct DescribeLogDirsRequest<'a> {
        /// Null for all.
        topics: Option<Vec<DescribableLogDirTopic<'a>>> [0..],
    }
}

message! {
    pub struct DescribableLogDirTopic<'a> {
        topic: &'a str [0..],
        partitions: Vec<i32> [0..],
    }
}

message! {
    pub struct DescribeLogDirsResponse<'a> {
        throttle_time_ms: i32 [0..],
        error_code: i16 [3..],
        results: Vec<DescribeLogDirsResult<'a>> [0..],
    }
}

message! {
    pub struct DescribeLogDirsResult<'a> {
        error_code: i16 [0..],
        log_dir: &'a str [0..],
        topics: Vec<DescribeLogDirsTopic<'a>> [0..],
        /// Of the file system; -1 for unknown.
        total_bytes: i64 [4..] default(-1),
        /// Of the file system, as far as it is free; -1 for unknown.
        usable_bytes: i64 [4..] default(-1),
        /// No new partitions are to be put here.
        is_cordoned: bool [5..],
    }
}

message! {
    pub struct DescribeLogDirsTopic<'a> {
        name: &'a str [0..],
        partitions: Vec<DescribeLogDirsPartition> [0..],
    }
}

message! {
    pub struct DescribeLogDirsPartition {
        partition_index: i32 [0..],
        /// Bytes of its segments.
        partition_size: i64 [0..],
        /// How far its end is ahead of the high watermark.
        offset_lag: i64 [0..],
        /// Whether this is a copy that another directory is being filled with.
        is_future_key: bool [0..],
    }
}
