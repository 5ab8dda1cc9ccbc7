//! Bugs for the crash search to find, to show that it would.
//!
//! Place: asked for where the rule is kept that the bug breaks. Without the feature `planted`, which only the search's
//! own command sets, no bug can be planted and none of this is in the program.

/// A rule of the log that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Bug {
    /// A round is acknowledged when it is written, not when it is flushed.
    RoundNotFlushed = 1,
    /// A direct write is vouched for by nobody's flush.
    DirectWriteNotFlushed,
    /// The journal lets go of bytes that were written behind and not flushed.
    WriteBehindNotFlushed,
    /// A round's checksum is not looked at.
    RoundCrcSkipped,
    /// A stale round of the ring is taken for the next one.
    ChainNotChecked,
    /// Direct writes that no settled round vouches for are believed.
    ExtentsNotVerified,
    /// A log whose end was not acknowledged is not cut.
    CutForgotten,
    /// The checkpoint frees rounds whose bytes no segment holds.
    FloorTooHigh,
    /// The ring's space is used again before the checkpoint that frees it is flushed.
    FreedBeforeCheckpoint,
    /// A checkpoint overwrites the only one that counts.
    OneCheckpointSlot,
    /// A block that was padded is written again without being logged whole.
    NoBlockImage,
    /// The checkpoint knows no producers.
    ProducersForgotten,
    /// A moved log start is told and not logged.
    LogStartNotLogged,
    /// A segment file's name is believed to be durable.
    NamesNotSynced,
    /// A start goes on in the last one's incarnation.
    IncarnationNotRaised,
    /// A metadata snapshot is renamed without a sync of its directory.
    SnapshotNameNotSynced,
    /// Blocks of producer ids are given out before they are in the metadata log.
    ProducerIdsNotLogged,
    /// Records are served before they are flushed.
    UnflushedServed,
    /// The last entry of the metadata log is taken for a torn one.
    MetadataEntryDropped,
    /// A deletion forgets the partition and leaves it in the journal.
    RemovalNotLogged,
}

impl Bug {
    pub const ALL: [Bug; 20] = [
        Bug::RoundNotFlushed,
        Bug::DirectWriteNotFlushed,
        Bug::WriteBehindNotFlushed,
        Bug::RoundCrcSkipped,
        Bug::ChainNotChecked,
        Bug::ExtentsNotVerified,
        Bug::CutForgotten,
        Bug::FloorTooHigh,
        Bug::FreedBeforeCheckpoint,
        Bug::OneCheckpointSlot,
        Bug::NoBlockImage,
        Bug::ProducersForgotten,
        Bug::LogStartNotLogged,
        Bug::NamesNotSynced,
        Bug::IncarnationNotRaised,
        Bug::SnapshotNameNotSynced,
        Bug::ProducerIdsNotLogged,
        Bug::UnflushedServed,
        Bug::MetadataEntryDropped,
        Bug::RemovalNotLogged,
    ];
}

#[cfg(feature = "planted")]
static PLANTED: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

/// Plants one bug in this process, or takes it out.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(
        bug.map_or(0, |bug| bug as u32),
        core::sync::atomic::Ordering::Relaxed,
    );
}

/// Whether this bug is there.
#[cfg(feature = "planted")]
pub fn has(bug: Bug) -> bool {
    PLANTED.load(core::sync::atomic::Ordering::Relaxed) == bug as u32
}

/// Whether this bug is there: never.
#[cfg(not(feature = "planted"))]
pub const fn has(_bug: Bug) -> bool {
    false
}
