//! The highest rate that holds a latency: doubled until it does not, then halved in between.
//! Invariant: it ends: after so many steps, and where two rates are so close that noise decides.

/// A search. Rates are multiples of the one that the scenario begins with.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// The highest that held.
    held: Option<f64>,
    /// The lowest that did not.
    missed: Option<f64>,
    steps: u32,
}

impl Search {
    pub fn new() -> Self {
        Search {
            held: None,
            missed: None,
            steps: 0,
        }
    }

    /// The rate to try; `None` at the end.
    pub fn next(&self) -> Option<f64> {
        if self.steps >= STEPS_MAX {
            return None;
        }
        match (self.held, self.missed) {
            (None, None) => Some(1.0),
            (Some(held), None) => Some(held * 2.0),
            (None, Some(missed)) => Some(missed / 2.0),
            (Some(held), Some(missed)) if missed / held > CLOSE => Some((held + missed) / 2.0),
            (Some(_), Some(_)) => None,
        }
    }

    /// What came of the rate that was tried.
    pub fn note(&mut self, rate: f64, held: bool) {
        self.steps += 1;
        if held {
            self.held = Some(self.held.map_or(rate, |before| before.max(rate)));
        } else {
            self.missed = Some(self.missed.map_or(rate, |before| before.min(rate)));
        }
    }

    /// The highest rate that held; `None`: none did.
    pub fn found(&self) -> Option<f64> {
        self.held
    }
}

impl Default for Search {
    fn default() -> Self {
        Self::new()
    }
}

const STEPS_MAX: u32 = 24;

/// Nearer than this, the same rate gives either.
const CLOSE: f64 = 1.05;

#[cfg(test)]
mod tests {
    use super::*;

    fn search(capacity: f64) -> Search {
        let mut search = Search::new();
        while let Some(rate) = search.next() {
            search.note(rate, rate <= capacity);
        }
        search
    }

    #[test]
    fn it_comes_near_whatever_holds_from_below() {
        for capacity in [0.03, 0.9, 1.0, 1.7, 37.3, 1000.0] {
            let found = search(capacity).found().unwrap();
            assert!(
                found <= capacity && capacity / found <= CLOSE,
                "{capacity}: {found}"
            );
            assert!(search(capacity).steps < STEPS_MAX);
        }
    }

    #[test]
    fn it_ends_where_nothing_and_where_everything_holds() {
        assert_eq!(search(0.0).found(), None);
        assert!(search(f64::INFINITY).found().is_some());
    }
}
