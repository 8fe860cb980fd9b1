#![no_main]

#[path = "../bodies/zmq.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|input: &[u8]| body::run(input));
