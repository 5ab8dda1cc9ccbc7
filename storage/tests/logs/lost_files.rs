//! Files of a data directory that were removed, cut short or exchanged: a start loses nothing by it, or it is refused.

use std::path::{Path, PathBuf};

use millstream_log::{PartitionKey, layout};
use millstream_protocol::types::TopicId;
use millstream_ring::simulated::{DiskImage, Meddling, OpKind, PowerCut, SimOptions, SimRing, SimWorld};
use millstream_storage::{KnownTopics, OpenError, TopicFate};

use crate::common::{DIR, Host, open, small_options};
use crate::damage::{append, end, journal, newest_slot, restart, slots};

/// The directory after an orderly end, one record in it.
fn ended() -> DiskImage {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    append(&mut host, 0, b"before");
    host.shut_down();
    world.image()
}

/// The same after another start, a record more and no orderly end.
fn killed() -> DiskImage {
    let (world, mut host) = restart(&ended());
    append(&mut host, 0, b"after");
    drop(host);
    world.image()
}

fn start(image: &DiskImage, shards: usize) -> Result<Host<SimRing>, OpenError> {
    let world = SimWorld::restart(image, 1, SimOptions::default());
    Host::open(world.ring(), Path::new(DIR), &small_options(), shards)
}

fn refusal(image: &DiskImage, shards: usize) -> String {
    match start(image, shards) {
        Err(OpenError::Damaged { what }) => what,
        Err(other) => panic!("it is refused, but so: {other}"),
        Ok(_) => panic!("the start is refused"),
    }
}

/// The journal removed, without its second half, and without everything.
fn losses(image: &DiskImage) -> [DiskImage; 3] {
    let bytes = image.read(&journal()).unwrap();
    let cut_to = |len: usize| {
        let mut image = image.clone();
        image.put(&journal(), &bytes[..len]);
        image
    };
    let mut removed = image.clone();
    removed.remove(&journal());
    [removed, cut_to(bytes.len() / 2), cut_to(0)]
}

/// After an orderly end nothing in a journal counts, and what counts later is in one that is there as a whole.
#[test]
fn a_journal_that_is_lost_after_an_orderly_end_is_made_anew() {
    for image in losses(&ended()) {
        let (world, mut host) = restart(&image);
        assert!(host.report[0].contains("it is made anew"), "{:?}", host.report);
        assert_eq!((end(&mut host, 0), host.unclean), (1, false));
        drop(host);
        let (world, mut host) = restart(&world.image());
        assert_eq!(
            end(&mut host, 0),
            1,
            "nothing was written, and nothing is lost: {:?}",
            host.report
        );
        drop(host);
        let (world, mut host) = restart(&world.image());
        append(&mut host, 0, b"after");
        drop(host);
        let (_, mut host) = restart(&world.image());
        assert_eq!(end(&mut host, 0), 2, "{:?}", host.report);
    }
}

#[test]
fn a_start_that_makes_a_journal_anew_may_be_cut_off_anywhere() {
    for image in losses(&ended()) {
        for boundary in 0.. {
            let world = SimWorld::restart(&image, 1, SimOptions::default());
            world.cut_power_at(PowerCut::AtBoundary(boundary));
            let opened = Host::open(world.ring(), Path::new(DIR), &small_options(), 1);
            if opened.is_ok() && !world.is_off() {
                assert!(boundary > 5, "it makes something");
                break;
            }
            let (_, mut host) = restart(&world.crash(boundary));
            assert_eq!(
                end(&mut host, 0),
                1,
                "cut at boundary {boundary}: {:?}",
                host.report
            );
        }
    }
}

/// What was acknowledged since may have been only there.
#[test]
fn a_journal_that_is_lost_after_a_kill_refuses_the_start() {
    for image in losses(&killed()) {
        let what = refusal(&image, 1);
        assert!(
            what.contains("journal-1 ") && what.contains("nothing tells which"),
            "{what}"
        );
    }
}

/// The newest readable checkpoint tells of an orderly end, but another slot cannot be read, or a round follows.
#[test]
fn a_lost_journal_refuses_the_start_where_the_orderly_end_may_not_be_the_newest() {
    let whole = killed();
    let mut image = whole.clone();
    image.remove(&newest_slot(&whole));
    for image in losses(&image) {
        refusal(&image, 1);
    }
    let world = SimWorld::restart(&ended(), 1, SimOptions::default());
    world.meddle_when(|op| {
        let is_slot = op.path.to_string_lossy().contains("checkpoint-");
        (op.kind == OpKind::Write && is_slot).then_some(Meddling::Lost)
    });
    let mut host = open(&world);
    append(&mut host, 0, b"after");
    drop(host);
    let [_, short, _] = losses(&world.image());
    refusal(&short, 1);
}

/// What a start says in its checkpoint the next one finds out as well: with the slot lost, the one before it and the
/// journal tell everything, as long as the journal holds all that followed.
#[test]
fn the_newest_checkpoint_lost_after_a_kill_loses_nothing() {
    let whole = killed();
    let mut image = whole.clone();
    image.remove(&newest_slot(&whole));
    let (world, mut host) = restart(&image);
    assert_eq!(end(&mut host, 0), 2, "{:?}", host.report);
    assert!(
        host.unclean && host.report[0].contains("it is missing"),
        "{:?}",
        host.report
    );
    append(&mut host, 0, b"later");
    drop(host);
    let (_, mut host) = restart(&world.image());
    assert_eq!(end(&mut host, 0), 3, "{:?}", host.report);
}

/// Of the newest checkpoint but one, nothing that followed is lost at any time; of an older one, which came back from a
/// copy, the journal has begun to write over what it needs.
#[test]
fn an_older_checkpoint_counts_as_long_as_the_journal_goes_back_to_it() {
    let old = ended();
    let old_slot = newest_slot(&old);
    let (world, mut host) = restart(&old);
    let mut refused = 0;
    for number in 1..200 {
        append(&mut host, 0, &[number; 3000]);
        if number % 3 > 0 {
            continue;
        }
        let mut image = world.image();
        image.remove(&newest_slot(&world.image()));
        let mut started = start(&image, 1).unwrap();
        assert_eq!(
            end(&mut started, 0),
            1 + i64::from(number),
            "{:?}",
            started.report
        );

        let mut image = world.image();
        slots().iter().for_each(|slot| image.remove(slot));
        image.put(&old_slot, &old.read(&old_slot).unwrap());
        match start(&image, 1) {
            Ok(mut host) => assert_eq!(end(&mut host, 0), 1 + i64::from(number), "lost without a word"),
            Err(OpenError::Damaged { what }) => {
                assert!(
                    what.contains("the newest checkpoint of journal-1 cannot be read"),
                    "{what}"
                );
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(
        (1..66).contains(&refused),
        "{refused}: the journal was never written over"
    );
}

/// After a kill it is a loss that nothing else tells of; after an orderly end it is none.
#[test]
fn a_journal_in_whose_place_another_file_lies_refuses_a_start_after_a_kill() {
    for byte in [0, 0xa5] {
        let exchanged = |mut image: DiskImage| {
            let size = image.size(&journal()).unwrap();
            image.put(&journal(), &vec![byte; size as usize]);
            image
        };
        let what = refusal(&exchanged(killed()), 1);
        assert!(what.contains("holds none of its rounds"), "{what}");
        let (world, mut host) = restart(&exchanged(ended()));
        assert!(host.report.is_empty(), "{:?}", host.report);
        append(&mut host, 0, b"after");
        drop(host);
        let (_, mut host) = restart(&world.image());
        assert_eq!(end(&mut host, 0), 2, "{:?}", host.report);
    }
}

/// Metadata of the cluster `0`, which may lack its end.
struct Metadata(Option<[u8; 16]>, bool);

impl KnownTopics for Metadata {
    fn fate(&self, _: TopicId) -> TopicFate {
        TopicFate::Live
    }

    fn partitions(&self) -> Vec<PartitionKey> {
        Vec::new()
    }

    fn name(&self, _: TopicId) -> Option<String> {
        None
    }

    fn lacks_its_end(&self) -> bool {
        self.1
    }

    fn cluster(&self) -> Option<[u8; 16]> {
        self.0
    }
}

fn start_with(image: &DiskImage, metadata: &Metadata) -> Option<OpenError> {
    let world = SimWorld::restart(image, 1, SimOptions::default());
    Host::open_knowing(world.ring(), Path::new(DIR), &small_options(), 1, metadata).err()
}

#[test]
fn an_identity_that_is_missing_or_of_another_cluster_refuses_the_start() {
    let image = ended();
    let identity: PathBuf = Path::new(DIR).join(layout::IDENTITY);
    let known = millstream_log::Identity::decode(&image.read(&identity).unwrap()).unwrap();
    assert_eq!(start_with(&image, &Metadata(Some(known.cluster), false)), None);
    let refused = |image: &DiskImage, part: &str| {
        let refusal = start_with(image, &Metadata(Some([7; 16]), false));
        let Some(OpenError::BadIdentity { what }) = refusal else {
            panic!("{refusal:?}");
        };
        assert!(what.contains(part), "{what}");
    };
    refused(&image, "and the metadata of cluster");
    let mut without = image.clone();
    without.remove(&identity);
    refused(&without, "is missing, and the directory is not empty");
    let mut cut = image.clone();
    cut.put(&identity, &[]);
    refused(&cut, "identity");
}

#[test]
fn metadata_without_its_end_is_believed_only_where_a_power_cut_may_have_taken_it() {
    assert_eq!(
        start_with(&ended(), &Metadata(None, true)),
        Some(OpenError::MetadataLost)
    );
    assert_eq!(start_with(&killed(), &Metadata(None, true)), None);
}

/// Nothing tells which segments and rounds count.
#[test]
fn both_slots_lost_refuse_the_start() {
    for image in [ended(), killed()] {
        let mut image = image;
        slots().iter().for_each(|slot| image.remove(slot));
        let what = refusal(&image, 1);
        assert!(what.contains("neither checkpoint-1-a"), "{what}");
    }
}
