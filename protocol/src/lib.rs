//! Kafka's wire protocol: frames, headers, messages and record batches, as plain functions over bytes.
//!
//! Place: the lowest room; every other one may use it and it uses none of them. It opens nothing, reads no
//! clock and draws no random numbers.
//!
//! Invariants:
//! - Decoding borrows from the frame and never panics, whatever the bytes are.
//! - Every count on the wire is held against the bytes that are left before memory is taken for it, so that
//!   decoding takes at most [`api::ApiSpec::cost`] bytes of memory for each byte of the frame.
//! - Record batches are bytes: encoding a response never copies them (see
//!   [`primitive::Writer::records_splice`]).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod api;
pub mod error;
pub mod frame;
pub mod header;
pub mod message;
pub mod primitive;
pub mod record;
pub mod time;
pub mod types;
