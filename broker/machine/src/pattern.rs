//! Regular expressions that clients bring, in RE2's syntax, held against whole texts.
//!
//! Place: groups subscribe to topics with them, and subscriptions to clients' metrics say with them of which clients.
//! Nobody keeps what was compiled: what a pattern may take is bounded while it is compiled, and paid for by nobody
//! else.

use alloc::format;
use alloc::string::{String, ToString};

use regex::bytes::{Regex, RegexBuilder};

/// For whole texts. By itself first, so that it cannot close what is put around it.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    let builder = |pattern: &str| {
        let mut builder = RegexBuilder::new(pattern);
        builder.unicode(false).size_limit(PATTERN_BYTES_MAX);
        builder.build().map_err(|error| error.to_string())
    };
    builder(pattern)?;
    builder(&format!(r"\A(?:{pattern})\z"))
}

/// What a pattern may take when it is compiled.
const PATTERN_BYTES_MAX: usize = 256 << 10;
