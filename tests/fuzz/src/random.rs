//! A small generator of numbers (xorshift), so that a run is its seed, and the mutations made with it.

#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Every seed but 0 gives numbers.
    pub fn new(seed: u64) -> Self {
        assert_ne!(seed, 0);
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound.max(1) as u64) as usize
    }

    /// Small values more often than others, as lengths are small.
    pub fn byte(&mut self, round: usize) -> u8 {
        let byte = self.number() as u8;
        if round.is_multiple_of(2) { byte & 3 } else { byte }
    }

    /// One to four changes: a byte overwritten, flipped, inserted or removed, a run of the largest, the end
    /// cut off.
    pub fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let byte = self.number() as u8;
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] = byte,
                1 if at < bytes.len() => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.insert(at, byte & 0x8f),
                3 if at < bytes.len() => drop(bytes.remove(at)),
                4 => {
                    let end = bytes.len().min(at + 4);
                    bytes[at..end].fill(if byte & 1 == 0 { 0xff } else { 0x7f });
                }
                _ => bytes.truncate(bytes.len() - self.below(bytes.len() / 2)),
            }
        }
        bytes
    }
}
