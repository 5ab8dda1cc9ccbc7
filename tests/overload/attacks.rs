//! Who attacks, and how.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;

use super::local::Load;
use super::{crowd, fetches, frames};

/// One kind of abuse. It goes on until it is told to stop.
pub struct Attack {
    pub name: &'static str,
    pub run: fn(SocketAddr, &AtomicBool),
    /// Connections that are there before it begins, and stay.
    pub crowd: usize,
    /// What of the machine it takes, whoever it does that to.
    pub takes: Load,
}

pub const ATTACKS: [Attack; 10] = [
    Attack {
        name: "arbitrary bytes",
        run: frames::arbitrary_bytes,
        crowd: 0,
        takes: Load::Nothing,
    },
    Attack {
        name: "counts that are not there",
        run: frames::empty_counts,
        crowd: 0,
        takes: Load::Nothing,
    },
    Attack {
        name: "counts that are",
        run: frames::full_counts,
        crowd: 0,
        takes: Load::Nothing,
    },
    Attack {
        name: "half-open and dripping",
        run: crowd::half_open,
        crowd: 0,
        takes: Load::Nothing,
    },
    Attack {
        name: "large frames, half sent",
        run: crowd::half_sent,
        crowd: 0,
        takes: Load::Nothing,
    },
    Attack {
        name: "10,000 connections",
        run: crowd::stay,
        crowd: crowd::TEN_THOUSAND,
        takes: Load::Nothing,
    },
    Attack {
        name: "large answers, never read",
        run: fetches::never_reading,
        crowd: 0,
        takes: Load::Nothing,
    },
    Attack {
        name: "small answers from everywhere, never read",
        run: fetches::pinning,
        crowd: 0,
        takes: Load::Nothing,
    },
    Attack {
        name: "producers without end",
        run: crowd::producers,
        crowd: 0,
        takes: Load::Writes {
            threads: crowd::PRODUCERS,
        },
    },
    Attack {
        name: "consumers of everything",
        run: fetches::everything,
        crowd: 0,
        takes: Load::Reads {
            threads: fetches::READERS,
        },
    },
];
