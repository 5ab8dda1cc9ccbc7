//! The coordinator as its shell sees it: one behaviour a file.

mod classic_peer;
mod consumer_table;
mod consumers;
mod limits;
mod migrating;
mod migrations;
mod mixed_table;
mod model;
mod offsets;
mod own_times;
mod rebalances;
mod static_members;
mod table;
mod world;
