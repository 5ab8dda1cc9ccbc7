//! libFuzzer's way to [`millstream_fuzz::formats`]; `tests/fuzz/run` builds it.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millstream_fuzz::formats(bytes));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("build with tests/fuzz/run");
}
