//! The bytes of one partition as a reader would get them: segment files, and over them what only the journal
//! holds.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use millstream_log::{DirtyRun, Segment, layout};
use millstream_protocol::record::batch::{BatchView, HEADER_LEN, LENGTH_END};

/// One segment up to its recorded end.
pub struct SegmentBytes<'a> {
    /// `None` where no file is there yet: all bytes are in the journal.
    file: Option<File>,
    /// In order of position.
    runs: Vec<&'a DirtyRun>,
    end: u64,
}

/// One step through a segment.
pub enum Found {
    /// A whole batch, and whether the journal holds bytes of it that the file may lack.
    Batch {
        position: u64,
        bytes: Vec<u8>,
        in_journal: bool,
    },
    /// From here on the bytes are no batch: how many are left, and why.
    Unreadable { position: u64, left: u64, why: String },
}

impl<'a> SegmentBytes<'a> {
    pub fn open(data_dir: &Path, segment: &Segment, runs: &'a [DirtyRun]) -> io::Result<SegmentBytes<'a>> {
        let file = match File::open(data_dir.join(layout::segment(segment.id))) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let runs = runs.iter().filter(|run| run.segment == segment.id).collect();
        Ok(SegmentBytes {
            file,
            runs,
            end: segment.byte_end.get(),
        })
    }

    /// Walks the batches from the segment's beginning, until `each` fails or the bytes end.
    pub fn walk<E>(&self, mut each: impl FnMut(Found) -> Result<(), E>) -> Result<(), E> {
        let mut position = 0;
        while position < self.end {
            match self.batch_at(position) {
                Ok(bytes) => {
                    let end = position + bytes.len() as u64;
                    let in_journal = self
                        .runs
                        .iter()
                        .any(|run| run.position.get() < end && position < run.end().get());
                    each(Found::Batch {
                        position,
                        bytes,
                        in_journal,
                    })?;
                    position = end;
                }
                Err(why) => {
                    return each(Found::Unreadable {
                        position,
                        left: self.end - position,
                        why,
                    });
                }
            }
        }
        Ok(())
    }

    fn batch_at(&self, position: u64) -> Result<Vec<u8>, String> {
        let left = self.end - position;
        if left < HEADER_LEN as u64 {
            return Err("fewer bytes than a batch's header".to_owned());
        }
        let head = self
            .read(position, LENGTH_END)
            .map_err(|error| error.to_string())?;
        let length = i32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        let size = u64::try_from(length)
            .ok()
            .map(|length| length + LENGTH_END as u64);
        let size = size.filter(|size| *size <= left && *size >= HEADER_LEN as u64);
        let size = size.ok_or_else(|| format!("a batch cannot be {length} bytes long here"))?;
        let bytes = self
            .read(position, size as usize)
            .map_err(|error| error.to_string())?;
        BatchView::parse(&bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    /// What neither file nor journal holds reads as zeros, which are no batch.
    fn read(&self, position: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        if let Some(file) = &self.file {
            let mut filled = 0;
            while filled < len {
                let at = layout::SEGMENT_DATA_AT + position + filled as u64;
                match file.read_at(&mut bytes[filled..], at)? {
                    0 => break,
                    count => filled += count,
                }
            }
        }
        for run in &self.runs {
            let (start, end) = (
                run.position.get().max(position),
                run.end().get().min(position + len as u64),
            );
            if start < end {
                let from =
                    &run.bytes[(start - run.position.get()) as usize..(end - run.position.get()) as usize];
                bytes[(start - position) as usize..(end - position) as usize].copy_from_slice(from);
            }
        }
        Ok(bytes)
    }
}
