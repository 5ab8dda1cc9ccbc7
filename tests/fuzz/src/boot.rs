//! A whole start on a damaged data directory, on a simulated disk.
//!
//! An input picks one of some real histories and what happens to its files while nobody looks. They are read as
//! `millstream log verify` reads them, which changes nothing; then the broker's own start runs: metadata, identity,
//! checkpoints, journals, rescue files, segments, sidecar indexes. Whatever was done to them, a start ends (open or
//! refused with a reason) within bounds of memory, and what it serves is what was written: byte for byte, or not at
//! all. Then something is appended, and a second start finds it.
//!
//! Where the damage comes with right checksums, as no medium makes it, what is served may be anything: no panic, and
//! the bounds.

mod damage;
mod history;
mod host;

use std::collections::BTreeMap;

use millstream_log::PartitionKey;
use millstream_protocol::record::batch::Batches;
use millstream_ring::simulated::SimWorld;
use millstream_storage::{AppendError, ReadError};

use self::damage::Plan;
use self::history::{Written, histories};
use self::host::{Host, disk_options};
use crate::memory;

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It damages nothing.
    Empty,
    /// The start said why not.
    Refused,
    Opened {
        /// A partition takes nothing any more.
        fenced: bool,
        /// There was something to tell an operator.
        reported: bool,
    },
}

/// See the module's page.
pub fn boot(input: &[u8]) -> Ended {
    let Some(plan) = Plan::read(input, histories().len()) else {
        return Ended::Empty;
    };
    let history = &histories()[plan.history];
    let mut files = history.files.clone();
    plan.damage(&mut files, &history.earlier);
    let bound = memory_bound(files.bytes());
    let world = SimWorld::restart(&files.image, plan.seed, disk_options());
    let metadata = host::metadata_disk(files.metadata);
    let aside = host::metadata_disk(metadata.0.borrow().clone());
    let ((), used) =
        memory::measure(|| host::inspect(&SimWorld::restart(&files.image, 1, disk_options()), &aside));
    assert!(
        used <= bound,
        "{used} bytes of memory for a look, {bound} allowed"
    );
    let (opened, used) = memory::measure(|| Host::open(&world, &metadata, plan.shards));
    assert!(
        used <= bound,
        "{used} bytes of memory for a start, {bound} allowed"
    );
    let Ok(mut host) = opened else {
        return Ended::Refused;
    };
    let mut written = history.written.clone();
    let look = Look {
        written: &written,
        is_medium: !plan.is_sealed,
    };
    look.at_all(&mut host);
    let ends = append_to_all(&mut host, &mut written);
    let ended = Ended::Opened {
        fenced: host.has_fenced(),
        reported: !host.report.is_empty(),
    };
    drop(host);
    let image = if plan.is_killed {
        world.image()
    } else {
        world.crash(plan.seed)
    };
    let world = SimWorld::restart(&image, plan.seed, disk_options());
    let opened = Host::open(&world, &metadata, plan.shards_after);
    let mut host = match opened {
        Ok(host) => host,
        Err(_) if plan.is_sealed => return ended,
        Err(error) => panic!("the first start was well, the second is not: {error}"),
    };
    let look = Look {
        written: &written,
        is_medium: !plan.is_sealed,
    };
    look.at_all(&mut host);
    if look.is_medium {
        look.reaches(&host, &ends);
    }
    ended
}

/// Memory that a start may take for a directory of so many bytes: its pieces of the journal in flight, and a small
/// multiple of what there is.
fn memory_bound(bytes: u64) -> usize {
    (12 << 20) + 6 * bytes as usize
}

/// What a client may see.
struct Look<'a> {
    written: &'a Written,
    /// The damage is one that a medium makes.
    is_medium: bool,
}

impl Look<'_> {
    /// Reads every log from its start to its end.
    fn at_all(&self, host: &mut Host) {
        for key in host.keys() {
            let Some((mut from, end)) = host.offsets(key) else {
                continue;
            };
            assert!(from <= end, "a log of {key:?} from {from} to {end}");
            while from < end {
                match host.read(key, from, end) {
                    Ok(bytes) => from = self.at_batches(key, from, &bytes),
                    Err(ReadError::Fenced { .. } | ReadError::Device { .. }) => break,
                    Err(_) if !self.is_medium => break,
                    Err(error) => panic!("{key:?} at {from} of {end}: {error:?}"),
                }
            }
        }
    }

    /// Gives the next offset.
    fn at_batches(&self, key: PartitionKey, mut from: i64, bytes: &[u8]) -> i64 {
        assert!(
            !bytes.is_empty(),
            "{key:?} at {from}: nothing is served, nothing refused"
        );
        for batch in Batches::new(bytes) {
            let batch = batch.expect("whole batches are served");
            let (first, last) = (batch.base_offset().get(), batch.last_offset().get());
            assert!(
                first <= from && from <= last,
                "{key:?}: {first} to {last} is served for {from}"
            );
            if self.is_medium {
                batch.verify_crc().expect("no bad bytes are served");
                let known = self.written.get(&(key, first));
                let is_it = known.is_some_and(|known| known[..] == batch.bytes()[..]);
                assert!(
                    is_it,
                    "{key:?}: what is served at {first} was never written there"
                );
            }
            from = last + 1;
        }
        from
    }

    /// What was flushed before a crash is there after it.
    fn reaches(&self, host: &Host, ends: &BTreeMap<PartitionKey, i64>) {
        for (key, end) in ends {
            let found = host.offsets(*key).map_or(-1, |(_, found)| found);
            assert!(found >= *end, "{key:?} ended at {end}, and now at {found}");
        }
    }
}

/// Appends a batch to every log that takes one; gives what was flushed.
fn append_to_all(host: &mut Host, written: &mut Written) -> BTreeMap<PartitionKey, i64> {
    let mut ends = BTreeMap::new();
    for key in host.keys() {
        match host.append(key, history::batch(9, 0, 300), written) {
            Ok(()) | Err(AppendError::Fenced | AppendError::WritesStopped) => {}
            Err(AppendError::Refused(_) | AppendError::UnknownLog) => {}
            Err(error) => panic!("{key:?} takes nothing: {error:?}"),
        }
    }
    host.settle();
    for key in host.keys() {
        if let Some((_, end)) = host.offsets(key) {
            ends.insert(key, end);
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::history::History;
    use super::*;
    use crate::random::Random;

    /// One damage of each kind to some of the files, and drawn ones: they do no harm, and every end is met.
    #[test]
    fn damages_do_no_harm() {
        let mut random = Random::new(7);
        let mut drawn = || {
            let len = 2 + 8 * (1 + random.below(6));
            (0..len).map(|_| random.number() as u8).collect::<Vec<u8>>()
        };
        let mut inputs = Plan::examples(histories().len());
        inputs.extend((0..DRAWN).map(|_| drawn()));
        let ends: Vec<Ended> = inputs.iter().map(|input| boot(input)).collect();
        let met = |fenced, reported| ends.contains(&Ended::Opened { fenced, reported });
        assert!(ends.contains(&Ended::Refused));
        assert!(met(false, false) && met(true, false) && met(false, true) && met(true, true));
    }

    /// A bit in every block that holds anything, of every file of the smallest history.
    #[test]
    fn a_flipped_bit_anywhere_does_no_harm() {
        for input in Plan::flips(0, &histories()[0].files) {
            boot(&input);
        }
    }

    #[test]
    fn what_the_fuzzer_found_does_no_harm() {
        let inputs = crate::corpus::load("boot").unwrap();
        assert!(inputs.len() > 50, "{} are kept", inputs.len());
        for input in inputs.iter().step_by(inputs.len() / 50) {
            boot(input);
        }
    }

    /// What is damaged is there: each kind of file in some history.
    #[test]
    fn the_histories_hold_every_kind_of_file() {
        let files = |part: &str| {
            let has = |history: &&History| {
                let data = history.files.image.paths();
                let metadata = history.files.metadata.keys();
                let mut names = data
                    .iter()
                    .filter_map(|path| path.to_str())
                    .chain(metadata.map(String::as_str));
                names.any(|name| name.contains(part))
            };
            histories().iter().filter(has).count()
        };
        for part in [
            ".seg",
            ".idx",
            "/journal-",
            "/checkpoint-",
            "-a",
            "-b",
            "/identity",
            "log-0",
        ] {
            assert!(files(part) > 0, "no history has {part}");
        }
        assert!(files("/rescue-1") > 0 && files("/journal-2") > 0 && files("snapshot-0") > 1);
        assert!(
            histories()
                .iter()
                .all(|history| history.files.bytes() < FILES_BYTES_MAX)
        );
        assert!(histories().iter().all(|history| history.written.len() > 20));
    }

    /// The checks can fail: a batch that was never written is not taken for one that was.
    #[test]
    #[should_panic(expected = "was never written there")]
    fn strange_bytes_are_noticed() {
        let history = &histories()[0];
        let world = SimWorld::restart(&history.files.image, 1, disk_options());
        let metadata = host::metadata_disk(history.files.metadata.clone());
        let mut host = Host::open(&world, &metadata, 1).unwrap();
        let look = |written| Look {
            written,
            is_medium: true,
        };
        look(&history.written).at_all(&mut host);
        let mut written = history.written.clone();
        written
            .values_mut()
            .for_each(|bytes| *bytes = history::batch(1, 1, 1).into());
        look(&written).at_all(&mut host);
    }

    const DRAWN: usize = 40;
    const FILES_BYTES_MAX: u64 = 4 << 20;
}
