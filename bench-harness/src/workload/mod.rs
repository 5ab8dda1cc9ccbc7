//! What a run sends: `produce` from prebuilt batches, `fill` distinct records once, `fetch` them again or as they come,
//! `commit` offsets, or sit `idle`. `send_time` is how long a record was on its way.

pub mod commit;
pub mod fetch;
pub mod fill;
pub mod idempotent;
pub mod idle;
pub mod produce;
pub mod send_time;
