#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tillsync_fuzz::decoders::booky_answers(bytes));
