//! What a run sends: `produce` from prebuilt batches.

pub mod produce;
