//! The bytes of one simulated file: what is visible now, and what of it a power cut would leave.
//!
//! Writes go into a volatile cache per sector; a flush makes versions durable. A page of space that was never made
//! durable with its content may come up as anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::lies::Lies;
use super::prng::Prng;

pub(super) const SECTOR: usize = 512;
pub(super) const PAGE: usize = 4096;
const SECTORS: u64 = (PAGE / SECTOR) as u64;

pub(super) type Page = Arc<[u8; PAGE]>;
pub(super) type Sector = [u8; SECTOR];

/// Names a write or a change of size, in order of submission.
pub(super) type OpNumber = u64;

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// What a read sees; missing pages are holes.
    pub(super) pages: BTreeMap<u64, Page>,
    pub(super) size: u64,
    durable_size: u64,
    /// Sizes since the durable one, with what set them.
    sizes: Vec<(OpNumber, u64)>,
    /// Sectors with versions that are not durable.
    dirty: BTreeMap<u64, Dirty>,
    /// Pages whose space was taken by an operation that is not durable.
    fresh: BTreeMap<u64, OpNumber>,
    /// Sectors that cannot be read until they are written again.
    bad: std::collections::BTreeSet<u64>,
    /// Sectors that do not hold what was written to them.
    lies: Lies,
}

#[derive(Clone, Debug)]
struct Dirty {
    durable: Sector,
    versions: Vec<(OpNumber, Sector)>,
    /// What should be durable, where the device lied about that.
    truth: Option<Sector>,
}

impl Inode {
    /// Bytes of space taken.
    pub(super) fn space(&self) -> u64 {
        (self.pages.len() * PAGE) as u64
    }

    /// Pages that a write or allocation of this range takes anew.
    pub(super) fn missing_pages(&self, at: u64, len: u64) -> u64 {
        let wanted = pages_of(at, len);
        let count = wanted.end - wanted.start;
        count - self.pages.range(wanted).count() as u64
    }

    /// Up to `len` bytes from `at`; fewer at the end of the file. `None`: a sector cannot be read.
    pub(super) fn read(&self, at: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; self.size.saturating_sub(at).min(len as u64) as usize];
        self.read_into(at, &mut bytes)?;
        Some(bytes)
    }

    /// As many bytes from `at` as there are and fit; how many. `None`: a sector cannot be read.
    pub(super) fn read_into(&self, at: u64, bytes: &mut [u8]) -> Option<usize> {
        let len = self.size.saturating_sub(at).min(bytes.len() as u64) as usize;
        let end = at + len as u64;
        if len > 0
            && self
                .bad
                .range(at / SECTOR as u64..end.div_ceil(SECTOR as u64))
                .next()
                .is_some()
        {
            return None;
        }
        bytes[..len].fill(0);
        for (number, page) in self.pages.range(pages_of(at, len as u64)) {
            let start = number * PAGE as u64;
            let (from, to) = (start.max(at), (start + PAGE as u64).min(end));
            let source = &page[(from - start) as usize..(to - start) as usize];
            bytes[(from - at) as usize..(to - at) as usize].copy_from_slice(source);
        }
        Some(len)
    }

    /// Writes into the volatile cache.
    pub(super) fn write(&mut self, op: OpNumber, at: u64, bytes: &[u8]) {
        self.take_space(op, at, bytes.len() as u64);
        let mut done = 0;
        while done < bytes.len() {
            let position = at + done as u64;
            let (sector, within) = (position / SECTOR as u64, (position % SECTOR as u64) as usize);
            let len = (SECTOR - within).min(bytes.len() - done);
            self.write_sector(op, sector, within, &bytes[done..done + len]);
            done += len;
        }
        self.grow(op, at + bytes.len() as u64);
    }

    /// Takes space that reads as zeroes.
    pub(super) fn allocate(&mut self, op: OpNumber, at: u64, len: u64) {
        self.take_space(op, at, len);
        self.grow(op, at + len);
    }

    /// What lies behind the new end becomes a hole; the pages are handed out.
    pub(super) fn truncate(&mut self, op: OpNumber, len: u64) -> Vec<Page> {
        if len < self.size {
            let keep = len.next_multiple_of(PAGE as u64);
            let tail = (keep.min(self.size) - len) as usize;
            if tail > 0 && self.pages.contains_key(&(len / PAGE as u64)) {
                self.write(op, len, &vec![0; tail]);
            }
        }
        self.size = len;
        self.lies.cut(len);
        self.bad.split_off(&len.div_ceil(SECTOR as u64));
        self.sizes.push((op, len));
        let gone = self.pages.split_off(&len.div_ceil(PAGE as u64));
        let first = len.div_ceil(PAGE as u64);
        self.dirty.split_off(&(first * SECTORS));
        self.fresh.split_off(&first);
        gone.into_values().collect()
    }

    /// Makes durable what `covered` operations did in the range of bytes (all: `None`), with space and size.
    pub(super) fn flush(&mut self, range: Option<(u64, u64)>, covered: impl Fn(OpNumber) -> bool) {
        let (start, end) = range.map_or((0, u64::MAX), |(at, len)| (at, at + len));
        let sectors = start / SECTOR as u64..end.div_ceil(SECTOR as u64);
        let mut clean = Vec::new();
        for (sector, dirty) in self.dirty.range_mut(sectors) {
            if let Some(last) = dirty.versions.iter().rposition(|(op, _)| covered(*op)) {
                dirty.durable = dirty.versions[last].1;
                dirty.truth = None;
                dirty.versions.drain(..=last);
            }
            if dirty.versions.is_empty() {
                clean.push(*sector);
            }
        }
        for sector in clean {
            self.dirty.remove(&sector);
        }
        let pages = start / PAGE as u64..end.div_ceil(PAGE as u64);
        // What a durable write needs in order to be read is durable with it, whoever took the space.
        let settled: Vec<u64> = self
            .fresh
            .range(pages)
            .filter(|(_, op)| range.is_some() || covered(**op))
            .map(|(page, _)| *page)
            .collect();
        for page in settled {
            self.fresh.remove(&page);
        }
        let reaches = |size: u64| range.is_some() && size >= end && self.durable_size < end;
        if let Some(last) = self
            .sizes
            .iter()
            .rposition(|(op, size)| covered(*op) || reaches(*size))
        {
            self.durable_size = self.sizes[last].1;
            self.sizes.drain(..=last);
        }
    }

    /// A flush failed. What it was to cover is taken for written by the host, and is not: no later flush covers it.
    pub(super) fn fail_flush(&mut self, covered: impl Fn(OpNumber) -> bool) {
        let versions = self.dirty.values_mut().flat_map(|dirty| &mut dirty.versions);
        let ops = versions.map(|(op, _)| op);
        let ops = ops.chain(self.sizes.iter_mut().map(|(op, _)| op));
        ops.chain(self.fresh.values_mut())
            .filter(|op| covered(**op))
            .for_each(|op| *op = LOST);
    }

    /// Whoever wrote it is gone: what is not durable is there for any flush of the next process to cover. That one
    /// reads what the device has, which a flush that failed may have left behind.
    pub(super) fn leave(&mut self, prng: &mut Prng) {
        for (sector, dirty) in &mut self.dirty {
            if dirty.versions.iter().any(|(op, _)| *op == LOST) && prng.coin() {
                dirty.versions.retain(|(op, _)| *op != LOST);
                let newest = dirty.versions.last();
                let content = newest.map_or(dirty.durable, |(_, content)| *content);
                place(&mut self.pages, *sector).copy_from_slice(&content);
            }
            dirty.versions.iter_mut().for_each(|(op, _)| *op = PREDECESSOR);
        }
        self.dirty.retain(|_, dirty| !dirty.versions.is_empty());
        self.sizes.iter_mut().for_each(|(op, _)| *op = PREDECESSOR);
        self.fresh.values_mut().for_each(|op| *op = PREDECESSOR);
    }

    /// From now on the sector cannot be read, until it is written again.
    pub(super) fn spoil(&mut self, sector: u64) {
        self.lies.note(sector, self.sector(sector));
        self.bad.insert(sector);
    }

    /// A write that the device answers and forgets.
    pub(super) fn lose(&mut self, at: u64, bytes: &[u8]) {
        for (sector, range) in sectors_of(at, bytes.len()) {
            let mut truth = self.lies.truth(sector).copied().unwrap_or(self.sector(sector));
            let within = (at + range.start as u64 - sector * SECTOR as u64) as usize;
            truth[within..within + range.len()].copy_from_slice(&bytes[range]);
            self.lies.written(sector);
            self.lies.note(sector, truth);
        }
        self.lies.ends(at + bytes.len() as u64);
    }

    /// Other bytes than were written, durably; within the file's size.
    pub(super) fn corrupt(&mut self, op: OpNumber, at: u64, bytes: &[u8]) {
        let known = |sector| self.lies.truth(sector).copied().unwrap_or(self.sector(sector));
        let truths: Vec<(u64, Sector)> = sectors_of(at, bytes.len())
            .map(|(sector, _)| (sector, known(sector)))
            .collect();
        self.write(op, at, bytes);
        self.flush(Some((at, bytes.len() as u64)), |other| other == op);
        truths
            .into_iter()
            .for_each(|(sector, truth)| self.lies.note(sector, truth));
    }

    /// Sectors that do not hold what they should, by number.
    pub(super) fn lies(&self) -> impl Iterator<Item = u64> {
        self.lies.sectors()
    }

    /// Up to `len` bytes from `at` as they should be.
    pub(super) fn truth(&self, at: u64, len: usize) -> Vec<u8> {
        let size = self.size.max(self.lies.end().unwrap_or(0));
        let len = size.saturating_sub(at).min(len as u64) as usize;
        let mut bytes = Vec::with_capacity(len);
        for (sector, range) in sectors_of(at, len) {
            let truth = self.lies.truth(sector).copied().unwrap_or(self.sector(sector));
            let within = (at + range.start as u64 - sector * SECTOR as u64) as usize;
            bytes.extend(&truth[within..within + range.len()]);
        }
        bytes
    }

    /// Puts a sector right at which the device lied.
    pub(super) fn heal(&mut self, sector: u64) {
        let Some(truth) = self.lies.truth(sector).copied() else {
            return;
        };
        let at = sector * SECTOR as u64;
        let end = self
            .lies
            .end()
            .unwrap_or(0)
            .min(at + SECTOR as u64)
            .max(self.size);
        self.write(0, at, &truth);
        self.flush(None, |_| true);
        (self.size, self.durable_size) = (end, end);
    }

    /// What a power cut leaves. `stale` draws the content of space whose content was lost.
    pub(super) fn crashed(&self, prng: &mut Prng, mut stale: impl FnMut(&mut Prng) -> Page) -> Inode {
        let candidates = self.sizes.len() as u64 + 1;
        let size = match prng.below(candidates) {
            0 => self.durable_size,
            pick => self.sizes[pick as usize - 1].1,
        };
        let mut pages = self.pages.clone();
        let mut lies = self.lies.clone();
        for (sector, dirty) in &self.dirty {
            let content = survivor(dirty, prng);
            place(&mut pages, *sector).copy_from_slice(&content);
        }
        for number in self.fresh.keys() {
            match prng.below(3) {
                0 => {}
                1 => drop(pages.remove(number)),
                _ => drop(pages.insert(*number, stale(prng))),
            }
        }
        // What the device had called durable is lost with the write that was to take its place, or with its space.
        for (sector, dirty) in &self.dirty {
            let newest = dirty.versions.last().map(|(_, newest)| newest);
            if let Some(truth) = dirty.truth
                && newest.is_some_and(|newest| *newest != sector_of(&pages, *sector))
            {
                lies.note(*sector, truth);
            }
        }
        // A length that the device had called durable is lost with the write that it forgot.
        for sector in size / SECTOR as u64..lies.end().unwrap_or(0).div_ceil(SECTOR as u64) {
            lies.note(sector, sector_of(&pages, sector));
        }
        pages.split_off(&size.div_ceil(PAGE as u64));
        Inode {
            pages,
            size,
            durable_size: size,
            bad: self.bad.clone(),
            lies,
            ..Inode::default()
        }
    }

    fn take_space(&mut self, op: OpNumber, at: u64, len: u64) {
        for number in pages_of(at, len) {
            self.pages.entry(number).or_insert_with(|| {
                self.fresh.insert(number, op);
                ZEROES.with(Arc::clone)
            });
        }
        let lost = self.fresh.range_mut(pages_of(at, len));
        lost.filter(|(_, taken_by)| **taken_by == LOST)
            .for_each(|(_, taken_by)| *taken_by = op);
    }

    fn write_sector(&mut self, op: OpNumber, sector: u64, within: usize, bytes: &[u8]) {
        let place = place(&mut self.pages, sector);
        let dirty = self.dirty.entry(sector);
        let dirty = dirty.or_insert_with(|| Dirty {
            durable: *place,
            versions: Vec::new(),
            truth: None,
        });
        if let Some(truth) = self.lies.truth(sector).filter(|_| bytes.len() < SECTOR) {
            // The host's cache knows what the rest of the sector should be, and writes all of it.
            place.copy_from_slice(truth);
        }
        place[within..within + bytes.len()].copy_from_slice(bytes);
        dirty.versions.push((op, *place));
        self.bad.remove(&sector);
        dirty.truth = self.lies.written(sector).or(dirty.truth);
    }

    fn sector(&self, sector: u64) -> Sector {
        sector_of(&self.pages, sector)
    }

    fn grow(&mut self, op: OpNumber, end: u64) {
        let is_lost = end > self.durable_size && self.sizes.last().is_some_and(|(op, _)| *op == LOST);
        if end > self.size || is_lost {
            self.size = self.size.max(end);
            self.sizes.push((op, self.size));
        }
    }
}

/// Where a sector lies whose page has space.
fn place(pages: &mut BTreeMap<u64, Page>, sector: u64) -> &mut Sector {
    let page = pages.get_mut(&(sector / SECTORS)).expect("space was taken");
    let start = (sector % SECTORS) as usize * SECTOR;
    let place = &mut Arc::make_mut(page)[start..start + SECTOR];
    place.try_into().expect("a sector")
}

fn sector_of(pages: &BTreeMap<u64, Page>, sector: u64) -> Sector {
    let start = (sector % SECTORS) as usize * SECTOR;
    let page = pages.get(&(sector / SECTORS));
    page.map_or([0; SECTOR], |page| {
        page[start..start + SECTOR].try_into().expect("a sector")
    })
}

/// The sectors of a range, each with its part of it.
fn sectors_of(at: u64, len: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>)> {
    let end = at + len as u64;
    let sectors = at / SECTOR as u64..end.div_ceil(SECTOR as u64).max(at / SECTOR as u64);
    sectors.map(move |sector| {
        let from = (sector * SECTOR as u64).max(at) - at;
        let to = ((sector + 1) * SECTOR as u64).min(end) - at;
        (sector, from as usize..to as usize)
    })
}

/// Any version, the durable one included; or two of them torn within the sector.
fn survivor(dirty: &Dirty, prng: &mut Prng) -> Sector {
    let pick = |prng: &mut Prng| match prng.index(dirty.versions.len() + 1) {
        0 => dirty.durable,
        version => dirty.versions[version - 1].1,
    };
    let mut content = pick(prng);
    if prng.per_mille(TORN_SECTORS) {
        let (other, at) = (pick(prng), prng.index(SECTOR));
        content[at..].copy_from_slice(&other[at..]);
    }
    content
}

fn pages_of(at: u64, len: u64) -> std::ops::Range<u64> {
    at / PAGE as u64..(at + len).div_ceil(PAGE as u64).max(at / PAGE as u64)
}

thread_local! {
    /// Shared by all pages that nobody has written.
    static ZEROES: Page = Arc::new([0; PAGE]);
}

/// Before all operations of a world.
const PREDECESSOR: OpNumber = 0;
/// After all operations of a world, so that no flush covers it.
const LOST: OpNumber = OpNumber::MAX;

/// Undurable sectors of 1,000 that a power cut tears inside. Devices promise that none are; few logs need it.
const TORN_SECTORS: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(inode: &Inode, seed: u64) -> Inode {
        inode.crashed(&mut Prng::new(seed, 0), |_| Arc::new([0xEE; PAGE]))
    }

    #[test]
    fn what_is_flushed_survives_and_what_is_not_may_not() {
        let mut inode = Inode::default();
        inode.write(1, 0, &[1; 2 * PAGE]);
        inode.flush(None, |op| op == 1);
        inode.write(2, 0, &[2; PAGE]);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let after = crash(&inode, seed);
            assert_eq!(after.size, 2 * PAGE as u64);
            let bytes = after.read(0, 2 * PAGE).unwrap();
            assert!(bytes[PAGE..].iter().all(|byte| *byte == 1), "durable bytes stay");
            assert!(bytes[..PAGE].iter().all(|byte| [1, 2].contains(byte)));
            seen.insert(
                bytes[..PAGE]
                    .chunks(SECTOR)
                    .map(|sector| sector[0])
                    .collect::<Vec<_>>(),
            );
        }
        assert!(seen.len() > 50, "sectors survive independently: {}", seen.len());
    }

    #[test]
    fn a_flush_covers_only_what_it_should() {
        let mut inode = Inode::default();
        inode.write(1, 0, &[1; PAGE]);
        inode.flush(None, |_| true);
        inode.write(2, 0, &[2; SECTOR]);
        inode.write(3, 0, &[3; SECTOR]);
        inode.flush(None, |op| op == 2);
        let first = |seed| crash(&inode, seed).read(0, 1).unwrap()[0];
        let seen: std::collections::BTreeSet<u8> = (0..100).map(first).collect();
        assert_eq!(seen, [2, 3].into(), "version 1 is gone, 2 is durable, 3 is open");
    }

    #[test]
    fn fresh_space_and_sizes_are_volatile() {
        let mut inode = Inode::default();
        inode.allocate(1, 0, PAGE as u64);
        let outcome = |seed| {
            let after = crash(&inode, seed);
            (after.size, after.read(0, 1).unwrap().first().copied())
        };
        let seen: std::collections::BTreeSet<_> = (0..100).map(outcome).collect();
        assert_eq!(
            seen,
            [(0, None), (PAGE as u64, Some(0)), (PAGE as u64, Some(0xEE))].into()
        );
        inode.flush(None, |_| true);
        assert!((0..100).all(|seed| crash(&inode, seed).read(0, 1) == Some(vec![0])));
    }

    #[test]
    fn lies_are_known_and_can_be_put_right() {
        let mut inode = Inode::default();
        inode.write(1, 0, &[1; PAGE]);
        inode.flush(None, |_| true);
        inode.lose(100, &[2; SECTOR]);
        inode.corrupt(2, 2 * SECTOR as u64, &[3; SECTOR]);
        inode.spoil(5);
        inode.lose(PAGE as u64 - 10, &[4; 20]);
        assert_eq!(inode.lies().collect::<Vec<_>>(), [0, 1, 2, 5, 7, 8]);
        assert_eq!(inode.read(0, 3 * SECTOR).unwrap()[..2 * SECTOR], [1; 2 * SECTOR]);
        let mut after = crash(&inode, 1);
        let truth = after.truth(0, 2 * PAGE);
        assert_eq!(
            truth.len(),
            PAGE + 10,
            "a write that was lost would have made it longer"
        );
        assert_eq!([truth[99], truth[100], truth[611], truth[612]], [1, 2, 2, 1]);
        assert_eq!((truth[2 * SECTOR], truth[PAGE - 11], truth[PAGE + 9]), (1, 1, 4));
        inode.lies().for_each(|sector| after.heal(sector));
        assert_eq!((after.read(0, 2 * PAGE), after.lies().count()), (Some(truth), 0));
        inode.write(3, 0, &[7; PAGE]);
        inode.write(4, 8 * SECTOR as u64 + 10, &[8; 5]);
        assert_eq!(inode.lies().count(), 0, "what is written again is no lie");
        assert_eq!(inode.read(PAGE as u64 + 5, 6).unwrap(), [4, 4, 4, 4, 4, 8]);
    }

    #[test]
    fn a_lie_comes_back_where_what_was_written_over_it_does_not_survive() {
        let mut inode = Inode::default();
        inode.write(1, 0, &[1; SECTOR]);
        inode.flush(None, |_| true);
        inode.lose(0, &[2; SECTOR]);
        inode.write(2, 100, &[3; 10]);
        assert_eq!(
            inode.read(99, 3),
            Some(vec![2, 3, 3]),
            "the host's cache knows better"
        );
        let mut seen = [0; 2];
        for seed in 0..50 {
            let mut after = crash(&inode, seed);
            let lies = after.lies().count();
            seen[lies] += 1;
            assert_eq!(
                lies == 0,
                after.read(0, SECTOR) == inode.read(0, SECTOR),
                "{seed}"
            );
            after.heal(0);
            assert_eq!(after.read(0, 1), Some(vec![2]));
        }
        assert!(seen[0] > 5 && seen[1] > 5, "{seen:?}");
        inode.flush(None, |_| true);
        assert_eq!(crash(&inode, 0).lies().count(), 0);
    }

    #[test]
    fn a_lost_length_is_a_lie_as_well() {
        let mut inode = Inode::default();
        inode.write(1, 0, &[1; 100]);
        inode.flush(None, |_| true);
        inode.lose(100, &[2; 100]);
        inode.write(2, 200, &[3; 10]);
        for seed in 0..20 {
            let mut after = crash(&inode, seed);
            let lies: Vec<u64> = after.lies().collect();
            lies.iter().for_each(|sector| after.heal(*sector));
            let bytes = after.read(0, 300).unwrap();
            assert!(
                bytes.len() >= 200 && bytes[100..200] == [2; 100],
                "{seed}: {}",
                bytes.len()
            );
        }
    }

    #[test]
    fn a_lie_comes_back_where_the_space_of_what_was_written_over_it_does_not_survive() {
        let mut inode = Inode::default();
        inode.lose(0, &[1; 24]);
        inode.write(1, 24, &[2; 10]);
        for seed in 0..20 {
            let mut after = crash(&inode, seed);
            let lies: Vec<u64> = after.lies().collect();
            lies.iter().for_each(|sector| after.heal(*sector));
            assert_eq!(after.read(0, 24), Some(vec![1; 24]), "{seed}");
        }
    }

    #[test]
    fn a_cut_takes_only_the_lies_behind_it() {
        let mut inode = Inode::default();
        inode.write(1, 0, &[1; 1000]);
        inode.spoil(1);
        inode.truncate(2, 1000);
        assert_eq!(
            (inode.lies().collect::<Vec<_>>(), inode.read(0, 1000)),
            (vec![1], None)
        );
        inode.truncate(3, 512);
        assert_eq!(
            (inode.lies().count(), inode.read(0, 512)),
            (0, Some(vec![1; 512]))
        );
        inode.write(4, 512, &[2; 10]);
        assert_eq!(inode.read(512, 10), Some(vec![2; 10]));
    }

    #[test]
    fn truncation_leaves_zeroes_behind() {
        let mut inode = Inode::default();
        inode.write(1, 0, &[7; 2 * PAGE]);
        assert_eq!(inode.truncate(2, 100).len(), 1);
        inode.truncate(3, 300);
        let bytes = inode.read(0, PAGE).unwrap();
        assert_eq!((bytes.len(), bytes[99], bytes[100]), (300, 7, 0));
    }
}
