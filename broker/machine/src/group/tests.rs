//! The coordinator as its shell sees it: one behaviour a file.

mod consumers;
mod limits;
mod model;
mod offsets;
mod rebalances;
mod static_members;
mod table;
mod world;
