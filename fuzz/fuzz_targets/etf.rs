#![no_main]

#[path = "../entry.rs"]
#[allow(dead_code)] // the other targets'
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::etf(data));
