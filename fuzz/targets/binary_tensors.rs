//! Tensors behind JSON, and bodies that are nothing but a tensor: no 5xx, no panic.
#![no_main]

use stemson_fuzz::ask;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [low, high, body @ ..] = data else { return };
    let json_bytes = u16::from_le_bytes([*low, *high]).to_string();
    let headers = [("inference-header-content-length", json_bytes.as_str())];
    ask("/v2/models/gbm_bernoulli/infer", &headers, body);
    ask("/v2/models/glrm_quadratic/infer", &headers, body);
});
