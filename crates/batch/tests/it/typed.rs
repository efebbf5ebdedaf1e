//! Parquet and Arrow out: the same values as in CSV, with types.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int16Type, Int32Type};
use arrow_array::{
    Array, ArrayRef, DictionaryArray, Float64Array, Int64Array, LargeStringArray, RecordBatch,
    StringArray, StringViewArray, TimestampMicrosecondArray,
};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{DataType, Schema, SchemaRef, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use stemson_batch::{BatchError, Format, Job, run};
use stemson_mojo::{LeafAssignment, Model, Options, Part, parse_double};

use crate::columns::{arrow, batch, plain_parquet};
use crate::{gbm, input, model, source};

const FORMATS: [Format; 3] = [Format::Parquet, Format::Arrow, Format::ArrowStream];

/// The rows that were written, in one batch.
fn read(format: Format, bytes: Vec<u8>) -> RecordBatch {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let file: File = file;
    let (schema, batches): (SchemaRef, Vec<RecordBatch>) = match format {
        Format::Parquet => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            (Arc::clone(reader.schema()), reader.build().unwrap().map(Result::unwrap).collect())
        }
        Format::Arrow => {
            let reader = FileReader::try_new(file, None).unwrap();
            (reader.schema(), reader.map(Result::unwrap).collect())
        }
        _ => {
            let reader = StreamReader::try_new(std::io::Cursor::new(bytes), None).unwrap();
            (reader.schema(), reader.map(Result::unwrap).collect())
        }
    };
    arrow_select::concat::concat_batches(&schema, &batches).unwrap()
}

fn scored(model: &Arc<Model>, job: Job) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::new();
    run(model, job, &mut out, |_| {}).map(|_| out)
}

/// Records of CSV with quotes where needed.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                field.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            other => field.push(other),
        }
    }
    records
}

/// Whether the value of a row is what the cell of the CSV says, bit for bit.
fn is_same(array: &dyn Array, row: usize, cell: &str) -> bool {
    if array.is_null(row) {
        return cell.is_empty();
    }
    match array.data_type() {
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            parse_double(cell).is_some_and(|cell| same(value.to_bits(), cell.to_bits(), value))
        }
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            let cell = cell.replace("Infinity", "inf").parse::<f32>();
            cell.is_ok_and(|cell| same(value.to_bits().into(), cell.to_bits().into(), value.into()))
        }
        DataType::Int32 => cell.parse() == Ok(array.as_primitive::<Int32Type>().value(row)),
        DataType::Utf8 => array.as_string::<i32>().value(row) == cell,
        DataType::Dictionary(..) => {
            let labels = array.as_dictionary::<Int32Type>();
            let place = labels.keys().value(row) as usize;
            labels.values().as_string::<i32>().value(place) == cell
        }
        other => panic!("{other}"),
    }
}

fn same(a: u64, b: u64, value: f64) -> bool {
    a == b || value.is_nan()
}

/// Everything that a model can be asked beside the answer.
fn all_of(model: &Model, strict: bool, leaves: LeafAssignment) -> Options {
    let offers = |part| model.check_offer(part).is_ok();
    let part = match leaves {
        LeafAssignment::Paths => Part::LeafPaths,
        LeafAssignment::Ids => Part::LeafIds,
    };
    Options {
        strict,
        contributions: offers(Part::Contributions),
        leaf_assignment: offers(part).then_some(leaves),
        staged: offers(Part::Staged),
        distances: offers(Part::Distances),
        ..Options::default()
    }
}

/// A case of each algorithm and category.
fn cases() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/corpora/mojo/index.csv");
    let index = std::fs::read_to_string(path).unwrap();
    let mut seen = HashSet::new();
    let words = index.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let first = words.filter(|words| seen.insert((words[1].to_owned(), words[2].to_owned())));
    first.map(|words| words[0].to_owned()).collect()
}

#[test]
fn every_category_has_the_values_of_its_csv() {
    let cases = cases();
    assert!(cases.len() > 30, "{}", cases.len());
    for case in cases {
        let model = model(&case);
        let text = input(&case);
        let first = records(text.split_inclusive('\n').next().unwrap())[0][0].clone();
        for (strict, leaves) in [(false, LeafAssignment::Paths), (true, LeafAssignment::Ids)] {
            let job = |output| Job {
                inputs: vec![source("in.csv", text.clone())],
                options: all_of(&model, strict, leaves),
                // A contribution is called as the column is.
                prefix: "it_".to_owned(),
                calibrated: model.check_offer(Part::Calibrated).is_ok(),
                keep: vec![first.clone()],
                output,
                ..Job::default()
            };
            let csv = match scored(&model, job(Format::Csv)) {
                Ok(csv) => records(&String::from_utf8(csv).unwrap()),
                Err(error) => panic!("{case}: {error}"),
            };
            for format in FORMATS {
                let found = read(format, scored(&model, job(format)).unwrap());
                let place = format!("{case} {format:?} strict={strict}");
                let names: Vec<_> =
                    found.schema().fields().iter().map(|f| f.name().clone()).collect();
                assert_eq!(names, csv[0], "{place}");
                assert_eq!(found.num_rows(), csv.len() - 1, "{place}");
                for (column, array) in found.columns().iter().enumerate() {
                    for (row, record) in csv[1..].iter().enumerate() {
                        let cell = &record[column];
                        assert!(
                            is_same(array, row, cell),
                            "{place} {row} {}: {cell}",
                            names[column]
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn columns_have_types() {
    let types = |case: &str, options: Options| -> Vec<String> {
        let job = Job {
            inputs: vec![source("in.csv", input(case))],
            options,
            output: Format::Parquet,
            ..Job::default()
        };
        let found = read(Format::Parquet, scored(&model(case), job).unwrap());
        let schema = found.schema();
        let fields = schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type()));
        fields.collect::<Vec<_>>()
    };
    let options = Options { contributions: true, strict: true, ..Options::default() };
    let found = types("gbm_bernoulli", options);
    assert_eq!(found[..3], ["predict Dictionary(Int32, Utf8)", "no Float64", "yes Float64"]);
    assert!(found.contains(&"BiasTerm Float32".to_owned()), "{found:?}");
    assert_eq!(found.last().unwrap(), "error Utf8");
    let distances = Options { distances: true, ..Options::default() };
    let found = types("kmeans_raw", distances);
    assert_eq!(found[..2], ["cluster Int32", "distance_1 Float64"]);
}

fn kept() -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(3)]));
    let times = TimestampMicrosecondArray::from(vec![1, 2, 3]).with_timezone("Europe/Vienna");
    let text = [Some("red"), None, Some("blue")];
    let texts: ArrayRef = Arc::new(LargeStringArray::from(text.to_vec()));
    let views: ArrayRef = Arc::new(StringViewArray::from(text.to_vec()));
    let levels: ArrayRef = Arc::new(text.into_iter().collect::<DictionaryArray<Int16Type>>());
    let x1: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.1), None, Some(f64::NAN)]));
    let columns = vec![("id", ids), ("time", Arc::new(times) as ArrayRef), ("x1", x1)];
    let texts = [("text", texts), ("view", views), ("c3", levels)];
    batch(columns.into_iter().chain(texts).collect())
}

#[test]
fn kept_columns_stay_as_they_are() {
    let rows = kept();
    let keep: Vec<_> = ["time", "c3", "id", "view", "x1", "text"].map(str::to_owned).into();
    let plain: ArrayRef = Arc::new(StringArray::from(vec![Some("red"), None, Some("blue")]));
    let files = [
        ("a.parquet", plain_parquet(&rows)),
        ("a.arrow", arrow(&rows, true)),
        ("a.arrows", arrow(&rows, false)),
    ];
    for (name, bytes) in files {
        for (format, threads) in FORMATS.into_iter().zip([1, 3, 2]) {
            let inputs = vec![source(name, bytes.clone()), source(name, bytes.clone())];
            let threads = NonZeroUsize::new(threads).unwrap();
            let job = Job { inputs, keep: keep.clone(), output: format, threads, ..Job::default() };
            let found = read(format, scored(&gbm(), job).unwrap());
            assert_eq!(found.num_rows(), 6);
            let column = |name: &str| found.column_by_name(name).unwrap().slice(3, 3);
            for name in ["time", "id", "x1"] {
                let expected = rows.column_by_name(name).unwrap();
                assert_eq!(column(name).data_type(), expected.data_type());
                // NaN is itself here.
                let text = |array: &ArrayRef| format!("{array:?}");
                assert_eq!(text(&column(name)), text(expected), "{name} of {format:?}");
            }
            for name in ["c3", "view", "text"] {
                assert_eq!(&column(name), &plain, "{name} of {format:?}");
            }
        }
    }
}

#[test]
fn inputs_of_several_types_are_told_apart_by_name() {
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let number = plain_parquet(&batch(vec![("id", number)]));
    let text: ArrayRef = Arc::new(StringViewArray::from(vec!["1"]));
    let text = arrow(&batch(vec![("id", text)]), false);
    let score = |inputs: [(&str, &[u8]); 2]| {
        let inputs = inputs.map(|(name, bytes)| source(name, bytes)).into();
        let output = Format::Parquet;
        scored(&gbm(), Job { inputs, keep: vec!["id".to_owned()], output, ..Job::default() })
    };
    let found = read(Format::Parquet, score([("a.arrows", &text), ("b.csv", b"id\n2\n")]).unwrap());
    let expected: ArrayRef = Arc::new(StringArray::from(vec!["1", "2"]));
    assert_eq!(found.column_by_name("id").unwrap(), &expected);
    let error = score([("a.csv", b"id\n1\n"), ("b.parquet", &number)]).unwrap_err();
    assert_eq!(error.kind(), "kept_type");
    assert_eq!(
        error.to_string(),
        "b.parquet: the kept column `id` is Int64, expected Utf8 as in the inputs before"
    );
}

/// Whoever reads many outputs together needs the same columns in the empty ones.
#[test]
fn without_rows_there_are_columns_all_the_same() {
    let none = kept().slice(0, 0);
    let keep = vec!["id".to_owned(), "c3".to_owned(), "time".to_owned()];
    let zone = DataType::Timestamp(TimeUnit::Microsecond, Some("Europe/Vienna".into()));
    for (name, bytes, expected) in [
        ("a.parquet", plain_parquet(&none), [DataType::Int64, DataType::Utf8, zone]),
        ("a.csv", b"id,c3,time\n".to_vec(), [DataType::Utf8, DataType::Utf8, DataType::Utf8]),
    ] {
        for output in FORMATS {
            let inputs = vec![source(name, bytes.clone())];
            let job = Job { inputs, keep: keep.clone(), output, ..Job::default() };
            let found = read(output, scored(&gbm(), job).unwrap());
            let schema: SchemaRef = found.schema();
            let schema: &Schema = &schema;
            assert_eq!(schema.fields().len(), 6);
            for (name, expected) in keep.iter().zip(&expected) {
                assert_eq!(schema.field_with_name(name).unwrap().data_type(), expected);
            }
        }
    }
}

/// Blocks reach the encoder in their order: not even a byte differs.
#[test]
fn threads_change_nothing() {
    let text = "x1,c3\n".to_owned() + &"1.5,red\n,blue\n".repeat(6_000);
    for output in FORMATS {
        let with = |threads| {
            let inputs = vec![source("a.csv", text.as_bytes())];
            let threads = NonZeroUsize::new(threads).unwrap();
            scored(&gbm(), Job { inputs, threads, output, ..Job::default() }).unwrap()
        };
        assert!(with(1) == with(3), "{output:?}");
    }
}
