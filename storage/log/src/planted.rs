//! Bugs for the crash search to find, to show that it would.
//!
//! Place: asked for where the rule is kept that the bug breaks. Without the feature `planted`, which only the search's
//! own command sets, no bug can be planted and none of this is in the program.
//! Invariant: a bug is found by what clients see or by what the log holds. A run that ends in a panic finds none.

/// A rule of the log that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Bug {
    /// A round is acknowledged when it is written, not when it is flushed.
    RoundNotFlushed = 1,
    /// A direct write is vouched for by nobody's flush.
    DirectWriteNotFlushed,
    /// A round's flush is taken to cover the direct writes beside it that are still in flight.
    DirectWritesInFlightCovered,
    /// The journal lets go of bytes that were written behind and not flushed.
    WriteBehindNotFlushed,
    /// A round's checksum is not looked at.
    RoundCrcSkipped,
    /// What an earlier time round left in the ring is taken for the next round: neither its place in the chain
    /// nor its incarnation is looked at.
    StaleRoundTaken,
    /// Direct writes that no settled round vouches for are believed.
    ExtentsNotVerified,
    /// A round that lies beyond the chain's end is taken for a settled one.
    SettledTooHigh,
    /// A log whose end was not acknowledged is not cut.
    CutForgotten,
    /// A file that reaches beyond a cut is believed, and the log ends where its file does.
    FileBelieved,
    /// The checkpoint says that segments hold what only the journal holds.
    CheckpointTooEarly,
    /// The ring's space is used again before the checkpoint that frees it is flushed.
    FreedBeforeCheckpoint,
    /// A checkpoint overwrites the only one that counts.
    OneCheckpointSlot,
    /// A start goes on under the mark of the orderly end before it.
    CleanMarkKept,
    /// A block that was padded is written again without being logged whole.
    NoBlockImage,
    /// The checkpoint knows no producers.
    ProducersForgotten,
    /// What is known of producers stays when the batches that taught it are cut.
    ProducersAheadOfLog,
    /// A moved log start is told and not logged.
    LogStartNotLogged,
    /// A deletion forgets the partition and leaves it in the journal.
    RemovalNotLogged,
    /// A segment file's name is believed to be durable.
    NamesNotSynced,
    /// A start goes on in the last one's incarnation, and gives segment ids out again.
    IncarnationNotRaised,
    /// Journals of another number of shards go before what was drained from them is in a checkpoint.
    JournalsRetiredEarly,
    /// Leader epochs stay as they were after an unclean end.
    EpochsNotRaised,
    /// Records are served before they are flushed.
    UnflushedServed,
    /// A metadata snapshot is renamed without a sync of its directory.
    SnapshotNameNotSynced,
    /// The last entry of the metadata log is taken for a torn one.
    MetadataEntryDropped,
    /// A torn entry of the metadata log takes all entries of its file with it.
    MetadataDeletedOnDamage,
    /// Blocks of producer ids are given out before they are in the metadata log.
    ProducerIdsNotLogged,
    /// A round that was settled and is damaged is taken for a torn one, and what follows is cut.
    DamageCut,
    /// What is read back from a segment is served as it is.
    ColdReadNotChecked,
    /// A write to a segment that failed is taken for done.
    FailedWriteBelieved,
    /// A segment file that nothing knows is deleted, and said to be put aside.
    UnknownSegmentDeleted,
    /// An unreadable entry of the metadata log is cut off with all that follow.
    MetadataDamageCut,
    /// What a start finds in its files is trusted without a flush.
    FoundNotFlushed,
}

impl Bug {
    pub const ALL: [Bug; 34] = [
        Bug::RoundNotFlushed,
        Bug::DirectWriteNotFlushed,
        Bug::DirectWritesInFlightCovered,
        Bug::WriteBehindNotFlushed,
        Bug::RoundCrcSkipped,
        Bug::StaleRoundTaken,
        Bug::ExtentsNotVerified,
        Bug::SettledTooHigh,
        Bug::CutForgotten,
        Bug::FileBelieved,
        Bug::CheckpointTooEarly,
        Bug::FreedBeforeCheckpoint,
        Bug::OneCheckpointSlot,
        Bug::CleanMarkKept,
        Bug::NoBlockImage,
        Bug::ProducersForgotten,
        Bug::ProducersAheadOfLog,
        Bug::LogStartNotLogged,
        Bug::RemovalNotLogged,
        Bug::NamesNotSynced,
        Bug::IncarnationNotRaised,
        Bug::JournalsRetiredEarly,
        Bug::EpochsNotRaised,
        Bug::UnflushedServed,
        Bug::SnapshotNameNotSynced,
        Bug::MetadataEntryDropped,
        Bug::MetadataDeletedOnDamage,
        Bug::ProducerIdsNotLogged,
        Bug::DamageCut,
        Bug::ColdReadNotChecked,
        Bug::FailedWriteBelieved,
        Bug::UnknownSegmentDeleted,
        Bug::MetadataDamageCut,
        Bug::FoundNotFlushed,
    ];

    /// The rule that it breaks.
    pub const fn rule(self) -> &'static str {
        match self {
            Bug::RoundNotFlushed => "what is acknowledged was flushed",
            Bug::DirectWriteNotFlushed => "a direct write has its own flush",
            Bug::DirectWritesInFlightCovered => "no write's durability vouches for another write",
            Bug::WriteBehindNotFlushed => "journal bytes stay until their segment is durable",
            Bug::RoundCrcSkipped => "a round counts only whole",
            Bug::StaleRoundTaken => "a round follows its chain and its incarnation",
            Bug::ExtentsNotVerified => "unsettled direct writes are verified",
            Bug::SettledTooHigh => "settled is what completed: a power cut alone fences nothing",
            Bug::CutForgotten => "an unacknowledged end is cut, durably, before serving",
            Bug::FileBelieved => "the log's end comes from checkpoint and journal alone",
            Bug::CheckpointTooEarly => "the floor is the oldest round that is still needed",
            Bug::FreedBeforeCheckpoint => "space is free once the checkpoint is durable",
            Bug::OneCheckpointSlot => "two slots, in turn",
            Bug::CleanMarkKept => "an end is orderly only until the next start",
            Bug::NoBlockImage => "a block is written again only while the journal holds all of it",
            Bug::ProducersForgotten => "checkpoint and journal hold all that is known of producers",
            Bug::ProducersAheadOfLog => "producers are never ahead of their log",
            Bug::LogStartNotLogged => "what was deleted stays deleted",
            Bug::RemovalNotLogged => "a deletion is committed like data",
            Bug::NamesNotSynced => "a directory entry is synced before it counts",
            Bug::IncarnationNotRaised => "each start raises the incarnation; ids are never given twice",
            Bug::JournalsRetiredEarly => "old journals go last",
            Bug::EpochsNotRaised => "an unclean start raises leader epochs",
            Bug::UnflushedServed => "the high watermark never passes what is flushed",
            Bug::SnapshotNameNotSynced => "a rename counts once its directory is synced",
            Bug::MetadataEntryDropped => "what the metadata log acknowledged stays",
            Bug::MetadataDeletedOnDamage => "damage deletes nothing",
            Bug::ProducerIdsNotLogged => "ids are given out once they are logged",
            Bug::DamageCut => "damage is fenced and not cut",
            Bug::ColdReadNotChecked => "what is read back is held against its checksum",
            Bug::FailedWriteBelieved => "a failed write fences and is never taken for done",
            Bug::UnknownSegmentDeleted => "unknown segment files are put aside",
            Bug::MetadataDamageCut => "what the metadata lost is not taken for a torn end",
            Bug::FoundNotFlushed => "what a start trusts is made durable first",
        }
    }
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
