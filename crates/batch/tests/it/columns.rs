//! Parquet and Arrow: the same rows as in CSV, whatever the types of the columns.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow_array::types::Int8Type;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    Float32Array, Float64Array, Int32Array, Int64Array, LargeStringArray, ListArray, NullArray,
    RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use stemson_batch::{BatchError, Format, Job, Summary};
use stemson_mojo::{Kind, Model, Options};

use crate::{gbm, input, model, score, source};

pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true)))
        .unwrap()
}

/// A Parquet file with small pages and row groups.
fn parquet(batch: &RecordBatch, compression: Compression, version: WriterVersion) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_writer_version(version)
        .set_max_row_group_row_count(Some(50))
        .set_data_page_row_count_limit(20)
        .set_write_batch_size(10)
        .build();
    let mut out = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    out
}

pub(crate) fn plain_parquet(batch: &RecordBatch) -> Vec<u8> {
    parquet(batch, Compression::UNCOMPRESSED, WriterVersion::PARQUET_1_0)
}

/// A file, or else a stream; in batches of seven rows.
pub(crate) fn arrow(batch: &RecordBatch, is_file: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let parts = (0..batch.num_rows()).step_by(7);
    let parts = parts.map(|at| batch.slice(at, 7.min(batch.num_rows() - at)));
    if is_file {
        let mut writer = arrow_ipc::writer::FileWriter::try_new(&mut out, &batch.schema()).unwrap();
        parts.for_each(|part| writer.write(&part).unwrap());
        writer.finish().unwrap();
    } else {
        let mut writer =
            arrow_ipc::writer::StreamWriter::try_new(&mut out, &batch.schema()).unwrap();
        parts.for_each(|part| writer.write(&part).unwrap());
        writer.finish().unwrap();
    }
    out
}

fn answers(model: &Arc<Model>, name: &str, bytes: Vec<u8>, strict: bool) -> (String, Summary) {
    let options = Options { strict, ..Options::default() };
    let inputs = vec![source(name, bytes)];
    let job = Job { inputs, options, output: Format::Jsonl, ..Job::default() };
    let mut out = Vec::new();
    let mut summary = stemson_batch::run(model, job, &mut out, |_| {}).unwrap();
    // They count in other units.
    for refusal in &mut summary.refusals {
        (refusal.line, refusal.source_name) = (0, String::new());
    }
    summary.missing.iter_mut().for_each(|missing| missing.source_name.clear());
    (String::from_utf8(out).unwrap(), summary)
}

/// The rows of a case that have no line ends in their cells, as text columns.
fn texts(case: &str) -> (String, RecordBatch) {
    let text = input(case);
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains('"')).collect();
    let rows: Vec<Vec<&str>> = lines.iter().map(|line| line.split(',').collect()).collect();
    let column = |at: usize| -> ArrayRef {
        let cells = rows[1..].iter().map(|row| Some(row[at]).filter(|cell| !cell.is_empty()));
        Arc::new(cells.collect::<StringArray>())
    };
    let columns = rows[0].iter().enumerate().map(|(at, name)| (*name, column(at)));
    let batch = batch(columns.collect());
    (lines.join("\n") + "\n", batch)
}

/// The numeric columns as doubles where all of their texts are plain numbers.
fn typed(model: &Model, texts: &RecordBatch) -> RecordBatch {
    let schema = texts.schema();
    let columns = schema.fields().iter().zip(texts.columns()).map(|(field, column)| {
        let of_model = model.schema().index_of(field.name());
        let kind = of_model.map(|index| model.schema().columns()[index].kind);
        let text: &StringArray = column.as_any().downcast_ref().unwrap();
        let numbers: Vec<Option<f64>> =
            text.iter().map(|text| text.and_then(stemson_mojo::parse_double)).collect();
        let all = numbers.iter().filter(|number| number.is_some()).count()
            == text.len() - text.null_count();
        let array: ArrayRef = match kind {
            Some(Kind::Numeric) if all => Arc::new(Float64Array::from(numbers)),
            Some(Kind::Categorical) => Arc::new(text.iter().collect::<DictionaryArray<Int8Type>>()),
            _ => Arc::clone(column),
        };
        (field.name().as_str(), array)
    });
    batch(columns.collect())
}

#[test]
fn the_same_rows_have_the_same_answers_in_every_format() {
    for case in [
        "gbm_bernoulli",
        "gbm_bernoulli_offset",
        "gbm_enc_onehotexplicit",
        "gbm_enc_binary",
        "drf_enc_eigen",
        "glm_binomial_offset",
    ] {
        let (csv, texts) = texts(case);
        let model = model(case);
        for strict in [false, true] {
            let expected = answers(&model, "in.csv", csv.clone().into_bytes(), strict);
            assert!(expected.1.rows > 20, "{case}");
            for batch in [&texts, &typed(&model, &texts)] {
                for (compression, version) in [
                    (Compression::UNCOMPRESSED, WriterVersion::PARQUET_1_0),
                    (Compression::SNAPPY, WriterVersion::PARQUET_2_0),
                ] {
                    let bytes = parquet(batch, compression, version);
                    let found = answers(&model, "in.parquet", bytes, strict);
                    assert!(found == expected, "{case} {compression:?} {version:?}");
                }
                for is_file in [true, false] {
                    let found = answers(&model, "in.arrow", arrow(batch, is_file), strict);
                    assert!(found == expected, "{case} {is_file}");
                }
            }
        }
    }
}

#[test]
fn every_compression_of_parquet() {
    let (csv, texts) = texts("gbm_bernoulli");
    let expected = answers(&gbm(), "in.csv", csv.into_bytes(), false);
    for compression in [
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4_RAW,
        Compression::LZ4,
    ] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            let bytes = parquet(&texts, compression, version);
            let found = answers(&gbm(), "in.parquet", bytes, false);
            assert!(found == expected, "{compression:?} {version:?}");
        }
    }
}

/// What nothing in Rust alone writes: 120 rows by polars 1 (pages of version 1), pyarrow (version 2, row
/// groups of 50; a stream of batches of 50, lz4, with a dictionary) and polars 2 (a file whose schema
/// stands in the footer alone). Row i has (i % 17) / 8, none if i % 11 is 0, and level i % 4, none if
/// i % 13 is 0.
const PACKED: [(&str, &[u8]); 4] = [
    ("in.parquet", include_bytes!("data/polars.parquet")),
    ("in.parquet", include_bytes!("data/pyarrow-v2.parquet")),
    ("in.arrow", include_bytes!("data/polars-zstd.arrow")),
    ("in.arrows", include_bytes!("data/pyarrow-lz4.arrows")),
];

#[test]
fn packed_by_other_writers() {
    let row = |i: u32| {
        let number = if i.is_multiple_of(11) {
            String::new()
        } else {
            (f64::from(i % 17) / 8.0).to_string()
        };
        let level = ["red", "green", "blue", "purple"][(i % 4) as usize];
        format!("{number},{}\n", if i.is_multiple_of(13) { "" } else { level })
    };
    let csv = "x1,c3\n".to_owned() + &(0..120).map(row).collect::<String>();
    let expected = answers(&gbm(), "in.csv", csv.into_bytes(), false);
    for (name, bytes) in PACKED {
        assert_eq!(answers(&gbm(), name, bytes.to_vec(), false), expected, "{name}");
    }
}

/// One column for `gbm_bernoulli` and the text that stands for it in CSV.
fn check(name: &str, array: ArrayRef, cells: &[&str]) {
    let rows: Vec<String> = cells.iter().map(|cell| format!("{cell},1\n")).collect();
    let csv = format!("{name},id\n{}", rows.concat());
    let expected = answers(&gbm(), "in.csv", csv.into_bytes(), false);
    let shown = array.data_type().to_string();
    let ones: ArrayRef = Arc::new(Int32Array::from(vec![1; cells.len()]));
    let batch = batch(vec![(name, array), ("id", ones)]);
    for (file, bytes) in [("in.parquet", plain_parquet(&batch)), ("in.arrow", arrow(&batch, true))]
    {
        let found = answers(&gbm(), file, bytes, false);
        assert_eq!(found, expected, "{shown} in {file}");
    }
}

#[test]
fn every_type_has_its_meaning() {
    check(
        "x1",
        Arc::new(Float64Array::from(vec![Some(1.5), None, Some(f64::NAN)])),
        &["1.5", "", ""],
    );
    check("x1", Arc::new(Float32Array::from(vec![0.1_f32])), &["0.10000000149011612"]);
    check("x1", Arc::new(Int32Array::from(vec![-3, 4])), &["-3", "4"]);
    check("x1", Arc::new(Int64Array::from(vec![i64::MAX])), &["9223372036854775807"]);
    let decimals = Decimal128Array::from(vec![-150, 7]).with_precision_and_scale(10, 2).unwrap();
    check("x1", Arc::new(decimals), &["-1.50", "0.07"]);
    check("x1", Arc::new(StringArray::from(vec!["1d", "oops"])), &["1d", "oops"]);
    check("x1", Arc::new(BooleanArray::from(vec![true])), &["true"]);
    check("x1", Arc::new(NullArray::new(2)), &["", ""]);
    check("x1", Arc::new(Date32Array::from(vec![1])), &["86400000"]);
    check("x1", Arc::new(TimestampMicrosecondArray::from(vec![1_500])), &["1.5"]);
    for array in [
        Arc::new(StringArray::from(vec![Some("red"), None, Some("purple")])) as ArrayRef,
        Arc::new(LargeStringArray::from(vec![Some("red"), None, Some("purple")])),
        Arc::new(StringViewArray::from(vec![Some("red"), None, Some("purple")])),
        Arc::new(
            vec![Some("red"), None, Some("purple")]
                .into_iter()
                .collect::<DictionaryArray<Int8Type>>(),
        ),
    ] {
        check("c3", array, &["red", "", "purple"]);
    }
    let nothing = || vec![None::<&str>, None].into_iter().collect::<DictionaryArray<Int8Type>>();
    check("c3", Arc::new(nothing()), &["", ""]);
    check("x1", Arc::new(nothing()), &["", ""]);
}

#[test]
fn a_word_for_absent_is_one_as_a_number_too() {
    let of = |array: ArrayRef| arrow(&batch(vec![("x1", array)]), true);
    let job = |name: &str, bytes: Vec<u8>| Job {
        inputs: vec![source(name, bytes)],
        na_words: ["-999", "0.1", "true", "none"].map(str::to_owned).to_vec(),
        output: Format::Jsonl,
        ..Job::default()
    };
    let expected = score(job("in.csv", b"x1\n-999\n0.1\n5\n".to_vec())).unwrap().0;
    let plain = score(job("in.csv", b"x1\n\n\n5\n".to_vec())).unwrap().0;
    assert_eq!(expected, plain);
    let jsonl = b"{\"x1\":-999}\n{\"x1\":0.1}\n{\"x1\":5}\n".to_vec();
    let found = [
        ("in.jsonl", jsonl),
        ("in.arrow", of(Arc::new(Float64Array::from(vec![-999.0, 0.1, 5.0])))),
        ("in.arrow", of(Arc::new(Float32Array::from(vec![-999.0, 0.1, 5.0])))),
        ("in.arrow", of(Arc::new(StringArray::from(vec!["-999", "0.1", "5"])))),
        (
            "in.parquet",
            plain_parquet(&batch(vec![(
                "x1",
                Arc::new(Float64Array::from(vec![-999.0, 0.1, 5.0])) as ArrayRef,
            )])),
        ),
    ];
    for (name, bytes) in found {
        assert_eq!(score(job(name, bytes)).unwrap().0, expected, "{name}");
    }
    let flags = score(job("in.jsonl", b"{\"x1\":true}\n".to_vec())).unwrap();
    assert!(flags.1.converted.is_empty(), "{:?}", flags.1);
}

#[test]
fn numbers_of_the_other_byte_order_are_refused() {
    use arrow_ipc::{Endianness, Field, Message, MessageArgs, MessageHeader, Schema, SchemaArgs};
    let mut builder = flatbuffers::FlatBufferBuilder::new();
    let fields = builder.create_vector::<flatbuffers::WIPOffset<Field<'_>>>(&[]);
    let arguments =
        SchemaArgs { endianness: Endianness::Big, fields: Some(fields), ..SchemaArgs::default() };
    let schema = Schema::create(&mut builder, &arguments);
    let arguments = MessageArgs {
        header_type: MessageHeader::Schema,
        header: Some(schema.as_union_value()),
        ..MessageArgs::default()
    };
    let message = Message::create(&mut builder, &arguments);
    builder.finish(message, None);
    let message = builder.finished_data();
    let mut bytes = vec![0xFF; 4];
    bytes.extend((message.len() as u32).to_le_bytes());
    bytes.extend(message);
    let text = refused("a.arrows", bytes).to_string();
    assert!(text.contains("big-endian"), "{text}");
}

fn refused(name: &str, bytes: Vec<u8>) -> BatchError {
    score(Job { inputs: vec![source(name, bytes)], ..Job::default() }).unwrap_err()
}

#[test]
fn what_cannot_be_read_is_named_and_what_is_not_used_is_passed_over() {
    let lists = || -> ArrayRef {
        let lists = vec![Some(vec![Some(1), Some(2)]), None];
        Arc::new(ListArray::from_iter_primitive::<arrow_array::types::Int32Type, _, _>(lists))
    };
    let bytes = || -> ArrayRef { Arc::new(BinaryArray::from_vec(vec![b"a", b"b"])) };
    let dates = || -> ArrayRef { Arc::new(Date32Array::from(vec![1, 2])) };
    for (name, array, words) in [
        ("x1", lists(), "select its parts"),
        ("x1", bytes(), "cast it to a string"),
        ("c3", dates(), "cast it to the text of its levels"),
    ] {
        let batch = batch(vec![(name, array)]);
        for (file, bytes) in
            [("a.parquet", plain_parquet(&batch)), ("a.arrow", arrow(&batch, false))]
        {
            let error = refused(file, bytes);
            assert_eq!(error.kind(), "column_type");
            let text = error.to_string();
            assert!(text.starts_with(&format!("{file}, column `{name}`: ")), "{text}");
            assert!(text.contains(words), "{text}");
        }
    }
    let ones: ArrayRef = Arc::new(Int32Array::from(vec![1, 1]));
    let unused = batch(vec![("lists", lists()), ("x1", ones), ("bytes", bytes())]);
    for (file, bytes) in [("a.parquet", plain_parquet(&unused)), ("a.arrow", arrow(&unused, true))]
    {
        let (out, summary) =
            score(Job { inputs: vec![source(file, bytes)], ..Job::default() }).unwrap();
        assert_eq!(out.lines().count(), 3);
        assert_eq!(summary.ignored, ["bytes", "lists"], "{file}");
    }
}

#[test]
fn damaged_files_are_errors_with_a_name() {
    let good = batch(vec![("x1", Arc::new(Float64Array::from(vec![1.5; 100])) as ArrayRef)]);
    let ours = [
        ("a.parquet", parquet(&good, Compression::SNAPPY, WriterVersion::PARQUET_2_0)),
        ("a.arrow", arrow(&good, true)),
        ("a.arrows", arrow(&good, false)),
    ];
    for (name, whole) in ours.into_iter().chain(PACKED.map(|(name, it)| (name, it.to_vec()))) {
        for len in [0, 1, 4, 7, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
            if name.ends_with(".arrows") && len + 9 >= whole.len() {
                // Some writers leave out the end.
                continue;
            }
            let error = refused(name, whole[..len].to_vec());
            assert_eq!(error.kind(), "columnar", "{name} cut to {len}: {error}");
            assert!(
                error.to_string().starts_with(&format!("{name} cannot be read as ")),
                "{error}"
            );
        }
        // Whatever a byte is changed to, there is an answer or an error.
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            drop(score(Job { inputs: vec![source(name, bytes)], ..Job::default() }));
        }
    }
}

#[test]
fn kept_columns_strict_rows_and_words_for_absent_values() {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![9_007_199_254_740_993, 2, 3]));
    let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(0), None, Some(19_723)]));
    let x1: ArrayRef = Arc::new(StringArray::from(vec!["1", "oops", "NA"]));
    let c3: ArrayRef = Arc::new(StringArray::from(vec!["red", "red", "-"]));
    let batch = batch(vec![("id", ids), ("day", days), ("x1", x1), ("c3", c3)]);
    for (file, bytes) in [("a.parquet", plain_parquet(&batch)), ("a.arrow", arrow(&batch, true))] {
        let (out, summary) = score(Job {
            inputs: vec![source(file, bytes)],
            keep: vec!["id".to_owned(), "day".to_owned()],
            na_words: vec!["NA".to_owned(), "-".to_owned()],
            options: Options { strict: true, ..Options::default() },
            ..Job::default()
        })
        .unwrap();
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines[1].ends_with(",9007199254740993,1970-01-01,"), "{out}");
        assert!(lines[2].starts_with(",,,2,,invalid_number: "), "{out}");
        assert!(lines[3].ends_with(",3,2024-01-01,"), "{out}");
        assert_eq!((summary.rows, summary.refused), (3, 1));
        assert_eq!((summary.refusals[0].row, summary.refusals[0].line), (1, 2));
    }
}

#[test]
fn threads_and_packing_change_nothing() {
    let numbers = (0..10_000).map(|i| f64::from(i % 97) / 8.0).collect::<Float64Array>();
    let batch = batch(vec![("x1", Arc::new(numbers) as ArrayRef)]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let bytes = plain_parquet(&batch);
    packed.write_all(&bytes).unwrap();
    let packed = packed.finish().unwrap();
    let with = |name: &str, bytes: &[u8], threads| {
        let inputs = vec![source(name, bytes), source(name, bytes)];
        let threads = NonZeroUsize::new(threads).unwrap();
        score(Job { inputs, threads, output: Format::Jsonl, ..Job::default() }).unwrap()
    };
    let (out, summary) = with("a.parquet", &bytes, 1);
    assert_eq!(summary.rows, 20_000);
    for threads in [1, 3] {
        assert!(with("a.parquet.gz", &packed, threads).0 == out, "{threads} threads");
    }
}
