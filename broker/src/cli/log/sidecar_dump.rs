//! A segment's sidecar index: whether it is of use, and what it says. Nothing depends on it, so one that is of no
//! use is no damage.

use std::path::Path;

use millstream_log::{IndexRun, Segment, Sidecar, layout};
use serde::Serialize;

use super::sink::Sink;
use crate::cli::Failure;

/// What a broker finds when it loads the index.
#[derive(Debug, PartialEq, Eq)]
enum Index {
    Missing,
    /// Why the broker rebuilds it.
    Useless(String),
    Whole(Vec<IndexRun>),
}

/// A run of bytes between two entries of the index.
#[derive(Serialize)]
struct RunLine {
    /// Of its first batch.
    offset: i64,
    position: u64,
    /// Exclusive.
    end: u64,
    max_timestamp: Option<i64>,
    crc: u32,
}

pub fn dump_sidecar(sink: &mut Sink, data_dir: &Path, segment: &Segment) -> Result<(), Failure> {
    let path = data_dir.join(layout::sidecar(segment.id));
    sink.note(&format!("Dumping {}", path.display()))?;
    match look(data_dir, segment) {
        Index::Missing => sink.note("it is not there; a read that needs the index has it rebuilt"),
        Index::Useless(why) => sink.note(&format!(
            "it is of no use: {why}; a read that needs it has it rebuilt"
        )),
        Index::Whole(runs) => runs.iter().try_for_each(|run| {
            let line = RunLine::new(run);
            sink.put(&line, || line.to_text())
        }),
    }
}

fn look(data_dir: &Path, segment: &Segment) -> Index {
    let bytes = match std::fs::read(data_dir.join(layout::sidecar(segment.id))) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Index::Missing,
        Err(error) => return Index::Useless(error.to_string()),
    };
    match Sidecar::decode(&bytes) {
        Err(error) => Index::Useless(error.to_string()),
        Ok(sidecar) if sidecar.segment != segment.id => {
            Index::Useless(format!("it is that of segment {}", sidecar.segment))
        }
        Ok(sidecar) if sidecar.byte_end != segment.byte_end => Index::Useless(format!(
            "it ends at {} and the segment at {}",
            sidecar.byte_end, segment.byte_end
        )),
        Ok(sidecar) => Index::Whole(sidecar.index.runs().collect()),
    }
}

impl RunLine {
    fn new(run: &IndexRun) -> RunLine {
        RunLine {
            offset: run.offset.get(),
            position: run.position.get(),
            end: run.end.get(),
            max_timestamp: run.max_timestamp.map(|time| time.get()),
            crc: run.crc,
        }
    }

    fn to_text(&self) -> String {
        let time = self.max_timestamp.unwrap_or(-1);
        format!(
            "offset: {} position: {} end: {} maxTimestamp: {time} crc: {}",
            self.offset, self.position, self.end, self.crc
        )
    }
}

#[cfg(test)]
mod tests {
    use millstream_log::{FilePosition, PartitionKey, PartitionState, Record, SegmentId, StoredBatch};
    use millstream_protocol::record::batch::BatchView;
    use millstream_protocol::record::builder::BatchBuilder;
    use millstream_protocol::types::{PartitionIndex, TimestampMs, TopicId};

    use super::*;

    /// A sealed segment of one batch.
    fn sealed() -> Segment {
        let key = PartitionKey {
            topic: TopicId::new([1; 16]),
            partition: PartitionIndex::new(0),
        };
        let mut state = PartitionState::new(key);
        let now = TimestampMs::new(1_000);
        state.apply(&state.open_record(SegmentId::new(7)), now).unwrap();
        let bytes = BatchBuilder::new().record(now, None, Some(b"value"), &[]).build();
        let (view, _) = BatchView::parse(&bytes).unwrap();
        let batch = StoredBatch {
            summary: view.summary(),
            crc: millstream_log::crc32c(&bytes),
        };
        let tail = Record::Tail {
            partition: key,
            segment: SegmentId::new(7),
            position: FilePosition::ZERO,
            bytes: &bytes,
            batches: &[batch],
        };
        state.apply(&tail, now).unwrap();
        state.apply(&state.roll_record(SegmentId::new(8)), now).unwrap();
        state.segments()[0].clone()
    }

    #[test]
    fn it_tells_a_sidecar_of_use_from_every_other() {
        let dir = std::env::temp_dir().join(format!("millstream-sidecar-dump-{}", std::process::id()));
        let segment = sealed();
        let path = dir.join(layout::sidecar(segment.id));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert_eq!(look(&dir, &segment), Index::Missing);
        let sidecar = Sidecar {
            segment: segment.id,
            byte_end: segment.byte_end,
            index: segment.index.clone().unwrap(),
        };
        std::fs::write(&path, sidecar.encode()).unwrap();
        let Index::Whole(runs) = look(&dir, &segment) else {
            panic!("it is of use")
        };
        let text = RunLine::new(&runs[0]).to_text();
        assert!(
            text.starts_with("offset: 0 position: 0 end: 73 maxTimestamp: 1000"),
            "{text}"
        );
        let mut stale = segment.clone();
        stale.byte_end = stale.byte_end + 1;
        assert!(matches!(look(&dir, &stale), Index::Useless(why) if why.contains("ends at 73")));
        let mut bytes = sidecar.encode();
        bytes[30] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(look(&dir, &segment), Index::Useless(_)));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
