//! What becomes of rows that can be read.

use std::io::Write;
use std::num::NonZeroUsize;

use flate2::Compression as Level;
use flate2::write::GzEncoder;
use stemson_batch::{Format, Job, Summary};
use stemson_mojo::Options;

use crate::{input, score, score_csv, source};

#[test]
fn every_way_to_write_the_same_rows_gives_the_same_answers() {
    let plain = "x1,c3,k\n1.5,red,3\n-2,green,\n";
    let expected = score_csv(plain).unwrap().0;
    assert_eq!(expected.lines().count(), 3);
    assert!(expected.starts_with("predict,no,yes\n"), "{expected}");
    for text in [
        "x1,c3,k\r\n1.5,red,3\r\n-2,green,\r\n",
        "x1,c3,k\n1.5,red,3\n-2,green,",
        "\u{feff}x1,c3,k\n1.5,red,3\n-2,green,\n",
        "\"x1\",\"c3\",k\n\"1.5\",\"red\",3\n-2,\"green\",\"\"\n",
        "k,other,c3,x1\n3,\"a\nb\",red,1.5\n,,green,-2\n",
        "x1,c3,k\n\n1.5,red,3\n\r\n-2,green,\n\n",
        "\nx1,c3,k\n1.5,red,3\n-2,green,\n",
    ] {
        assert_eq!(score_csv(text).unwrap().0, expected, "{text:?}");
    }
    let semicolons = plain.replace(',', ";");
    let job = Job { inputs: vec![source("a.csv", semicolons)], delimiter: b';', ..Job::default() };
    assert_eq!(score(job).unwrap().0, expected);
    for text in [
        "{\"x1\":1.5,\"c3\":\"red\",\"k\":3}\n{\"x1\":\"-2\",\"c3\":\"green\",\"k\":null}\n",
        "\n{\"k\":3,\"c3\":\"r\\u0065d\",\"x1\":15e-1}\r\n\n{\"c3\":\"green\",\"zz\":1,\"x1\":-2}",
    ] {
        let job = Job { inputs: vec![source("a.jsonl", text)], ..Job::default() };
        assert_eq!(score(job).unwrap().0, expected, "{text:?}");
    }
}

#[test]
fn packed_inputs_are_unpacked_member_by_member() {
    let text = input("gbm_bernoulli");
    let half = text.len() / 2;
    let mut packed = Vec::new();
    for part in [&text[..half], &text[half..]] {
        let mut member = GzEncoder::new(Vec::new(), Level::fast());
        member.write_all(part.as_bytes()).unwrap();
        packed.extend(member.finish().unwrap());
    }
    let job = Job { inputs: vec![source("in.csv.gz", packed)], ..Job::default() };
    assert_eq!(score(job).unwrap(), score_csv(&text).unwrap());
}

#[test]
fn threads_change_nothing() {
    let rows = input("gbm_bernoulli");
    let (header, rows) = rows.split_once('\n').unwrap();
    let text = format!("{header}\n{}", rows.repeat(200));
    for output in [Format::Csv, Format::Jsonl] {
        let with = |threads| {
            score(Job {
                inputs: vec![source("a.csv", text.clone()), source("b.csv", text.clone())],
                keep: vec!["x1".to_owned()],
                options: Options { strict: true, ..Options::default() },
                output,
                threads: NonZeroUsize::new(threads).unwrap(),
                ..Job::default()
            })
            .unwrap()
        };
        let (out, summary) = with(1);
        let header = usize::from(output == Format::Csv);
        assert_eq!(out.lines().count() as u64, summary.rows + header as u64);
        assert!(summary.rows > 10_000 && summary.refused > 0, "{summary:?}");
        for threads in [2, 5] {
            assert!(with(threads) == (out.clone(), summary.clone()), "{threads} threads");
        }
    }
}

#[test]
fn several_inputs_are_one_run_of_rows() {
    let inputs = || {
        vec![
            source("a.csv", "x1,c3\n1,red\n2,green\n"),
            source("b.jsonl", "{\"c3\":\"red\",\"x1\":1,\"zz\":7}\n"),
            source("c.csv", "c3,zzz\nred,\n"),
        ]
    };
    let job = Job { inputs: inputs(), output: Format::Jsonl, ..Job::default() };
    let (out, summary) = score(job).unwrap();
    let rows: Vec<&str> = out.lines().collect();
    assert_eq!(rows.len(), 4);
    for (i, row) in rows.iter().enumerate() {
        assert!(row.starts_with(&format!("{{\"row\":{i},\"out\":{{\"label\":")), "{row}");
    }
    assert_eq!(rows[0][8..], rows[2][8..]);
    assert_eq!(summary.rows, 4);
    let mut missing: Vec<_> = summary
        .missing
        .iter()
        .map(|m| (m.source_name.as_str(), m.columns.contains(&"x1".to_owned())))
        .collect();
    missing.sort_unstable();
    assert_eq!(missing, [("a.csv", false), ("b.jsonl", false), ("c.csv", true)]);
    assert_eq!(summary.ignored, ["zz", "zzz"]);
}

#[test]
fn conversions_are_counted_and_strict_refuses() {
    let text = "x1,c3,id\noops,red,1\n1,purple,2\n1,red,3\n,,4\n";
    let (out, summary) = score_csv(text).unwrap();
    assert_eq!(out.lines().count(), 5);
    let counts: Vec<_> = (summary.converted.iter())
        .map(|c| (c.column.as_str(), c.unknown_levels, c.invalid_numbers))
        .collect();
    assert_eq!(counts, [("x1", 0, 1), ("c3", 1, 0)]);
    assert_eq!(summary.refused, 0);

    let strict = |output| {
        let inputs = vec![source("in.csv", text)];
        let keep = vec!["id".to_owned()];
        let options = Options { strict: true, ..Options::default() };
        score(Job { inputs, output, keep, options, ..Job::default() }).unwrap()
    };
    let (out, summary) = strict(Format::Csv);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "predict,no,yes,id,error");
    assert!(lines[1].starts_with(",,,1,") && lines[1].contains("invalid_number: "), "{out}");
    assert!(lines[2].starts_with(",,,2,") && lines[2].contains("unknown_level: "), "{out}");
    assert!(lines[3].ends_with(",3,") && lines[4].ends_with(",4,"), "{out}");
    assert_eq!(summary.refused, 2);
    assert_eq!(summary.refused_by_kind.get("unknown_level"), Some(&1));
    let places: Vec<_> =
        summary.refusals.iter().map(|r| (r.row, r.line, r.column.as_deref())).collect();
    assert_eq!(places, [(0, 2, Some("x1")), (1, 3, Some("c3"))]);

    let (out, _) = strict(Format::Jsonl);
    let first: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(first["error"]["kind"], "invalid_number");
    assert_eq!(first["error"]["column"], "x1");
    assert_eq!(first["kept"]["id"], "1");
}

#[test]
fn kept_columns_come_out_as_they_went_in() {
    let keep = || ["id", "c3"].map(str::to_owned).to_vec();
    let text = "{\"id\":12345678901234567890,\"c3\":\"a,\\\"b\"}\n{\"id\":1.50,\"c3\":true}\n\
                {\"id\":null,\"c3\":\"\\u0001\"}\n";
    let with = |output| {
        let inputs = vec![source("in.jsonl", text)];
        score(Job { inputs, keep: keep(), output, ..Job::default() }).unwrap().0
    };
    let out = with(Format::Jsonl);
    let kept: Vec<&str> = out.lines().map(|line| line.split_once("\"kept\":").unwrap().1).collect();
    assert_eq!(
        kept,
        [
            "{\"id\":12345678901234567890,\"c3\":\"a,\\\"b\"}}",
            "{\"id\":1.50,\"c3\":true}}",
            "{\"id\":null,\"c3\":\"\\u0001\"}}"
        ]
    );
    let out = with(Format::Csv);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[1].ends_with(",12345678901234567890,\"a,\"\"b\""), "{out}");
    assert!(lines[2].ends_with(",1.50,true"), "{out}");
    assert!(lines[3].ends_with(",,\u{1}"), "{out}");
}

#[test]
fn words_for_absent_values() {
    let with = |na: &[&str], text: &str| -> (String, Summary) {
        let na_words = na.iter().map(|word| (*word).to_owned()).collect();
        score(Job { inputs: vec![source("in.csv", text)], na_words, ..Job::default() }).unwrap()
    };
    let absent = with(&[], "x1,c3\n,\n");
    assert_eq!(with(&["NA", "-"], "x1,c3\nNA,-\n"), absent);
    assert_eq!(with(&[], "x1,c3\nNA,-\n").1.converted.len(), 2);
}

#[test]
fn without_a_header_the_model_has_the_order() {
    let text = input("gbm_bernoulli");
    let (_, rows) = text.split_once('\n').unwrap();
    let job = Job { inputs: vec![source("in.csv", rows)], header: false, ..Job::default() };
    assert_eq!(score(job).unwrap().0, score_csv(&text).unwrap().0);
    let job = Job { inputs: vec![source("in.csv", "")], header: false, ..Job::default() };
    assert_eq!(score(job).unwrap(), ("predict,no,yes\n".to_owned(), Summary::default()));
}

#[test]
fn a_blank_line_is_a_row_only_where_there_is_one_column() {
    assert_eq!(score_csv("x1\n1\n\n2\n").unwrap().1.rows, 3);
    assert_eq!(score_csv("x1,c3\n1,\n\n2,\n").unwrap().1.rows, 2);
    assert_eq!(score_csv("x1,c3\n").unwrap().1.rows, 0);
}

#[test]
fn a_prefix_makes_room_for_kept_columns() {
    let inputs = vec![source("in.csv", "x1,predict\n1,old\n")];
    let keep = vec!["predict".to_owned()];
    let (out, _) =
        score(Job { inputs, keep, prefix: "new_".to_owned(), ..Job::default() }).unwrap();
    assert!(out.starts_with("new_predict,new_no,new_yes,predict\n"), "{out}");
    assert!(out.ends_with(",old\n"), "{out}");
}

#[test]
fn columns_that_nobody_wants_may_be_called_the_same() {
    let (out, summary) = score_csv("x1,spare,spare\n1,2,3\n").unwrap();
    assert_eq!(
        (out, &summary.ignored[..]),
        (score_csv("x1\n1\n").unwrap().0, &["spare".to_owned()][..])
    );
}

#[test]
fn more_threads_than_there_can_be() {
    let job = |threads| Job {
        inputs: vec![source("in.csv", "x1\n1\n2\n")],
        threads: NonZeroUsize::new(threads).unwrap(),
        ..Job::default()
    };
    assert_eq!(score(job(usize::MAX)).unwrap().0, score(job(1)).unwrap().0);
}
