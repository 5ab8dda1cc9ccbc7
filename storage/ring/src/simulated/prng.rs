//! The randomness of the simulator and of who drives it: small, seeded, and ours, so that a seed means the same
//! run for ever.

/// SplitMix64 (Steele, Lea, Flood 2014): every seed gives a full-period sequence.
#[derive(Clone, Debug)]
pub struct Prng {
    state: u64,
}

impl Prng {
    /// `salt` tells streams of one seed apart, so that a draw more in one does not shift another.
    pub fn new(seed: u64, salt: u64) -> Prng {
        let mut prng = Prng {
            state: seed ^ salt.wrapping_mul(0xD6E8_FEB8_6659_FD93),
        };
        prng.next();
        prng
    }

    #[expect(clippy::should_implement_trait, reason = "not an iterator: it has no end")]
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }

    /// In `0..bound`; the bias of the remainder is far below what a test could see.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0);
        self.next() % bound
    }

    /// In `low..high`.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low)
    }

    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// True in `rate` of 1,000 draws. A rate of zero draws nothing.
    pub fn per_mille(&mut self, rate: u32) -> bool {
        rate > 0 && self.below(1000) < u64::from(rate)
    }
}

pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |seed, salt| (0..4).map(|_| Prng::new(seed, salt).next()).collect::<Vec<_>>();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn rates_are_about_right() {
        let mut prng = Prng::new(7, 7);
        let hits = (0..100_000).filter(|_| prng.per_mille(50)).count();
        assert!((4_000..6_000).contains(&hits), "{hits}");
        assert!((0..1000).all(|_| (3..6).contains(&prng.range(3, 6))));
    }
}
