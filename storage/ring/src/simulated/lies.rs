//! What sectors of a file should hold about which the device lied, or which went bad later.
//!
//! Place: beside the sectors of [`super::inode::Inode`], so that a test can say which bytes a fault touched, and can
//! put things right.
//! Invariant: a sector that is written again is the truth.

use std::collections::BTreeMap;

use super::inode::{SECTOR, Sector};

#[derive(Clone, Debug, Default)]
pub(super) struct Lies {
    /// By number: what should be there.
    sectors: BTreeMap<u64, Sector>,
    /// Where the file should end, if a write was lost that would have made it longer.
    end: Option<u64>,
}

impl Lies {
    /// The earliest truth about a sector stays.
    pub(super) fn note(&mut self, sector: u64, truth: Sector) {
        self.sectors.entry(sector).or_insert(truth);
    }

    /// A write was lost that ended here.
    pub(super) fn ends(&mut self, at: u64) {
        self.end = self.end.max(Some(at));
    }

    /// What the sector should have held until now, if it lied.
    pub(super) fn written(&mut self, sector: u64) -> Option<Sector> {
        match self.sectors.is_empty() {
            true => None,
            false => self.sectors.remove(&sector),
        }
    }

    /// The file was cut.
    pub(super) fn cut(&mut self, len: u64) {
        self.sectors.split_off(&len.div_ceil(SECTOR as u64));
        self.end = self.end.filter(|end| *end <= len);
    }

    pub(super) fn truth(&self, sector: u64) -> Option<&Sector> {
        self.sectors.get(&sector)
    }

    pub(super) fn end(&self) -> Option<u64> {
        self.end
    }

    /// Numbers of the sectors that are not what they should be.
    pub(super) fn sectors(&self) -> impl Iterator<Item = u64> {
        self.sectors.keys().copied()
    }
}
