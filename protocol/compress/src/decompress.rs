//! Decompressing within a limit, in steps, so that a loop that must not be held up can do it piece by piece.

use std::fmt;
use std::io::{self, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;
use millstream_protocol::record::codec::Codec;
use millstream_protocol::record::error::BatchError;

use crate::snappy::SnappyReader;

/// Decompresses a body, one step at a time.
///
/// Memory: what has come out so far (which `Vec` may hold twice over), a block of the codec (lz4: 4 MiB;
/// snappy: the limit), and zstd's window, which is held below the limit's next power of two, 8 MiB at least.
pub struct Decompressor<'a> {
    stream: Box<dyn Read + Send + 'a>,
    out: Vec<u8>,
    limit: usize,
}

/// How far a [`Decompressor`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    /// All is there: take it with [`Decompressor::into_bytes`].
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecompressError {
    /// The codec refuses the data, or it ends too early.
    Corrupt,
    /// More than the limit, in bytes, would come out.
    TooLarge { limit: usize },
    /// The batch itself cannot be read.
    Batch(BatchError),
}

impl<'a> Decompressor<'a> {
    /// `limit` is the most that may come out, in bytes, inclusive.
    pub fn new(
        codec: Codec,
        input: impl AsRef<[u8]> + Send + 'a,
        limit: usize,
    ) -> Result<Self, DecompressError> {
        let stream: Box<dyn Read + Send + 'a> = match codec {
            Codec::None => Box::new(Cursor::new(input)),
            Codec::Gzip => Box::new(MultiGzDecoder::new(Cursor::new(input))),
            Codec::Snappy => Box::new(SnappyReader::new(input, limit)),
            Codec::Lz4 => Box::new(FrameDecoder::new(Cursor::new(input))),
            Codec::Zstd => {
                let mut decoder =
                    zstd::Decoder::with_buffer(Cursor::new(input)).map_err(|_| DecompressError::Corrupt)?;
                let window = limit
                    .checked_next_power_of_two()
                    .map_or(usize::BITS, usize::ilog2);
                let window = window.clamp(ZSTD_WINDOW_LOG_MIN, ZSTD_WINDOW_LOG_MAX);
                decoder.window_log_max(window).expect("a window that zstd knows");
                Box::new(decoder)
            }
        };
        Ok(Self {
            stream,
            out: Vec::new(),
            limit,
        })
    }

    /// Lets about `budget` bytes more come out. Ends after an error.
    pub fn step(&mut self, budget: usize) -> Result<Progress, DecompressError> {
        // One byte beyond the limit is asked for, to tell what just fits from what does not.
        let room = self.limit.saturating_add(1) - self.out.len();
        let wanted = budget.clamp(1, room) as u64;
        let read = self.stream.by_ref().take(wanted).read_to_end(&mut self.out);
        let read = read.map_err(|error| self.error(&error))?;
        if self.out.len() > self.limit {
            return Err(DecompressError::TooLarge { limit: self.limit });
        }
        Ok(if (read as u64) < wanted {
            Progress::Done
        } else {
            Progress::More
        })
    }

    /// What has come out.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    fn error(&self, error: &io::Error) -> DecompressError {
        match error.kind() {
            io::ErrorKind::FileTooLarge => DecompressError::TooLarge { limit: self.limit },
            _ => DecompressError::Corrupt,
        }
    }
}

/// Decompresses all at once. `limit` is the most that may come out, in bytes, inclusive.
pub fn decompress(codec: Codec, bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut decompressor = Decompressor::new(codec, bytes, limit)?;
    while decompressor.step(usize::MAX)? == Progress::More {}
    Ok(decompressor.into_bytes())
}

impl fmt::Display for DecompressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecompressError::Corrupt => f.write_str("the compressed records are corrupt"),
            DecompressError::TooLarge { limit } => {
                write!(f, "the records decompress to more than {limit} bytes")
            }
            DecompressError::Batch(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DecompressError {}

impl fmt::Debug for Decompressor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor")
            .field("out", &self.out.len())
            .field("limit", &self.limit)
            .finish()
    }
}

/// 8 MiB: what Kafka's client uses at its highest usual levels, whatever the size of the data.
const ZSTD_WINDOW_LOG_MIN: u32 = 23;

/// 128 MiB, zstd's own limit.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress;

    fn sample() -> Vec<u8> {
        (0..20_000u32)
            .flat_map(|number| (number / 7).to_le_bytes())
            .collect()
    }

    #[test]
    fn the_limit_is_the_last_size_that_fits() {
        let bytes = sample();
        for codec in Codec::ALL {
            let compressed = compress(codec, &bytes);
            assert_eq!(
                decompress(codec, &compressed, bytes.len()),
                Ok(bytes.clone()),
                "{codec}"
            );
            let limit = bytes.len() - 1;
            assert_eq!(
                decompress(codec, &compressed, limit),
                Err(DecompressError::TooLarge { limit }),
                "{codec}"
            );
        }
    }

    #[test]
    fn steps_give_what_one_go_gives() {
        let bytes = sample();
        for codec in Codec::ALL {
            let mut decompressor = Decompressor::new(codec, compress(codec, &bytes), 1 << 20).unwrap();
            let mut steps = 1;
            while decompressor.step(1_000).unwrap() == Progress::More {
                steps += 1;
            }
            assert_eq!(decompressor.into_bytes(), bytes, "{codec}");
            assert_eq!(steps, bytes.len() / 1_000 + 1, "{codec}");
        }
    }

    #[test]
    fn what_is_cut_off_does_not_pass_for_whole() {
        let bytes = sample();
        for codec in Codec::ALL {
            let compressed = compress(codec, &bytes);
            for end in (0..compressed.len()).step_by(17) {
                assert_ne!(
                    decompress(codec, &compressed[..end], 1 << 20),
                    Ok(bytes.clone()),
                    "{codec} {end}"
                );
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let zeros = vec![0; 64 << 20];
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let bomb = compress(codec, &zeros);
            let limit = 1 << 20;
            assert_eq!(
                decompress(codec, &bomb, limit),
                Err(DecompressError::TooLarge { limit }),
                "{codec}"
            );
        }
    }
}
