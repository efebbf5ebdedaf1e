//! What requests and answers consist of: media types, refusals, parameters.

use serde_json::{Map, Value, json};

use super::reference;
use super::routes::{Route, Scope};

/// The body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    /// JSON of this schema.
    Needed(&'static str),
    /// JSON of this schema, or no body.
    Optional(&'static str),
    /// Rows, in JSON or CSV.
    Rows,
    /// A table, in JSON or CSV.
    Invocation,
    /// Tensors, in JSON or with their bytes behind it.
    Infer,
    /// A MOJO, or where to find one.
    Artifact,
}

/// The body of a good answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    /// JSON of this schema.
    Json(&'static str),
    /// Tensors, in JSON or with their bytes behind it.
    Tensors,
    /// A table, in JSON or CSV.
    Predictions,
    Metrics,
    Page,
    Artifact,
}

const BINARY: &str = "The header `Inference-Header-Content-Length` says how many bytes of the body are \
    JSON of the schema InferRequest; behind them stand the bytes of the tensors that say \
    `binary_data_size`, in their order, little-endian. 0: the body is the one input's elements. \
    Without the header all of it is JSON";

const CSV: &str = "A header and a line per row; `text/csv; header=absent`: the model's columns in its \
    order";

fn bytes(description: &str) -> Value {
    json!({ "schema": { "type": "string", "format": "binary", "description": description } })
}

fn text(description: &str) -> Value {
    json!({ "schema": { "type": "string", "description": description } })
}

impl Takes {
    /// The `requestBody`. `schema`: in place of the one that serves all models.
    pub(super) fn describe(self, schema: Option<&str>) -> Option<Value> {
        let json = |usual: &str| json!({ "schema": reference(schema.unwrap_or(usual)) });
        let (is_required, content) = match self {
            Self::Nothing => return None,
            Self::Needed(name) => (true, json!({ "application/json": json(name) })),
            Self::Optional(name) => (false, json!({ "application/json": json(name) })),
            Self::Rows => {
                (true, json!({ "application/json": json("RowRequest"), "text/csv": text(CSV) }))
            }
            Self::Invocation => {
                (true, json!({ "application/json": json("Invocation"), "text/csv": text(CSV) }))
            }
            Self::Infer => (
                true,
                json!({ "application/json": json("InferRequest"),
                    "application/octet-stream": bytes(BINARY) }),
            ),
            Self::Artifact => (
                true,
                json!({ "application/json": json("ArtifactRequest"),
                    "application/zip": bytes("A MOJO"),
                    "application/octet-stream": bytes("A MOJO") }),
            ),
        };
        Some(json!({ "required": is_required, "content": content }))
    }

    /// Statuses that reading it may bring.
    fn errors(self) -> &'static [u16] {
        match self {
            Self::Nothing => &[],
            Self::Needed(_) | Self::Optional(_) => &[400, 408, 413],
            Self::Rows | Self::Invocation | Self::Infer | Self::Artifact => &[400, 408, 413, 415],
        }
    }
}

impl Gives {
    /// The answer 200. `schema`: in place of the one that serves all models.
    fn describe(self, schema: Option<&str>) -> Value {
        let json = |usual: &str| json!({ "schema": reference(schema.unwrap_or(usual)) });
        let content = match self {
            Self::Json(name) => json!({ "application/json": json(name) }),
            Self::Tensors => json!({ "application/json": json("InferAnswer"),
                "application/octet-stream": bytes("Where binary outputs were asked for: JSON, so long \
                    as the header `Inference-Header-Content-Length` says, then their bytes") }),
            Self::Predictions => json!({ "application/json": json("Predictions"),
                "text/csv": text("Where `Accept` names it") }),
            Self::Metrics => json!({ "text/plain": text("Prometheus"),
                "application/openmetrics-text": text("Where `Accept` names it") }),
            Self::Page => json!({ "text/html": { "schema": { "type": "string" } } }),
            Self::Artifact => json!({ "application/zip": bytes("As it was deployed") }),
        };
        json!({ "description": "Done", "content": content, "headers": {
            "x-request-id": { "$ref": "#/components/headers/RequestId" },
            "traceparent": { "$ref": "#/components/headers/Traceparent" } } })
    }
}

/// Statuses of refusals, with the names of their descriptions.
const REFUSALS: &[(u16, &str, &str)] = &[
    (400, "Malformed", "The request is not what it must be; `error` names the part"),
    (401, "Unauthorized", "The caller is unknown"),
    (403, "Forbidden", "The caller may not do this, or a page of another site asks"),
    (404, "NotFound", "There is no such model or revision"),
    (408, "TooSlow", "The body comes too slowly"),
    (409, "Conflict", "The change is refused, or there is nothing to show"),
    (413, "TooLarge", "A limit is passed; `error` names it"),
    (415, "MediaType", "The body is of a type or coding that the route does not read"),
    (
        422,
        "RowRefused",
        "A row is refused, and the request is strict; `row` and `column` say which",
    ),
    (429, "Quota", "The caller's own limit is reached"),
    (500, "Mistake", "A mistake of the server; its log has more"),
    (
        503,
        "NoCapacity",
        "There is no capacity before the deadline, or the server is about to leave",
    ),
    (504, "Late", "Admitted, but not done in time"),
    (507, "NotWritten", "The state could not be written; nothing has changed"),
];

/// All refusals, for `components/responses`.
pub(super) fn refusals() -> Value {
    let refusal = |(status, name, description): &(u16, &str, &str)| {
        let mut headers = json!({
            "x-request-id": { "$ref": "#/components/headers/RequestId" },
            "traceparent": { "$ref": "#/components/headers/Traceparent" } });
        match status {
            401 => headers["www-authenticate"] = json!({ "schema": { "type": "string" } }),
            429 | 503 => {
                headers["retry-after"] =
                    json!({ "description": "Seconds", "schema": { "type": "integer" } });
                headers["retry-after-ms"] = json!({ "schema": { "type": "integer" } });
            }
            _ => {}
        }
        let content = json!({ "application/json": { "schema": reference("Error") } });
        let refusal = json!({ "description": description, "headers": headers, "content": content });
        ((*name).to_owned(), refusal)
    };
    let mut refusals: Map<String, Value> = REFUSALS.iter().map(refusal).collect();
    refusals.insert(
        "NotReady".to_owned(),
        json!({ "description": "The server is about to leave",
            "content": { "application/json": { "schema": reference("Ready") } } }),
    );
    Value::Object(refusals)
}

/// All answers of a route. `asks_keys`: whether callers must be known.
pub(super) fn responses(route: &Route, schema: Option<&str>, asks_keys: bool) -> Value {
    let mut responses = Map::from_iter([("200".to_owned(), route.gives.describe(schema))]);
    let by_path: &[u16] = if route.path.contains('{') { &[400, 404] } else { &[] };
    let by_query: &[u16] = if route.parameters.is_empty() { &[] } else { &[400] };
    let by_scope: &[u16] = match route.scope {
        Scope::Nobody => &[],
        // Pages of other sites are refused with and without keys.
        Scope::Admin if !asks_keys => &[403],
        _ if !asks_keys => &[],
        _ => &[401, 403, 429],
    };
    let by_body = route.takes.errors();
    let all = [by_path, by_query, by_scope, by_body, route.errors, &[500]].concat();
    for (status, name, _) in REFUSALS.iter().filter(|(status, ..)| all.contains(status)) {
        // Readiness has an answer of its own to say no: as the good one, with `ready` false.
        let is_ready = *status == 503 && route.takes == Takes::Nothing;
        let name = if is_ready { "NotReady" } else { name };
        let refusal = json!({ "$ref": format!("#/components/responses/{name}") });
        responses.insert(status.to_string(), refusal);
    }
    Value::Object(responses)
}

/// Headers of answers, for `components/headers`.
pub(super) fn headers() -> Value {
    json!({
        "RequestId": { "description": "The request's own, or a new one",
            "required": true, "schema": { "type": "string" } },
        "Traceparent": { "description": "W3C trace context: the caller's trace, the server's span",
            "required": true,
            "schema": { "type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$" } },
    })
}

/// Parameters of query and headers, for `components/parameters`.
pub(super) fn parameters() -> Value {
    let query = |name: &str, schema: Value, description: &str| json!({ "name": name, "in": "query", "schema": schema, "description": description });
    // A flag may stand alone, as `?staged`.
    let flag = |name: &str, description: &str| {
        query(name, json!({ "enum": [true, false, ""] }), description)
    };
    json!({
        "RequestTimeout": { "name": "x-request-timeout", "in": "header",
            "description": "Milliseconds that the request may take; 0: as long as the model's own limit",
            "schema": { "type": "integer", "minimum": 0, "maximum": u64::MAX } },
        "Model": { "name": "model", "in": "query", "schema": { "type": "string" },
            "description": "Which model, where there are several" },
        "TargetModel": { "name": "x-amzn-sagemaker-target-model", "in": "header",
            "schema": { "type": "string" }, "description": "The same; outweighs `model`" },
        "Strict": flag("strict", "Refuse unknown levels and texts that are no number"),
        "Contributions": flag("contributions", "What each column contributed"),
        "Staged": flag("staged", "The answer after each group of trees"),
        "Distances": flag("distances", "k-means: the distance to each cluster"),
        "Calibrated": flag("calibrated", "Refuse a model without calibration"),
        "Reconstruct": flag("reconstruct", "GLRM: the row that the dimensions stand for"),
        "LeafAssignment": query("leaf_assignment", json!({ "enum": ["paths", "ids"] }),
            "The leaf of each tree"),
        "RowIndex": query("row_index",
            json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX }),
            "Number of the first row, by which a GLRM draws"),
        "AllowSchemaChange": flag("allow_schema_change",
            "Take an artifact of other columns or another category"),
        "Share": query("share",
            json!({ "type": "number", "minimum": 0.000_001, "maximum": 0.999_999 }),
            "Of the requests; 0.1 unless said"),
    })
}
