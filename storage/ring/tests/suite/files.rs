//! Files: what is written is read, names do what they should, ids do not outlive their files.

use millstream_ring::{
    AlignedBuf, AllocateMode, AppendBuf, BLOCK, Done, IoErrorKind, Op, OpenOptions, Ring, Slice, Token,
};

use super::world::{World, create, open, pattern, run, wait_for};

pub fn create_write_read_back(world: &mut impl World) {
    let path = world.dir().join("file");
    let ring = world.ring();
    let file = create(ring, path.clone());
    let bytes = pattern(3 * BLOCK, 1);
    assert_eq!(write(ring, file, 0, vec![aligned(&bytes)], true), bytes.len());
    assert_eq!(read(ring, file, 0, 3 * BLOCK), bytes);
    assert_eq!(read(ring, file, BLOCK as u64, BLOCK), bytes[BLOCK..2 * BLOCK]);
    assert!(matches!(run(ring, Op::Datasync { file }), Ok(Done::Synced)));
    assert!(matches!(run(ring, Op::FileSize { file }), Ok(Done::Size(size)) if size == bytes.len() as u64));
    assert!(matches!(run(ring, Op::CloseFile { file }), Ok(Done::Finished)));
    let (file, size) = open(ring, path, OpenOptions::default());
    assert_eq!(size, bytes.len() as u64);
    assert_eq!(read(ring, file, 0, 4 * BLOCK), bytes);
    assert_eq!(ring.in_flight(), 0);
}

pub fn reads_past_the_end_are_short(world: &mut impl World) {
    let path = world.dir().join("file");
    let ring = world.ring();
    let file = create(ring, path);
    write(ring, file, 0, vec![aligned(&pattern(BLOCK, 2))], false);
    assert_eq!(read(ring, file, 0, 4 * BLOCK).len(), BLOCK);
    assert_eq!(read(ring, file, BLOCK as u64, BLOCK).len(), 0);
    assert_eq!(read(ring, file, 1 << 30, BLOCK).len(), 0);
}

pub fn exclusive_creation_and_missing_files(world: &mut impl World) {
    let path = world.dir().join("file");
    let ring = world.ring();
    let missing = run(
        ring,
        Op::OpenFile {
            path: path.clone(),
            options: OpenOptions::default(),
        },
    );
    assert_eq!(missing.unwrap_err().kind(), IoErrorKind::NotFound);
    create(ring, path.clone());
    let options = OpenOptions {
        write: true,
        create_new: true,
        ..OpenOptions::default()
    };
    let again = run(
        ring,
        Op::OpenFile {
            path: path.clone(),
            options,
        },
    );
    assert_eq!(again.unwrap_err().kind(), IoErrorKind::Exists);
    let below = run(
        ring,
        Op::OpenFile {
            path: path.join("x"),
            options,
        },
    );
    assert_eq!(below.unwrap_err().kind(), IoErrorKind::NotDirectory);
    let gone = run(
        ring,
        Op::Unlink {
            path: path.join("../none"),
        },
    );
    assert!(gone.is_err());
}

pub fn rename_replaces(world: &mut impl World) {
    let dir = world.dir();
    let ring = world.ring();
    let (first, second) = (create(ring, dir.join("a")), create(ring, dir.join("b")));
    write(ring, first, 0, vec![aligned(&pattern(BLOCK, 10))], true);
    write(ring, second, 0, vec![aligned(&pattern(BLOCK, 20))], true);
    let renamed = run(
        ring,
        Op::Rename {
            from: dir.join("a"),
            to: dir.join("b"),
        },
    );
    assert!(matches!(renamed, Ok(Done::Finished)));
    assert!(matches!(
        run(ring, Op::SyncDir { path: dir.clone() }),
        Ok(Done::Finished)
    ));
    let (named, _) = open(
        ring,
        dir.join("b"),
        OpenOptions {
            direct: true,
            ..OpenOptions::default()
        },
    );
    assert_eq!(read(ring, named, 0, BLOCK), pattern(BLOCK, 10));
    assert_eq!(read(ring, second, 0, BLOCK), pattern(BLOCK, 20));
    let gone = run(
        ring,
        Op::OpenFile {
            path: dir.join("a"),
            options: OpenOptions::default(),
        },
    );
    assert_eq!(gone.unwrap_err().kind(), IoErrorKind::NotFound);
}

pub fn an_unlinked_file_lives_while_open(world: &mut impl World) {
    let path = world.dir().join("file");
    let ring = world.ring();
    let file = create(ring, path.clone());
    write(ring, file, 0, vec![aligned(&pattern(BLOCK, 3))], false);
    assert!(matches!(
        run(ring, Op::Unlink { path: path.clone() }),
        Ok(Done::Finished)
    ));
    assert_eq!(
        run(ring, Op::Unlink { path: path.clone() }).unwrap_err().kind(),
        IoErrorKind::NotFound
    );
    assert_eq!(read(ring, file, 0, BLOCK), pattern(BLOCK, 3));
    let other = create(ring, path);
    assert_eq!(read(ring, other, 0, BLOCK), []);
    assert_eq!(read(ring, file, 0, BLOCK), pattern(BLOCK, 3));
}

pub fn directories_list_sorted(world: &mut impl World) {
    let dir = world.dir();
    let ring = world.ring();
    assert!(matches!(
        run(
            ring,
            Op::MakeDir {
                path: dir.join("sub")
            }
        ),
        Ok(Done::Finished)
    ));
    assert_eq!(
        run(
            ring,
            Op::MakeDir {
                path: dir.join("sub")
            }
        )
        .unwrap_err()
        .kind(),
        IoErrorKind::Exists
    );
    let orphan = run(
        ring,
        Op::MakeDir {
            path: dir.join("none/below"),
        },
    );
    assert_eq!(orphan.unwrap_err().kind(), IoErrorKind::NotFound);
    let file = create(ring, dir.join("z"));
    write(ring, file, 0, vec![aligned(&pattern(2 * BLOCK, 0))], false);
    create(ring, dir.join("a"));
    create(ring, dir.join("sub/deep"));
    let Ok(Done::Listed(entries)) = run(ring, Op::List { path: dir.clone() }) else {
        panic!()
    };
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (&entry.name[..], entry.is_dir, entry.size))
        .collect();
    assert_eq!(
        seen,
        [("a", false, 0), ("sub", true, 0), ("z", false, 2 * BLOCK as u64)]
    );
    let missing = run(
        ring,
        Op::List {
            path: dir.join("none"),
        },
    );
    assert_eq!(missing.unwrap_err().kind(), IoErrorKind::NotFound);
}

pub fn allocation_reads_as_zeroes(world: &mut impl World) {
    let dir = world.dir();
    let ring = world.ring();
    // Long enough for several pieces of written zeroes.
    let len = (5 << 20) + 3 * BLOCK as u64;
    for (name, mode) in [
        ("zeroed", AllocateMode::Zeroed),
        ("unwritten", AllocateMode::Unwritten),
    ] {
        let file = create(ring, dir.join(name));
        let allocated = run(
            ring,
            Op::Allocate {
                file,
                at: 0,
                len,
                mode,
            },
        );
        assert!(matches!(allocated, Ok(Done::Finished)), "{allocated:?}");
        assert!(matches!(run(ring, Op::FileSize { file }), Ok(Done::Size(size)) if size == len));
        assert_eq!(read(ring, file, len - BLOCK as u64, BLOCK), [0; BLOCK]);
        write(ring, file, BLOCK as u64, vec![aligned(&pattern(BLOCK, 5))], true);
        assert_eq!(
            read(ring, file, 0, 3 * BLOCK)[BLOCK..2 * BLOCK],
            pattern(BLOCK, 5)
        );
        assert_eq!(read(ring, file, 0, 3 * BLOCK)[2 * BLOCK..], [0; BLOCK]);
    }
}

pub fn truncation_cuts(world: &mut impl World) {
    let path = world.dir().join("file");
    let ring = world.ring();
    let file = create(ring, path);
    write(ring, file, 0, vec![aligned(&pattern(3 * BLOCK, 7))], false);
    assert!(matches!(
        run(
            ring,
            Op::Truncate {
                file,
                len: BLOCK as u64
            }
        ),
        Ok(Done::Finished)
    ));
    assert_eq!(read(ring, file, 0, 3 * BLOCK), pattern(BLOCK, 7));
    assert!(matches!(
        run(
            ring,
            Op::Truncate {
                file,
                len: 2 * BLOCK as u64
            }
        ),
        Ok(Done::Finished)
    ));
    assert_eq!(read(ring, file, BLOCK as u64, BLOCK), [0; BLOCK]);
}

pub fn large_vectored_writes(world: &mut impl World) {
    let path = world.dir().join("file");
    let ring = world.ring();
    let file = create(ring, path);
    let bytes = pattern(1500 * BLOCK, 9);
    let mut region = AppendBuf::with_capacity(1500 * BLOCK);
    region.append(&bytes);
    let slices: Vec<Slice> = (0..1500)
        .map(|at| region.slice(at * BLOCK..(at + 1) * BLOCK))
        .collect();
    let mut written = 0;
    while written < bytes.len() {
        let rest = slices[written / BLOCK..].to_vec();
        let n = write(ring, file, written as u64, rest, true);
        assert!(n > 0 && n.is_multiple_of(BLOCK));
        written += n;
    }
    assert_eq!(read(ring, file, 0, 1500 * BLOCK), bytes);
}

pub fn stale_file_ids_are_refused(world: &mut impl World) {
    let dir = world.dir();
    let ring = world.ring();
    let file = create(ring, dir.join("a"));
    run(ring, Op::CloseFile { file }).unwrap();
    assert_eq!(
        run(ring, Op::CloseFile { file }).unwrap_err().kind(),
        IoErrorKind::Closed
    );
    let next = create(ring, dir.join("b"));
    let stale = Op::Write {
        file,
        at: 0,
        slices: vec![aligned(&[1; BLOCK])],
        durable: false,
    };
    assert_eq!(run(ring, stale).unwrap_err().kind(), IoErrorKind::Closed);
    assert_eq!(
        run(ring, Op::Datasync { file }).unwrap_err().kind(),
        IoErrorKind::Closed
    );
    assert_eq!(read(ring, next, 0, BLOCK), []);
}

pub fn close_waits_for_what_is_in_flight(world: &mut impl World) {
    let path = world.dir().join("file");
    let ring = world.ring();
    let file = create(ring, path.clone());
    for at in 0..20u64 {
        let slices = vec![aligned(&pattern(BLOCK, at))];
        ring.submit(
            Token(at),
            Op::Write {
                file,
                at: at * BLOCK as u64,
                slices,
                durable: true,
            },
        );
    }
    ring.submit(Token(99), Op::CloseFile { file });
    let mut rest = Vec::new();
    assert!(matches!(
        wait_for(ring, Token(99), &mut rest).result,
        Ok(Done::Finished)
    ));
    assert_eq!(rest.len(), 20, "all writes completed before the close");
    assert!(
        rest.iter()
            .all(|done| matches!(done.result, Ok(Done::Written { n: BLOCK, .. })))
    );
    let (file, _) = open(ring, path, OpenOptions::default());
    assert_eq!(read(ring, file, 19 * BLOCK as u64, BLOCK), pattern(BLOCK, 19));
}

pub fn files_move_between_rings(world: &mut impl World) {
    let path = world.dir().join("file");
    let file = create(world.ring(), path);
    write(world.ring(), file, 0, vec![aligned(&pattern(BLOCK, 4))], true);
    let moved = world.ring().detach_file(file);
    let stale = run(world.ring(), Op::Datasync { file });
    assert_eq!(stale.unwrap_err().kind(), IoErrorKind::Closed);
    let file = world.second().adopt_file(moved);
    assert_eq!(read(world.second(), file, 0, BLOCK), pattern(BLOCK, 4));
}

pub fn free_space_is_told(world: &mut impl World) {
    let dir = world.dir();
    let space = world.ring().free_space(&dir).unwrap();
    assert!(0 < space.free && space.free <= space.total);
    let missing = world.ring().free_space(&dir.join("none")).unwrap_err();
    assert_eq!(missing.kind(), IoErrorKind::NotFound);
}

pub fn a_name_with_a_nul_is_refused(world: &mut impl World) {
    let path = world.dir().join("a\0b");
    let options = OpenOptions {
        write: true,
        create: true,
        ..OpenOptions::default()
    };
    assert!(run(world.ring(), Op::OpenFile { path, options }).is_err());
}

fn write(
    ring: &mut impl Ring,
    file: millstream_ring::FileId,
    at: u64,
    slices: Vec<Slice>,
    durable: bool,
) -> usize {
    match run(
        ring,
        Op::Write {
            file,
            at,
            slices,
            durable,
        },
    ) {
        Ok(Done::Written { n, .. }) => n,
        other => panic!("{other:?}"),
    }
}

/// All bytes from `at` on, `len` at most: short reads go on where they ended.
fn read(ring: &mut impl Ring, file: millstream_ring::FileId, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let (position, buf) = (at + bytes.len() as u64, AlignedBuf::zeroed(len - bytes.len()));
        let len = buf.len();
        match run(
            ring,
            Op::Read {
                file,
                at: position,
                buf,
                len,
            },
        ) {
            Ok(Done::Read { n: 0, .. }) => break,
            Ok(Done::Read { buf, n }) => bytes.extend_from_slice(&buf[..n]),
            other => panic!("{other:?}"),
        }
    }
    bytes
}

fn aligned(bytes: &[u8]) -> Slice {
    let mut buf = AlignedBuf::zeroed(bytes.len());
    buf.copy_from_slice(bytes);
    buf.freeze()
}
