//! Messages of chance (feature `generate`): every field that a version has gets a value of its own, so that two
//! codecs can be held against each other.

use alloc::vec::Vec;

use super::value::{Float64, Records};
use crate::types::TopicId;

/// Where the values come from.
pub trait Source<'a> {
    /// Any bits; a narrower field takes the lower ones.
    fn number(&mut self) -> u64;
    fn text(&mut self) -> &'a str;
    fn bytes(&mut self) -> &'a [u8];
    /// How many elements an array gets.
    fn count(&mut self) -> usize;
    /// Whether a value that may be null is. Must not always be true: some fields may not be null.
    fn null(&mut self) -> bool;
}

/// Whatever can be made of chance.
pub trait Generate<'a>: Sized {
    /// A value whose fields are set as far as `version` has them; the others are at their defaults.
    fn generate(source: &mut impl Source<'a>, version: i16) -> Self;
}

macro_rules! numbers {
    ($($type:ty)*) => {
        $(
            impl<'a> Generate<'a> for $type {
                fn generate(source: &mut impl Source<'a>, _: i16) -> Self {
                    source.number() as $type
                }
            }
        )*
    };
}

numbers! { i8 i16 u16 i32 i64 }

/// With a half at the end, so that it is shown as what it is.
impl<'a> Generate<'a> for Float64 {
    fn generate(source: &mut impl Source<'a>, _: i16) -> Self {
        Self::new(f64::from(source.number() as i32) + 0.5)
    }
}

impl<'a> Generate<'a> for bool {
    fn generate(source: &mut impl Source<'a>, _: i16) -> Self {
        source.number() & 1 == 1
    }
}

impl<'a> Generate<'a> for TopicId {
    fn generate(source: &mut impl Source<'a>, _: i16) -> Self {
        let bits = u128::from(source.number()) << 64 | u128::from(source.number());
        Self::new(bits.to_be_bytes())
    }
}

impl<'a> Generate<'a> for &'a str {
    fn generate(source: &mut impl Source<'a>, _: i16) -> Self {
        source.text()
    }
}

impl<'a> Generate<'a> for &'a [u8] {
    fn generate(source: &mut impl Source<'a>, _: i16) -> Self {
        source.bytes()
    }
}

impl<'a> Generate<'a> for Records<'a> {
    fn generate(source: &mut impl Source<'a>, version: i16) -> Self {
        Option::generate(source, version).map_or(Records::Null, Records::Bytes)
    }
}

impl<'a, T: Generate<'a>> Generate<'a> for Option<T> {
    fn generate(source: &mut impl Source<'a>, version: i16) -> Self {
        (!source.null()).then(|| T::generate(source, version))
    }
}

impl<'a, T: Generate<'a>> Generate<'a> for Vec<T> {
    fn generate(source: &mut impl Source<'a>, version: i16) -> Self {
        (0..source.count())
            .map(|_| T::generate(source, version))
            .collect()
    }
}
