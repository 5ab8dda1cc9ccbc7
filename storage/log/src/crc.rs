//! CRC-32C of bytes, and of bytes put together from parts whose CRCs are known.
//!
//! A stored batch's CRC is combined from its patched header and from the body CRC that the producer sent and
//! the broker has checked: the body is not read again.

pub use crc32c::{crc32c, crc32c_append};

use crate::id::SegmentId;

/// The CRC of `A` followed by `B`, from the CRCs of both and the length of `B`.
pub fn combine(crc_a: u32, crc_b: u32, len_b: u64) -> u32 {
    shift(crc_a, len_b) ^ crc_b
}

/// The CRC that a run of a segment's bytes starts from, so that equal bytes of another segment do not match.
pub fn salt(segment: SegmentId) -> u32 {
    crc32c(&segment.get().to_le_bytes())
}

/// Takes the salt out of the CRC of `len` bytes.
pub(crate) fn unsalt(salted: u32, segment: SegmentId, len: u64) -> u32 {
    salted ^ shift(salt(segment), len)
}

/// What `crc` contributes when `len` more bytes follow: `crc` times x^(8 len) modulo the polynomial.
///
/// One product for each byte of `len` that is not zero: two for all but huge batches.
fn shift(crc: u32, len: u64) -> u32 {
    let mut product = crc;
    for (power, digit) in POWERS.iter().zip(len.to_le_bytes()) {
        if digit != 0 {
            product = multiply(power[usize::from(digit)], product);
        }
    }
    product
}

/// The product of two polynomials modulo CRC-32C's, bit-reflected: x^0 is the highest bit.
///
/// Horner's rule, four powers of `a` at a time from the highest down: every batch pays for four of these.
const fn multiply(a: u32, b: u32) -> u32 {
    // `times[n]` is `b` times the four lowest powers that `n` has.
    let (b1, b2, b3) = (times_x(b, 1), times_x(b, 2), times_x(b, 3));
    let pairs = [0, b3, b2, b2 ^ b3];
    let mut times = [0; 16];
    let mut n = 0;
    while n < 16 {
        times[n] = pairs[n % 4] ^ [0, b1, b, b ^ b1][n / 4];
        n += 1;
    }
    let mut product = 0;
    let mut at = 0;
    while at < u32::BITS {
        product = product >> 4 ^ CARRIES[(product & 15) as usize] ^ times[(a >> at & 15) as usize];
        at += 4;
    }
    product
}

/// `polynomial` times x^`power`.
const fn times_x(mut polynomial: u32, mut power: u32) -> u32 {
    while power > 0 {
        let carry = if polynomial & 1 != 0 { POLYNOMIAL } else { 0 };
        polynomial = polynomial >> 1 ^ carry;
        power -= 1;
    }
    polynomial
}

const POLYNOMIAL: u32 = 0x82f6_3b78;

/// What the four highest powers become when a product grows by four.
const CARRIES: [u32; 16] = {
    let mut carries = [0; 16];
    let mut n = 0;
    while n < 16 {
        carries[n] = times_x(n as u32, 4);
        n += 1;
    }
    carries
};

/// `POWERS[k][digit]` is x^(8 · digit · 256^k): 8 KiB for all lengths.
static POWERS: [[u32; 256]; 8] = {
    let mut powers = [[0; 256]; 8];
    let mut one = 1 << 23;
    let mut k = 0;
    while k < 8 {
        powers[k][0] = 1 << 31;
        let mut digit = 1;
        while digit < 256 {
            powers[k][digit] = multiply(powers[k][digit - 1], one);
            digit += 1;
        }
        one = multiply(powers[k][255], one);
        k += 1;
    }
    powers
};

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn combining_equals_computing() {
        let bytes: Vec<u8> = (0..70_000u32).map(|index| ((index * 31) >> 3) as u8).collect();
        for split in [0, 1, 7, 61, 4096, 65_535, 69_999, 70_000] {
            let (a, b) = bytes.split_at(split);
            assert_eq!(
                combine(crc32c(a), crc32c(b), b.len() as u64),
                crc32c(&bytes),
                "split at {split}"
            );
        }
    }

    #[test]
    fn lengths_of_any_size_add_up() {
        for (a, b) in [
            (1, 255),
            (256, 65_280),
            (1 << 24, 3 << 40),
            (0xffff_ffff, 0x1234_5678_9abc),
        ] {
            assert_eq!(
                shift(shift(0xdead_beef, a), b),
                shift(0xdead_beef, a + b),
                "{a} and {b}"
            );
        }
    }

    #[test]
    fn a_salt_comes_out_again_and_tells_segments_apart() {
        let (one, two) = (SegmentId::new(1), SegmentId::new(2));
        let salted = crc32c_append(salt(one), b"the same bytes");
        assert_eq!(unsalt(salted, one, 14), crc32c(b"the same bytes"));
        assert_ne!(salted, crc32c_append(salt(two), b"the same bytes"));
    }
}
