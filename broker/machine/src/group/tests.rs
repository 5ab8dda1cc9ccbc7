//! The coordinator as its shell sees it: one behaviour a file.

mod limits;
mod model;
mod offsets;
mod rebalances;
mod static_members;
mod table;
mod world;
