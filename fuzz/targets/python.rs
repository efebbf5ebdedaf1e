//! Text as a file of Python, beside one that imports it, through parser, call graph and all rules.
#![no_main]

use stemson_audit::{Kind, Source, audit_sources};

/// Reaches what the text defines from a route.
const CALLER: &str = "from fastapi import FastAPI\nfrom fuzzed import *\nimport fuzzed\n\napp = FastAPI()\n\n\
    @app.get('/')\nasync def root():\n    return fuzzed.main(fuzzed.model.predict(1))\n";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let source = |path: &str, text: &str| Source::new(path.to_owned(), Kind::Python, text.to_owned());
    audit_sources(vec![source("fuzzed.py", text), source("main.py", CALLER)]);
});
