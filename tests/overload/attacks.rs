//! Who attacks, and how.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;

use super::{crowd, fetches, frames};

/// One kind of abuse. It goes on until it is told to stop.
pub struct Attack {
    pub name: &'static str,
    pub run: fn(SocketAddr, &AtomicBool),
}

pub const ATTACKS: [Attack; 10] = [
    Attack {
        name: "arbitrary bytes",
        run: frames::arbitrary_bytes,
    },
    Attack {
        name: "counts that are not there",
        run: frames::empty_counts,
    },
    Attack {
        name: "counts that are",
        run: frames::full_counts,
    },
    Attack {
        name: "half-open and dripping",
        run: crowd::half_open,
    },
    Attack {
        name: "large frames, half sent",
        run: crowd::half_sent,
    },
    Attack {
        name: "10,000 connections",
        run: crowd::ten_thousand,
    },
    Attack {
        name: "large answers, never read",
        run: fetches::never_reading,
    },
    Attack {
        name: "small answers from everywhere, never read",
        run: fetches::pinning,
    },
    Attack {
        name: "producers without end",
        run: crowd::producers,
    },
    Attack {
        name: "consumers of everything",
        run: fetches::everything,
    },
];
