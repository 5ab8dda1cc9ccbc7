//! libFuzzer's way to the start on a damaged directory (`src/boot.rs`); `tests/fuzz/run` builds it.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    millstream_fuzz::boot(bytes);
});

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("build with tests/fuzz/run");
}
