//! Host tuning: what this host is, what of it the broker may take, and whether the broker can run here at
//! all.
//!
//! Place: below the broker, which calls [`checks::before_start`] first and [`budget::Budget::plan`] next.
//! `profile` and `budget` are plain data and arithmetic; all that touches the kernel is in `probe`.

#![deny(unsafe_code)]

pub mod budget;
pub mod checks;
mod probe;
pub mod profile;
pub mod resident;
