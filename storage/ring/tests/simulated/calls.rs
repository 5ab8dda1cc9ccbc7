//! One call at a time on a simulated ring.

use std::time::Duration;

use millstream_ring::simulated::SimRing;
use millstream_ring::{
    AlignedBuf, BLOCK, Completion, Done, FileId, IoError, Op, OpenOptions, Ring, Slice, Token, Wait,
};

pub fn new_file(ring: &mut SimRing) -> FileId {
    let options = OpenOptions {
        write: true,
        create_new: true,
        direct: true,
        ..OpenOptions::default()
    };
    let file = open(ring, "/log", options);
    run(ring, Op::SyncDir { path: "/".into() }).unwrap();
    file
}

pub fn open(ring: &mut SimRing, path: &str, options: OpenOptions) -> FileId {
    match run(
        ring,
        Op::OpenFile {
            path: path.into(),
            options,
        },
    ) {
        Ok(Done::Opened { file, .. }) => file,
        other => panic!("{other:?}"),
    }
}

pub fn write(ring: &mut SimRing, file: FileId, at: u64, byte: u8, durable: bool) -> Result<(), IoError> {
    let write = Op::Write {
        file,
        at: at * BLOCK as u64,
        slices: vec![block(byte)],
        durable,
    };
    match run(ring, write)? {
        Done::Written { n: BLOCK, .. } => Ok(()),
        other => panic!("{other:?}"),
    }
}

pub fn read(ring: &mut SimRing, file: FileId, at: u64) -> Result<Vec<u8>, IoError> {
    match run(
        ring,
        Op::Read {
            file,
            at,
            buf: AlignedBuf::zeroed(BLOCK),
            len: BLOCK,
        },
    )? {
        Done::Read { buf, n } => Ok(buf[..n].to_vec()),
        other => panic!("{other:?}"),
    }
}

pub fn block(byte: u8) -> Slice {
    let mut buf = AlignedBuf::zeroed(BLOCK);
    buf.fill(byte);
    buf.freeze()
}

pub fn run(ring: &mut SimRing, op: Op) -> Result<Done, IoError> {
    ring.submit(Token(1), op);
    next(ring, &mut Vec::new()).result
}

pub fn next(ring: &mut SimRing, out: &mut Vec<Completion>) -> Completion {
    for _ in 0..1000 {
        if !out.is_empty() {
            return out.remove(0);
        }
        ring.enter(Wait::Until(Duration::from_millis(10)), out);
    }
    panic!("nothing completed");
}
