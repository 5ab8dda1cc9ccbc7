//! When the requests of an open loop are due.
//! Invariant: the times depend on start and rate alone, never on what was answered.

use std::time::{Duration, Instant};

/// Evenly spaced requests, dealt to the connections in turn.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    start: Instant,
    interval_nanos: f64,
    connections: u64,
}

impl Pace {
    /// `rate` is in requests a second over all connections, above zero.
    pub fn new(start: Instant, rate: f64, connections: usize) -> Self {
        assert!(
            rate > 0.0 && connections > 0,
            "a pace needs a rate and a connection"
        );
        Pace {
            start,
            interval_nanos: 1e9 / rate,
            connections: connections as u64,
        }
    }

    /// When the `turn`-th request (from 0) of `connection` is due.
    pub fn due(&self, connection: usize, turn: u64) -> Instant {
        let index = turn * self.connections + connection as u64;
        self.start + Duration::from_nanos((index as f64 * self.interval_nanos) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_turns_at_the_rate_of_all() {
        let start = Instant::now();
        let pace = Pace::new(start, 1000.0, 4);
        assert_eq!(pace.due(0, 0), start);
        assert_eq!(pace.due(3, 0), start + Duration::from_millis(3));
        assert_eq!(pace.due(0, 1), start + Duration::from_millis(4));
        assert_eq!(pace.due(1, 250), start + Duration::from_millis(1001));
    }
}
