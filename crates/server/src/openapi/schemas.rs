//! What the routes take and answer, by name.

use serde_json::{Map, Value, json};

use super::reference;
use crate::oip;

/// All schemas that do not depend on a model.
pub(super) fn all() -> Map<String, Value> {
    let parts = [server(), rows(), tables(), tensors(), metadata(), extensions(), settings()];
    let mut all = Map::new();
    for part in parts.into_iter().chain([changes(), states()]) {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    all
}

/// A number, or what JSON has no number for.
pub(super) fn number() -> Value {
    json!({ "anyOf": [{ "type": "number" }, { "enum": ["NaN", "Infinity", "-Infinity"] }] })
}

/// A number of another tensor or table, which may also be missing.
fn value() -> Value {
    json!({ "type": ["number", "string", "boolean", "null"] })
}

/// `base` with one more member.
fn with(mut base: Value, name: &str, value: Value) -> Value {
    base[name] = value;
    base
}

/// An object that has these and may have more.
pub(super) fn object(required: &[&str], properties: Value) -> Value {
    with(json!({ "type": "object", "required": required }), "properties", properties)
}

/// An object that has nothing but these.
fn closed(properties: Value) -> Value {
    let base = json!({ "type": "object", "additionalProperties": false });
    with(base, "properties", properties)
}

pub(super) fn list(items: Value) -> Value {
    with(json!({ "type": "array" }), "items", items)
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn whole() -> Value {
    json!({ "type": "integer" })
}

fn flag() -> Value {
    json!({ "type": ["boolean", "null"] })
}

fn server() -> Value {
    json!({
        "Error": {
            "type": "object",
            "required": ["error", "code", "request_id"],
            "properties": {
                "error": { "type": "string", "description": "What, where, and how to mend it" },
                "code": { "type": "string", "description": "A word that scripts may rely on" },
                "request_id": text(),
                "row": { "type": "integer", "description": "The row that is refused" },
                "column": text(),
            },
        },
        "Nothing": { "type": "object", "maxProperties": 0 },
        "Description": object(&["openapi", "info", "paths"], json!({})),
        "Alive": object(&["status"], json!({ "status": { "const": "alive" } })),
        "Live": object(&["live"], json!({ "live": { "const": true } })),
        "Ready": object(&["ready"], json!({ "ready": { "type": "boolean" } })),
        "Digest": { "type": "string", "pattern": "^[0-9a-f]{64}$",
            "description": "SHA-256 of the artifact" },
        "Datatype": { "enum": oip::Datatype::all() },
        "LogLevel": {
            "type": "object", "additionalProperties": false, "required": ["level"],
            "properties": { "level": { "type": "string",
                "pattern": "^([a-z_:]+=)?(off|error|warn|info|debug|trace)(,[a-z_:]+=(off|error|warn|info|debug|trace))*$",
                "examples": ["info"] } },
        },
    })
}

/// The options of a row API, in a body beside its rows.
pub(super) fn options() -> Value {
    json!({
        "strict": { "type": ["boolean", "null"],
            "description": "Refuse unknown levels and texts that are no number" },
        "contributions": flag(),
        "leaf_assignment": { "enum": ["paths", "ids", null] },
        "staged": flag(),
        "distances": flag(),
        "calibrated": flag(),
        "reconstruct": flag(),
        "row_index": { "type": ["integer", "null"], "minimum": 0, "maximum": u64::MAX },
    })
}

fn rows() -> Value {
    let mut request = options();
    request["instances"] = list(json!({ "oneOf": [{ "type": "object" }, reference("Cells")] }));
    let answer = |required: &[&str]| {
        object(
            required,
            json!({
                "predictions": list(json!({ "type": "object",
                    "description": "The prediction, or `error` for a row that is refused" })),
                "explanations": list(json!({ "type": ["object", "null"] })),
                "model": text(),
                "revision": reference("Digest"),
            }),
        )
    };
    json!({
        "Cells": { "type": "array", "items": value(), "description": "In the model's order" },
        "RowRequest": object(&["instances"], request),
        "RowAnswer": answer(&["predictions", "model", "revision"]),
        "ExplainedRowAnswer": answer(&["predictions", "explanations", "model", "revision"]),
        "RefusedRow": object(&["error"], json!({ "error": object(
            &["kind", "column", "message"],
            json!({ "kind": { "enum": ["unknown_level", "invalid_number", "unknown_type", "model"] },
                "column": { "type": ["string", "null"] }, "message": text() })) })),
        "ModelNames": object(&["models"], json!({ "models": list(text()) })),
        "ModelState": object(&["name", "ready", "revision", "number"], json!({
            "name": text(), "ready": { "type": "boolean" },
            "revision": reference("Digest"), "number": whole() })),
    })
}

/// The tables of `MLflow` and `SageMaker`.
fn tables() -> Value {
    let records = list(json!({ "oneOf": [{ "type": "object" }, reference("Cells")] }));
    let tables = ["dataframe_split", "dataframe_records", "instances", "inputs"];
    let one_of: Vec<Value> = tables.iter().map(|table| json!({ "required": [table] })).collect();
    let columns = json!({ "type": "object", "description": "A list of values for each column" });
    json!({
        "Invocation": { "type": "object", "oneOf": one_of, "properties": {
            "dataframe_split": object(&["columns", "data"],
                json!({ "columns": list(text()), "data": list(reference("Cells")) })),
            "dataframe_records": records,
            "instances": records,
            "inputs": { "oneOf": [records, columns] },
            "params": { "type": ["object", "null"], "properties": options() } } },
        "Predictions": object(&["predictions"], json!({ "predictions": list(json!({
            "type": "object", "additionalProperties": value(),
            "description": "By the columns of H2O's tables; a refused row has `error`" })) })),
    })
}

fn tensors() -> Value {
    let data = json!({ "type": "array", "items": { "anyOf": [value(), reference("TensorData")] },
        "description": "Flat or nested, row-major; null is missing" });
    // What a request leaves open may stand there as null: clients that are made from a schema do so.
    let or_null = |kind: &str| json!([kind, "null"]);
    let tensor = |required: &[&str], parameters: Value| {
        object(
            required,
            json!({
                "name": text(),
                "shape": { "type": "array", "maxItems": 8,
                    "items": { "type": "integer", "minimum": 0, "maximum": u64::MAX } },
                "datatype": reference("Datatype"),
                "parameters": { "type": parameters,
                    "description": "`binary_data_size`: its elements stand behind the JSON" },
                "data": reference("TensorData"),
            }),
        )
    };
    let mut parameters = options();
    parameters["timeout"] = json!({ "type": ["integer", "null"], "minimum": 0, "maximum": u64::MAX,
        "description": "Microseconds" });
    parameters["priority"] = json!({ "type": ["integer", "null"], "minimum": 0,
        "maximum": u64::MAX, "description": "Has no effect" });
    parameters["binary_data_output"] = flag();
    json!({
        "TensorData": data,
        "InferRequest": object(&["inputs"], json!({
            "id": { "type": or_null("string") },
            "parameters": { "type": or_null("object"), "properties": parameters },
            "inputs": { "type": "array", "minItems": 1,
                "items": tensor(&["name", "shape", "datatype", "data"], or_null("object")) },
            "outputs": { "type": or_null("array"), "items": object(&["name"], json!({
                "name": text(),
                "parameters": { "type": or_null("object"), "properties": {
                    "binary_data": flag(),
                    "classification": { "type": ["integer", "null"], "minimum": 0,
                        "maximum": u64::MAX, "description": "So many classes, likeliest first" },
                } } })) },
        })),
        "InferAnswer": object(&["model_name", "model_version", "parameters", "outputs"], json!({
            "model_name": text(), "model_version": text(), "id": text(),
            "parameters": object(&["digest"], json!({ "digest": reference("Digest") })),
            "outputs": list(tensor(&["name", "shape", "datatype"], json!("object"))),
        })),
    })
}

fn metadata() -> Value {
    let shape = json!({ "type": "array", "items": { "type": "integer", "minimum": -1 },
        "description": "-1: as many as the request has" });
    let configured = object(
        &["name", "data_type", "dims"],
        json!({ "name": text(), "data_type": { "type": "string", "pattern": "^TYPE_" },
            "dims": shape }),
    );
    json!({
        "ServerMetadata": object(&["name", "version", "extensions"], json!({
            "name": text(), "version": text(), "extensions": list(text()) })),
        "TensorMetadata": object(&["name", "datatype", "shape"], json!({
            "name": text(), "datatype": reference("Datatype"), "shape": shape })),
        "ModelReady": object(&["name", "ready"],
            json!({ "name": text(), "ready": { "type": "boolean" } })),
        "ModelMetadata": object(&["name", "versions", "platform", "inputs", "outputs"], json!({
            "name": text(), "versions": list(text()), "platform": text(),
            "inputs": list(reference("TensorMetadata")),
            "outputs": list(reference("TensorMetadata")),
            "parameters": object(&["digest", "number"], json!({
                "digest": reference("Digest"), "number": whole(), "algorithm": text(),
                "category": text(), "outputs_on_request": text() })) })),
        "ModelConfig": object(&["name", "platform", "input", "output", "parameters"], json!({
            "name": text(), "platform": text(), "backend": text(), "max_batch_size": whole(),
            "input": list(configured.clone()), "output": list(configured),
            "parameters": { "type": "object", "additionalProperties":
                object(&["string_value"], json!({ "string_value": text() })) } })),
    })
}

fn extensions() -> Value {
    let parts = [
        "success",
        "fail",
        "queue",
        "compute_input",
        "compute_infer",
        "compute_output",
        "cache_hit",
        "cache_miss",
    ];
    let spent: Map<String, Value> =
        parts.iter().map(|part| ((*part).to_owned(), reference("Spent"))).collect();
    let computed = json!({ "batch_size": whole(), "compute_input": reference("Spent"),
        "compute_infer": reference("Spent"), "compute_output": reference("Spent") });
    json!({
        "Spent": object(&["count", "ns"], json!({ "count": whole(), "ns": whole() })),
        "Statistics": object(&["model_stats"], json!({ "model_stats": list(object(
            &["name", "version", "last_inference", "inference_count", "execution_count",
                "inference_stats", "batch_stats", "memory_usage"],
            json!({ "name": text(), "version": text(),
                "last_inference": { "type": "integer", "description": "Milliseconds since 1970" },
                "inference_count": { "type": "integer", "description": "Rows" },
                "execution_count": { "type": "integer", "description": "Requests" },
                "inference_stats": object(&parts, Value::Object(spent)),
                "response_stats": { "type": "object" },
                "batch_stats": list(object(&["batch_size"], computed)),
                "memory_usage": list(object(&["type", "id", "byte_size"],
                    json!({ "type": text(), "id": whole(), "byte_size": whole() }))) }))) })),
        "IndexRequest": object(&[], json!({ "ready": flag() })),
        "Index": list(object(&["name", "version", "state", "reason"], json!({
            "name": text(), "version": text(),
            "state": { "enum": ["READY", "UNAVAILABLE"] }, "reason": text() }))),
        "LoadRequest": object(&[], json!({ "parameters": { "type": ["object", "null"],
            "properties": { "config": { "type": "string", "contentMediaType": "application/json",
                "description": "A JSON object; not used" } },
            "patternProperties": { "^file:": { "type": "string", "contentEncoding": "base64",
                "description": "The MOJO, under any one name" } } } })),
        "UnloadRequest": { "type": "object" },
    })
}

fn settings() -> Value {
    let level = json!({ "enum": ["OFF", "TIMESTAMPS"] });
    let count = |least: i64, pattern: &str| {
        json!({ "anyOf": [{ "type": "string", "pattern": pattern },
            { "type": "integer", "minimum": least, "maximum": i64::MAX }, { "type": "null" }] })
    };
    let of_model = json!({
        "trace_level": { "anyOf": [level,
            { "type": "array", "minItems": 1, "items": level }, { "type": "null" }] },
        "trace_rate": count(1, "^[1-9][0-9]{0,17}$"),
        "trace_count": count(-1, "^(-1|0|[1-9][0-9]{0,17})$"),
        "trace_file": { "enum": ["", null] },
        "trace_mode": { "enum": ["opentelemetry", null] } });
    let frequency = count(0, "^(0|[1-9][0-9]{0,17})$");
    let of_server = with(of_model.clone(), "log_frequency", frequency);
    json!({
        "TraceSettings": object(
            &["trace_level", "trace_rate", "trace_count", "log_frequency", "trace_file",
                "trace_mode"],
            json!({ "trace_level": list(level), "trace_rate": text(),
                "trace_count": text(), "log_frequency": text(), "trace_file": { "const": "" },
                "trace_mode": { "const": "opentelemetry" } }),
        ),
        "TraceSettingsChange": closed(of_server),
        "ModelTraceSettingsChange":
            closed(with(of_model, "log_frequency", json!({ "type": "null" }))),
        "LogSettings": object(
            &["log_file", "log_info", "log_warning", "log_error", "log_verbose_level", "log_format"],
            json!({ "log_file": { "const": "" }, "log_info": { "type": "boolean" },
                "log_warning": { "type": "boolean" }, "log_error": { "type": "boolean" },
                "log_verbose_level": { "type": "integer", "minimum": 0 },
                "log_format": { "const": "ISO8601" } }),
        ),
        "LogSettingsChange": closed(json!({
            "log_file": { "enum": ["", null] },
            "log_info": flag(), "log_warning": flag(), "log_error": flag(),
            "log_verbose_level": { "type": ["integer", "null"], "minimum": 0,
                "maximum": u64::MAX },
            "log_format": { "enum": ["ISO8601", null] } })),
    })
}

/// What names an artifact on another host.
const URL: &str = r"^https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~%!$&'()*+,;=:@/?-]*)?$";

/// Where an artifact may come from: one of these members.
const SOURCES: [&str; 3] = ["path", "url", "revision"];

fn changes() -> Value {
    let version = json!({ "description": "A number, `stable`, `canary`, `shadow`, or 12 or more digits of the digest",
        "anyOf": [{ "type": "integer", "minimum": 0, "maximum": u64::MAX },
            { "type": "string", "pattern": super::VERSION }] });
    let or_null = |schema: &Value| json!({ "anyOf": [schema, { "type": "null" }] });
    let one_of = SOURCES.map(|name| {
        let others = SOURCES.iter().filter(|other| **other != name);
        let mut parts: Map<String, Value> =
            others.map(|other| ((*other).to_owned(), json!({ "type": "null" }))).collect();
        parts.insert(name.to_owned(), json!({ "type": ["string", "integer"] }));
        json!({ "required": [name], "properties": parts })
    });
    json!({
        "ArtifactRequest": { "type": "object", "additionalProperties": false,
            "description": "One of `path`, a file under [admin] artifact_roots, `url`, at a host of \
                [admin] allowed_hosts, and `revision`, one of before",
            "oneOf": one_of,
            "properties": {
                "path": { "type": ["string", "null"] },
                "url": { "anyOf": [{ "type": "string", "pattern": URL }, { "type": "null" }],
                    "description": "http only with `sha256`" },
                "revision": or_null(&version),
                "sha256": { "anyOf": [{ "type": "string", "pattern": "^[0-9a-fA-F]{64}$" },
                    { "type": "null" }] },
                "reference": { "type": ["array", "null"],
                    "description": "Rows with the answers that it must give" } } },
        "RollbackRequest": closed(json!({ "to": or_null(&version) })),
    })
}

fn states() -> Value {
    let revision = object(
        &["number", "revision"],
        json!({ "number": whole(), "revision": reference("Digest") }),
    );
    let moment = json!({ "type": "string", "pattern": "^[0-9-]{10}T[0-9:]{8}Z$" });
    let mut state = json!({
        "model": text(), "number": whole(), "revision": reference("Digest"),
        "previous": { "anyOf": [revision, { "type": "null" }] },
        "canary": object(&["number", "revision", "share"], json!({ "number": whole(),
            "revision": reference("Digest"), "share": { "type": "number" } })),
        "shadow": revision });
    let mut changed = state.clone();
    changed["outcome"] = json!({ "enum": ["deployed", "swapped", "rolled_back", "unchanged",
        "canary_started", "promoted", "aborted", "shadow_started", "shadow_stopped"] });
    changed["warnings"] = list(text());
    state["loaded_at"] = moment.clone();
    state["by"] = text();
    let arm = object(
        &["requests", "errors", "seconds"],
        json!({ "requests": whole(),
        "errors": whole(), "seconds": { "type": ["number", "null"] } }),
    );
    json!({
        "Reloaded": object(&["reloaded"], json!({ "reloaded": list(object(
            &["what", "outcome", "news", "problems", "needs_restart"],
            json!({ "what": text(), "outcome": { "enum": ["done", "partly"] }, "news": text(),
                "problems": list(text()), "needs_restart": list(text()) }))) })),
        "Changed": object(&["model", "outcome", "number", "revision", "previous", "warnings"], changed),
        "AdminModels": object(&["models"], json!({ "models": list(object(
            &["model", "number", "revision", "loaded_at", "by", "previous"], state)) })),
        "Rollout": object(&["model", "number", "revision", "share", "stable", "canary", "psi"],
            json!({ "model": text(), "number": whole(), "revision": reference("Digest"),
                "share": { "type": "number" }, "stable": arm, "canary": arm,
                "psi": { "type": ["number", "null"] } })),
        "Revisions": object(&["model", "revisions", "events"], json!({
            "model": text(),
            "revisions": list(object(&["number", "revision", "state", "loaded_at", "by"], json!({
                "number": whole(), "revision": reference("Digest"),
                "state": { "enum": ["current", "previous", "canary", "shadow", "retired"] },
                "loaded_at": moment, "by": text() }))),
            "events": list(object(&["at", "event", "from", "to", "revision", "by"], json!({
                "at": moment,
                "event": { "enum": ["deploy", "swap", "rollback", "canary", "promote", "abort",
                    "shadow", "shadow_stop"] },
                "from": { "type": ["integer", "null"] }, "to": whole(), "revision": text(),
                "by": text(), "note": text() }))) })),
    })
}
