//! What a run sends: `produce` from prebuilt batches, `fill` distinct records once, `fetch` them again,
//! `commit` offsets.

pub mod commit;
pub mod fetch;
pub mod fill;
pub mod idempotent;
pub mod produce;
