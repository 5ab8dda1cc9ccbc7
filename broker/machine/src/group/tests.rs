//! The coordinator as its shell sees it: one behaviour a file.

mod model;
mod table;
mod world;
