//! Query strings: whatever they are, the parameters that come out are within their bounds.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The first line is the query, what follows a `Last-Event-ID`.
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let query = parts.next().unwrap_or_default();
    if let Ok(query) = str::from_utf8(query) {
        rowcast::http::fuzzing::query(query, parts.next());
    }
});
