//! Primitives: the fields that every message is made of, read from and written to bytes.

mod reader;
mod writer;

pub use reader::{Reader, TaggedField};
pub use writer::{FrameMark, Splice, Writer};
