//! What is inside a compressed batch, for the few who must look: tools, time look-ups, tests.
//!
//! Place: beside `protocol`, which stays free of `std` and of these codecs. Produce and fetch never come
//! here: batches are stored and served as the producer compressed them.
//!
//! Invariants: what comes out never exceeds the caller's limit, and beyond it decompressing takes a constant
//! amount of memory (see [`Decompressor`]); no input panics.
#![forbid(unsafe_code)]

mod body;
mod compress;
mod decompress;
mod snappy;

pub use body::Body;
pub use compress::compress;
pub use decompress::{DecompressError, Decompressor, Progress, decompress};
