//! A small generator of numbers (xorshift), so that a run is its seed, and the mutations made with it.

use millstream_protocol::primitive::Writer;

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

    /// Lets counts follow `start` that ask for as many elements as could just be there, one or two of them
    /// nested, and then bytes that are good as small elements.
    pub fn claims(&mut self, start: &[u8], flexible: bool) -> Vec<u8> {
        const FILLING: usize = 1_500;
        let mut bytes = start.to_vec();
        let fill = if flexible { 1 } else { 0 };
        for _ in 0..=self.below(2) {
            let count = (FILLING / (1 + self.below(8))) as u32;
            if flexible {
                let mut w = Writer::new();
                w.uvarint(count + 1);
                bytes.extend_from_slice(w.bytes());
            } else {
                bytes.extend_from_slice(&count.to_be_bytes());
            }
            bytes.extend(std::iter::repeat_n(fill, self.below(4)));
        }
        bytes.extend(std::iter::repeat_n(fill, FILLING));
        bytes
    }
}
