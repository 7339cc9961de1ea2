//! Hands libFuzzer's inputs to the function that the ordinary tests of `innkeeper-proto` call too.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| innkeeper_proto::fuzz::decode_anything(data));
