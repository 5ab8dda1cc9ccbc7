//! What a simulated device does behind its user's back, and descriptors that run out.

use std::path::Path;

use millstream_ring::simulated::{Faults, Lie, Meddling, OpKind, SimOptions, SimWorld};
use millstream_ring::{AlignedBuf, BLOCK, Done, IoErrorKind, Op, OpenOptions, Ring, Token};

use crate::calls::{new_file, next, run, write};

#[test]
fn chosen_transfers_are_meddled_with_and_it_is_known_which_sectors_lie() {
    let world = SimWorld::new(7, SimOptions::default());
    let mut ring = world.ring();
    let file = new_file(&mut ring);
    for at in 0..8 {
        write(&mut ring, file, at, 1, true).unwrap();
    }
    let log = Path::new("/log");
    let sectors = |world: &SimWorld| world.lies().iter().map(|lie| lie.at / 512).collect::<Vec<_>>();
    let mut meddle = |what: Meddling, at: u64, byte: u8| {
        world.meddle_when(move |op| (op.kind == OpKind::Write).then_some(what));
        write(&mut ring, file, at, byte, true).unwrap();
        world.meddle_when(|_| None);
    };
    meddle(Meddling::Lost, 0, 2);
    assert_eq!(sectors(&world), (0..8).collect::<Vec<_>>());
    meddle(Meddling::Misdirected, 1, 3);
    let lies = sectors(&world);
    assert_eq!(
        lies.len(),
        24,
        "the place it was for, and the one where it landed: {lies:?}"
    );
    meddle(Meddling::Spoilt, 0, 4);
    assert_eq!(
        sectors(&world).len(),
        17,
        "block 0 was written again, but for one sector"
    );
    let mut image = world.crash(1);
    assert_eq!(image.lies(), world.lies());
    assert_eq!(image.read(log), None, "a sector is bad");
    assert_eq!(image.read_at(log, BLOCK as u64, 1), Some(vec![1]));
    let truth = image.truth(log).unwrap();
    let blocks: Vec<u8> = truth.chunks(BLOCK).map(|block| block[0]).collect();
    assert_eq!(blocks, [4, 3, 1, 1, 1, 1, 1, 1]);
    assert_eq!(world.truth(log, 0, 8 * BLOCK), Some(truth.clone()));
    for lie in image.lies() {
        assert_eq!(
            lie,
            Lie {
                path: log.into(),
                at: lie.at
            }
        );
        image.heal(&lie);
    }
    assert_eq!((image.read(log), image.lies()), (Some(truth), vec![]));
}

#[test]
fn chosen_transfers_are_short() {
    let world = SimWorld::new(8, SimOptions::default());
    let mut ring = world.ring();
    let file = new_file(&mut ring);
    world.meddle_when(|op| (op.len > BLOCK as u64).then_some(Meddling::Short));
    let slices = vec![AlignedBuf::zeroed(4 * BLOCK).freeze()];
    let op = Op::Write {
        file,
        at: 0,
        slices,
        durable: true,
    };
    let done = run(&mut ring, op);
    assert!(
        matches!(done, Ok(Done::Written { n, .. }) if n < 4 * BLOCK && n.is_multiple_of(BLOCK)),
        "{done:?}"
    );
    write(&mut ring, file, 3, 1, true).unwrap();
    let op = Op::Read {
        file,
        at: 0,
        buf: AlignedBuf::zeroed(4 * BLOCK),
        len: 4 * BLOCK,
    };
    let done = run(&mut ring, op);
    assert!(
        matches!(done, Ok(Done::Read { n, .. }) if n < 4 * BLOCK && n > 0),
        "{done:?}"
    );
    assert!(world.lies().is_empty(), "what is told is no lie");
}

/// Opens and accepts that find no descriptor do nothing, and later ones may.
#[test]
fn descriptors_run_out() {
    let faults = Faults {
        open_errors: 500,
        accept_errors: 500,
        ..Faults::default()
    };
    let options = SimOptions {
        faults,
        ..SimOptions::default()
    };
    let world = SimWorld::new(9, options);
    let mut ring = world.ring();
    let (listener, addr) = ring.listen(([127, 0, 0, 1], 0).into()).unwrap();
    let (mut opened, mut refused, mut out) = (0, 0, Vec::new());
    ring.submit(Token(7), Op::Accept { listener });
    for number in 0..50 {
        let _client = world.connect(addr).unwrap();
        loop {
            let accepted = next(&mut ring, &mut out);
            match accepted.result {
                Ok(_) => break,
                Err(error) => assert_eq!((error.kind(), accepted.more), (IoErrorKind::NoDescriptors, false)),
            }
            refused += 1;
            ring.submit(Token(7), Op::Accept { listener });
        }
        let options = OpenOptions {
            create: true,
            ..OpenOptions::default()
        };
        let path = format!("/{number}").into();
        match run(&mut ring, Op::OpenFile { path, options }) {
            Ok(_) => opened += 1,
            Err(error) => assert_eq!(error.kind(), IoErrorKind::NoDescriptors),
        }
    }
    assert!(refused > 10 && opened > 10 && opened < 40, "{refused}, {opened}");
    assert_eq!(
        world.image().paths().len(),
        opened,
        "one that is refused makes nothing"
    );
}
