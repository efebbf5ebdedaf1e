//! The prediction log: what was asked and answered, on disk and to others.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, RowAccessor as _};
use serde_json::Value;
use stemson_mojo::Digest;
use stemson_server::{Config, PredictionLogConfig, PredictionLogFormat};
use stemson_serving::{PredictionRecord, PredictionSink};

use crate::wire::{Serving, artifact, config};

const MODELS: &[(&str, &str)] = &[("churn", "gbm_bernoulli")];
const ROW: &str = r#"{"instances":[{"x1":1.5,"c3":"red","other":1},{"x1":null}]}"#;
const TENSOR: &str = r#"{"inputs":[{"name":"x1","shape":[1],"datatype":"FP64","data":[2]}]}"#;

fn logging(dir: &Path, format: PredictionLogFormat) -> Config {
    let prediction_log = PredictionLogConfig {
        dir: Some(dir.to_owned()),
        format,
        redact: vec!["c3".to_owned()],
        ..PredictionLogConfig::default()
    };
    Config { prediction_log, ..config() }
}

/// Asks for three rows, and ends the server.
fn ask(config: Config) {
    let serving = Serving::start(config, MODELS);
    let mut http = serving.http();
    let id = [("x-request-id", "first")];
    http.send("POST", "/v1/models/churn:predict", &id, ROW.as_bytes()).ok();
    http.post("/v2/models/churn/infer", TENSOR).ok();
    http.post("/v1/models/churn:predict", "nope").refused(400, "malformed_json");
    serving.shutdown.begin();
    serving.join().expect("it ends well");
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("the folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn each_row_is_a_line_with_what_was_asked_and_answered() {
    let dir = tempfile::tempdir().expect("a folder");
    ask(logging(dir.path(), PredictionLogFormat::Ndjson));
    let files = files(dir.path());
    let text = fs::read_to_string(&files[0]).expect("a file");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((files.len(), lines.len()), (1, 3), "{text}");
    let first = &lines[0];
    assert_eq!(first["request_id"], "first");
    assert_eq!(first["model"], "churn");
    assert_eq!(first["revision"], Digest::of(&artifact("gbm_bernoulli")).to_string());
    assert_eq!(first["protocol"], "v1");
    assert_eq!(first["row"], serde_json::json!({"x1": 1.5, "c3": "***"}));
    assert!(first["out"]["p"].is_object(), "{first}");
    assert!(first["cost_ns"].as_u64().is_some() && first["cached"] == false, "{first}");
    let ts = first["ts"].as_str().expect("a time");
    assert!(ts.ends_with('Z') && ts.len() == "2026-11-26T10:00:00.000Z".len(), "{ts}");
    assert_eq!(lines[1]["row"], serde_json::json!({}), "null is absent");
    assert_eq!(
        (&lines[2]["protocol"], &lines[2]["row"]),
        (&"oip".into(), &serde_json::json!({"x1": 2.0}))
    );
}

#[test]
fn parquet_holds_the_same_columns_and_appears_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    ask(logging(dir.path(), PredictionLogFormat::Parquet));
    let files = files(dir.path());
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].to_string_lossy().ends_with(".parquet"), "{files:?}");
    let reader = SerializedFileReader::new(fs::File::open(&files[0]).expect("a file"));
    let reader = reader.expect("Parquet");
    let rows: Vec<_> =
        reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
    let first = &rows[0];
    assert_eq!((rows.len(), first.get_string(1).expect("an id").as_str()), (3, "first"));
    let row = first.get_column_iter().nth(5).expect("a column").1;
    assert_eq!(row, &Field::Str(r#"{"x1":1.5,"c3":"***"}"#.to_owned()));
    let names: Vec<&str> = rows[0].get_column_iter().map(|(name, _)| name.as_str()).collect();
    let expected =
        ["ts", "request_id", "model", "revision", "protocol", "row", "out", "cost_ns", "cached"];
    assert_eq!(names, expected);
}

#[test]
fn a_file_that_is_full_is_closed_and_the_oldest_go() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut config = logging(dir.path(), PredictionLogFormat::Ndjson);
    config.prediction_log.rotate_bytes = 1;
    config.prediction_log.keep_files = 2;
    let serving = Serving::start(config, MODELS);
    let mut http = serving.http();
    for _ in 0..5 {
        http.post("/v1/models/churn:predict", ROW).ok();
    }
    serving.shutdown.begin();
    serving.join().expect("it ends well");
    assert_eq!(files(dir.path()).len(), 2);
}

#[test]
fn what_there_is_no_room_for_is_dropped_and_counted() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut config = logging(dir.path(), PredictionLogFormat::Ndjson);
    config.prediction_log.queue_rows_max = 1;
    let serving = Serving::start(config, MODELS);
    let mut http = serving.http();
    http.post("/v1/models/churn:predict", ROW).ok();
    let metrics = http.get("/metrics").body;
    assert!(
        metrics.contains("stemson_prediction_log_rows_total{outcome=\"dropped\"} 2"),
        "{metrics}"
    );
}

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<PredictionRecord>>);

impl PredictionSink for Heard {
    fn offer(&self, records: Vec<PredictionRecord>) {
        self.0.lock().expect("no panic").extend(records);
    }
}

#[test]
fn others_hear_of_predictions_too() {
    let heard = Arc::new(Heard::default());
    let sink = Arc::clone(&heard) as Arc<dyn PredictionSink>;
    ask(Config { prediction_sinks: vec![sink], ..config() });
    let heard = heard.0.lock().expect("no panic");
    assert_eq!(heard.len(), 3);
    assert_eq!(heard[0].row, br#"{"x1":1.5,"c3":"red"}"#);
}

#[test]
fn what_is_redacted_is_not_in_the_answer_either() {
    let heard = Arc::new(Heard::default());
    let sink = Arc::clone(&heard) as Arc<dyn PredictionSink>;
    let models = &[("anomaly", "dl_autoencoder")];
    let mut config = Config { prediction_sinks: vec![sink], ..config() };
    let serving = Serving::start(config.clone(), models);
    let columns = serving.http().get("/v2/models/anomaly").ok()["inputs"].clone();
    drop(serving);
    let redacted = columns[0]["name"].as_str().expect("a name").to_owned();
    config.prediction_log.redact = vec![redacted];
    let serving = Serving::start(config, models);
    let mut http = serving.http();
    http.post("/v1/models/anomaly:predict", r#"{"instances":[{}]}"#).ok();
    let heard = heard.0.lock().expect("no panic");
    let out: Value = serde_json::from_slice(&heard[0].out).expect("JSON");
    assert_eq!((&out["original"], &out["reconstructed"]), (&"***".into(), &"***".into()), "{out}");
    assert_ne!(out["mse"], "***", "{out}");
}
