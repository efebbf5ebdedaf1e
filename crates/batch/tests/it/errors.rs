//! What cannot be read, and what cannot be had.

use std::num::NonZeroUsize;

use stemson_batch::{BatchError, Format, Job};
use stemson_mojo::Options;

use crate::{model, score, source};

/// One line per input: name, bytes -> the whole message.
fn check(cases: &[(&str, &[u8], &str)]) {
    for threads in [1, 3] {
        for (name, bytes, expected) in cases {
            let inputs = vec![source(name, *bytes)];
            let threads = NonZeroUsize::new(threads).unwrap();
            let error = score(Job { inputs, threads, ..Job::default() }).unwrap_err();
            assert_eq!(error.to_string(), *expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}

#[test]
fn csv() {
    check(&[
        ("a.csv", b"x1,c3\n1,red\n2\n", "a.csv, line 3: 1 fields, expected 2"),
        ("a.csv", b"x1,c3\n\"1\n\",red\n2,red,3\n", "a.csv, line 4: 3 fields, expected 2"),
        ("a.csv", b"x1,c3\n1,red\n2,r\xFFd\n", "a.csv, line 3: byte 15 is not UTF-8"),
        ("a.csv", b"x1,c\xFF\n1,red\n", "a.csv, line 1: byte 4 is not UTF-8"),
        ("a.csv", b"", "a.csv is empty, expected a header line"),
        ("a.csv", b"\xEF\xBB\xBF\n\n", "a.csv is empty, expected a header line"),
        ("a.csv", b"x1,c3,x1\n1,2,3\n", "a.csv, line 1: the header names `x1` twice"),
        ("a.csv", b"a,x1,a,x1\n", "a.csv, line 1: the header names `x1` twice"),
        (
            "a.csv",
            b"x1,c3\r1,red\r2,red\r",
            "a.csv, line 1: lines end with a carriage return alone, expected LF or CRLF",
        ),
        (
            "a.csv",
            b"x1,c3\n1,\"red\n2,red\n",
            "a.csv, line 2: a quote is opened in this record and never closed",
        ),
        (
            "a.csv",
            b"x1,c3\n1,\"re\"d\n2,red\n",
            "a.csv, line 2, field 2: text after the closing quote, expected a delimiter or the \
             end of the line",
        ),
    ]);
}

#[test]
fn jsonl() {
    check(&[
        (
            "a.jsonl",
            b"{\"x1\":1}\n\n{\"x1\":[1]}\n",
            "a.jsonl, line 3, column 7: a nested value, expected text, a number, a boolean or null",
        ),
        (
            "a.jsonl",
            b"{\"x1\":1,\"x1\":2}\n",
            "a.jsonl, line 1, column 9: the key `x1` stands twice in this object",
        ),
        (
            "a.jsonl",
            b"{\"a\":1,\"b\":2}\n{\"a\":1,\"c\":1,\"a\":2}\n",
            "a.jsonl, line 2, column 14: the key `a` stands twice in this object",
        ),
        ("a.jsonl", b"[1,2]\n", "a.jsonl, line 1, column 1: found '[', expected an object: `{`"),
        (
            "a.jsonl",
            b"{\"x1\":1\n",
            "a.jsonl, line 1, column 8: found the end of the line, expected `,` or `}`",
        ),
        // White space to many, but not to JSON.
        (
            "a.jsonl",
            b"{}\n{}\x0C\n",
            "a.jsonl, line 2, column 3: found '\\u{c}', expected nothing after the object",
        ),
        (
            "a.jsonl",
            b"{}\n\x0C\n",
            "a.jsonl, line 2, column 1: found '\\u{c}', expected an object: `{`",
        ),
        ("a.jsonl", b"{\"c3\":\"\xFF\"}\n", "a.jsonl, line 1: byte 7 is not UTF-8"),
    ]);
}

#[test]
fn damaged_compression_is_an_error_of_reading() {
    for (name, bytes) in [
        ("a.csv.gz", &b"x1,c3\n1,red\n"[..]),
        ("a.csv.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03"),
        ("a.csv.zst", b"x1,c3\n1,red\n"),
    ] {
        let error = score(Job { inputs: vec![source(name, bytes)], ..Job::default() }).unwrap_err();
        assert!(matches!(error, BatchError::Read { .. }), "{error}");
        assert_eq!(error.to_string(), format!("cannot read {name}"));
    }
}

#[test]
fn a_record_has_a_longest_length() {
    let mut text = b"x1,c3\n1,\"".to_vec();
    text.resize(17 << 20, b'a');
    let error = score(Job { inputs: vec![source("a.csv", text)], ..Job::default() }).unwrap_err();
    assert!(matches!(error, BatchError::LongRecord { line: 2, .. }), "{error}");
    assert!(error.to_string().contains("a quote in it may never be closed"), "{error}");
}

#[test]
fn what_the_model_or_the_input_does_not_offer() {
    let csv = || vec![source("a.csv", "x1,c3\n1,red\n")];
    let jsonl = || vec![source("a.jsonl", "{\"x1\":1}\n")];
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let cases = [
        ("not_offered", Job { inputs: csv(), calibrated: true, ..Job::default() }),
        ("no_offset", Job { inputs: csv(), offset_column: Some("o".into()), ..Job::default() }),
        ("unknown_keep", Job { inputs: csv(), keep: names(&["zz"]), ..Job::default() }),
        ("unknown_keep", Job { inputs: jsonl(), keep: names(&["zz"]), ..Job::default() }),
        ("missing_columns", Job { inputs: csv(), complete: true, ..Job::default() }),
        ("missing_columns", Job { inputs: jsonl(), complete: true, ..Job::default() }),
        ("headerless_width", Job { inputs: csv(), header: false, ..Job::default() }),
        ("delimiter", Job { inputs: csv(), delimiter: b'"', ..Job::default() }),
        ("output_twice", Job { inputs: csv(), keep: names(&["x1", "x1"]), ..Job::default() }),
        (
            "output_twice",
            Job {
                inputs: vec![source("a.csv", "x1,error\n1,2\n")],
                keep: names(&["error"]),
                options: Options { strict: true, ..Options::default() },
                ..Job::default()
            },
        ),
        (
            "output_twice",
            Job {
                inputs: csv(),
                keep: names(&["x1", "x1"]),
                output: Format::Jsonl,
                ..Job::default()
            },
        ),
    ];
    for (kind, job) in cases {
        let shown = format!("{job:?}");
        assert_eq!(score(job).unwrap_err().kind(), kind, "{shown}");
    }
}

#[test]
fn an_offset_column_can_have_another_name() {
    let model = model("gbm_bernoulli_offset");
    let offset = model.schema().columns()[model.schema().offset().unwrap()].name.clone();
    let answer = |header: &str, name: Option<&str>| {
        let text = format!("x1,{header}\n1,2.5\n");
        let inputs = vec![source("a.csv", text)];
        let offset_column = name.map(str::to_owned);
        let mut out = Vec::new();
        let job = Job { inputs, offset_column, ..Job::default() };
        stemson_batch::run(&model, job, &mut out, |_| {}).map(|_| out)
    };
    let expected = answer(&offset, None).unwrap();
    assert_eq!(answer("my_offset", Some("my_offset")).unwrap(), expected);
    assert_ne!(answer("my_offset", None).unwrap(), expected);
    assert_eq!(answer("zz", Some("my_offset")).unwrap_err().kind(), "missing_columns");
    assert_eq!(answer("zz", Some("x1")).unwrap_err().kind(), "offset_is_feature");
}

/// The first mistake of the input is the one that is told, whichever thread meets one first.
#[test]
fn the_first_of_several_mistakes_is_told() {
    let mut text = "x1,c3\n".to_owned();
    text.push_str(&"1,red\n".repeat(5_000));
    text.push_str("1\n");
    text.push_str(&"1,red\n1,2,3\n".repeat(50_000));
    for threads in [1, 2, 4] {
        let inputs = vec![source("a.csv", text.clone()), source("b.csv", "")];
        let threads = NonZeroUsize::new(threads).unwrap();
        let error = score(Job { inputs, threads, ..Job::default() }).unwrap_err();
        assert_eq!(error.to_string(), "a.csv, line 5002: 1 fields, expected 2");
    }
}
