//! What to ask an application: from its OpenAPI description, or from a file.

use serde::Deserialize;
use serde_json::{Map, Value};

/// One request, and the route that it is for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Planned {
    pub(super) method: String,
    /// With the query.
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<String>,
    /// `GET /items/{id}`.
    pub(super) route: String,
}

/// A line of a file of requests.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default = "get")]
    method: String,
    path: String,
    #[serde(default)]
    headers: Map<String, Value>,
    body: Option<Value>,
}

fn get() -> String {
    "GET".to_owned()
}

/// Requests of a file: JSON lines, `{"method","path","headers","body"}`.
///
/// The error says what is wrong with which line.
pub(super) fn parse(text: &str) -> Result<Vec<Planned>, String> {
    let mut planned = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let line: Line =
            serde_json::from_str(line).map_err(|cause| format!("line {number}: {cause}"))?;
        if !line.path.starts_with('/') {
            return Err(format!(
                "line {number}: `path` is `{}`, expected one that starts with /",
                line.path
            ));
        }
        let mut headers: Vec<(String, String)> =
            line.headers.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
        let is_json = matches!(line.body, Some(Value::Object(_) | Value::Array(_)));
        if is_json && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(json_type());
        }
        let method = line.method.to_ascii_uppercase();
        let route = format!("{method} {}", line.path.split('?').next().unwrap_or_default());
        let body = line.body.as_ref().map(plain);
        planned.push(Planned { method, path: line.path, headers, body, route });
    }
    if planned.is_empty() {
        return Err("it holds no request".to_owned());
    }
    Ok(planned)
}

fn json_type() -> (String, String) {
    ("content-type".to_owned(), "application/json".to_owned())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A request for each operation, and those for which there is none, with the reason.
pub(super) fn from_openapi(api: &Value) -> (Vec<Planned>, Vec<(String, String)>) {
    const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
    let (mut planned, mut skipped) = (Vec::new(), Vec::new());
    let paths = api["paths"].as_object().into_iter().flatten();
    for (path, item) in paths {
        for method in METHODS {
            let operation = &item[method];
            if !operation.is_object() {
                continue;
            }
            let route = format!("{} {path}", method.to_ascii_uppercase());
            let request = match method {
                "delete" => Err("it deletes; ask for it with --requests".to_owned()),
                _ => request(api, path, item, operation),
            };
            match request {
                Ok((path, headers, body)) => planned.push(Planned {
                    method: method.to_ascii_uppercase(),
                    path,
                    headers,
                    body,
                    route,
                }),
                Err(reason) => skipped.push((route, reason)),
            }
        }
    }
    (planned, skipped)
}

type Parts = (String, Vec<(String, String)>, Option<String>);

fn request(api: &Value, path: &str, item: &Value, operation: &Value) -> Result<Parts, String> {
    let (mut path, mut query, mut headers) = (path.to_owned(), Vec::new(), Vec::new());
    let of = |holder: &Value| holder["parameters"].as_array().cloned().unwrap_or_default();
    for parameter in of(item).into_iter().chain(of(operation)) {
        let parameter = resolve(api, &parameter);
        let name = parameter["name"].as_str().unwrap_or_default();
        let place = parameter["in"].as_str().unwrap_or_default();
        if place != "path" && parameter["required"] != true {
            continue;
        }
        let given = given(parameter);
        let value = given.or_else(|| example(api, &parameter["schema"], 0));
        let value = value.ok_or_else(|| format!("no example for the parameter `{name}`"))?;
        let text = plain(&value);
        match place {
            "path" => path = path.replace(&format!("{{{name}}}"), &escape(&text)),
            "query" => query.push(format!("{}={}", escape(name), escape(&text))),
            "header" => headers.push((name.to_owned(), text)),
            _ => return Err(format!("it needs the {place} `{name}`; give it with --requests")),
        }
    }
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    let body = resolve(api, &operation["requestBody"]);
    let Some(content) = body["content"].as_object() else { return Ok((path, headers, None)) };
    let json = content.iter().find(|(kind, _)| kind.contains("json"));
    let Some((_, media)) = json else {
        let kind = content.keys().next().map_or("nothing", String::as_str);
        return Err(format!("its body is {kind}; give one with --requests"));
    };
    let value = given(media).or_else(|| example(api, &media["schema"], 0));
    let value = value.ok_or("no example for its body; give one with --requests")?;
    headers.push(json_type());
    Ok((path, headers, Some(value.to_string())))
}

/// The example that an author gave.
fn given(holder: &Value) -> Option<Value> {
    if let Some(example) = holder.get("example") {
        return Some(example.clone());
    }
    match holder.get("examples")? {
        Value::Array(examples) => examples.first().cloned(),
        Value::Object(examples) => examples.values().next().map(|example| example["value"].clone()),
        _ => None,
    }
}

fn resolve<'a>(api: &'a Value, value: &'a Value) -> &'a Value {
    let mut value = value;
    // A reference may point to a reference, but not for ever.
    for _ in 0..16 {
        let Some(pointer) = value["$ref"].as_str().and_then(|text| text.strip_prefix('#')) else {
            return value;
        };
        value = api.pointer(pointer).unwrap_or(&Value::Null);
    }
    value
}

/// A small value that the schema allows, as far as it says so.
fn example(api: &Value, schema: &Value, depth: usize) -> Option<Value> {
    const DEPTH_MAX: usize = 12;
    let schema = resolve(api, schema);
    if depth > DEPTH_MAX || !schema.is_object() {
        return None;
    }
    let said = given(schema)
        .or_else(|| schema.get("const").cloned())
        .or_else(|| schema.get("default").filter(|value| !value.is_null()).cloned())
        .or_else(|| schema["enum"].as_array().and_then(|values| values.first()).cloned());
    if said.is_some() {
        return said;
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[key].as_array() {
            let of =
                |choice: &Value| example(api, choice, depth + 1).filter(|value| !value.is_null());
            return choices.iter().find_map(of);
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut whole = Map::new();
        for part in parts {
            match example(api, part, depth + 1)? {
                Value::Object(part) => whole.extend(part),
                other => return Some(other),
            }
        }
        return Some(Value::Object(whole));
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null")?.as_str()?,
        kind => kind.as_str().unwrap_or("object"),
    };
    Some(match kind {
        "string" => Value::String(text(schema)),
        "integer" => Value::from(number(schema) as i64),
        "number" => Value::from(number(schema)),
        "boolean" => Value::Bool(true),
        "array" => {
            let n = schema["minItems"].as_u64().unwrap_or(1).clamp(1, 64) as usize;
            let item = match schema.get("prefixItems").and_then(Value::as_array) {
                Some(items) => {
                    let items = items.iter().map(|item| example(api, item, depth + 1));
                    return items.collect::<Option<Vec<_>>>().map(Value::Array);
                }
                None => example(api, &schema["items"], depth + 1).unwrap_or(Value::from(1)),
            };
            Value::Array(vec![item; n])
        }
        "object" => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let mut object = Map::new();
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                if required.is_empty() || required.iter().any(|it| it == name) {
                    object.insert(name.clone(), example(api, property, depth + 1)?);
                }
            }
            Value::Object(object)
        }
        _ => Value::Null,
    })
}

fn text(schema: &Value) -> String {
    let text = match schema["format"].as_str() {
        Some("date-time") => "2026-01-01T00:00:00Z",
        Some("date") => "2026-01-01",
        Some("time") => "00:00:00",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        Some("email") => "a@example.com",
        Some("uri" | "url") => "http://example.com/",
        Some("ipv4") => "127.0.0.1",
        _ => "a",
    };
    let least = schema["minLength"].as_u64().unwrap_or(0).min(4_096) as usize;
    format!("{text:a<least$}")
}

fn number(schema: &Value) -> f64 {
    let of = |key: &str| schema[key].as_f64();
    let least = of("minimum").or_else(|| of("exclusiveMinimum").map(|least| least + 1.0));
    let most = of("maximum").or_else(|| of("exclusiveMaximum").map(|most| most - 1.0));
    let step = of("multipleOf").unwrap_or(1.0);
    let value = (least.unwrap_or(step) / step).ceil() * step;
    most.map_or(value, |most| value.min(most))
}

/// Percent-escapes what has a meaning of its own in paths and queries.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte as char);
            }
            other => out.extend(['%', hex(other >> 4), hex(other & 15)]),
        }
    }
    out
}

fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap_or('0').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn asks_what_the_schema_allows() {
        let api = json!({
            "paths": {
                "/items/{id}": {"get": {"parameters": [
                    {"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}},
                    {"name": "q", "in": "query", "required": true, "schema": {"type": "string", "minLength": 3}},
                    {"name": "skip", "in": "query", "schema": {"type": "integer"}}
                ]}},
                "/rows": {"post": {"requestBody": {"content": {"application/json":
                    {"schema": {"$ref": "#/components/schemas/Row"}}}}}},
                "/upload": {"post": {"requestBody": {"content": {"multipart/form-data": {}}}}},
                "/gone": {"delete": {}}
            },
            "components": {"schemas": {
                "Row": {"type": "object", "required": ["a", "kind", "many", "when", "maybe"], "properties": {
                    "a": {"type": "number", "exclusiveMinimum": 2},
                    "kind": {"enum": ["x", "y"]},
                    "many": {"type": "array", "minItems": 2, "items": {"type": "boolean"}},
                    "when": {"type": "string", "format": "date"},
                    "maybe": {"anyOf": [{"type": "null"}, {"type": "string"}]},
                    "not": {"type": "string"}
                }}
            }}
        });
        let (planned, skipped) = from_openapi(&api);
        let found: Vec<_> = planned
            .iter()
            .map(|it| (it.method.as_str(), it.path.as_str(), it.body.as_deref()))
            .collect();
        let body = r#"{"a":3.0,"kind":"x","many":[true,true],"maybe":"a","when":"2026-01-01"}"#;
        let found_body: Value = serde_json::from_str(found[1].2.unwrap()).unwrap();
        assert_eq!(found[0], ("GET", "/items/1?q=aaa", None));
        assert_eq!(found_body, serde_json::from_str::<Value>(body).unwrap());
        let skipped: Vec<_> = skipped.iter().map(|(route, _)| route.as_str()).collect();
        assert_eq!(skipped, ["DELETE /gone", "POST /upload"]);
    }

    #[test]
    fn endless_schemas_end() {
        let api = json!({"paths": {"/a": {"post": {"requestBody": {"content": {"application/json":
            {"schema": {"$ref": "#/x"}}}}}}}, "x": {"type": "object", "properties": {"x": {"$ref": "#/x"}}}});
        let (planned, skipped) = from_openapi(&api);
        assert!(planned.is_empty());
        assert_eq!(skipped.len(), 1);
    }

    #[test]
    fn a_file_of_requests() {
        let text =
            "{\"path\":\"/a?x=1\"}\n\n{\"method\":\"post\",\"path\":\"/b\",\"body\":{\"x\":1}}\n";
        let planned = parse(text).unwrap();
        assert_eq!(planned[0].route, "GET /a");
        assert_eq!(planned[1].body.as_deref(), Some("{\"x\":1}"));
        assert_eq!(planned[1].headers, [json_type()]);
        for (text, expected) in [
            ("{\"path\":\"a\"}", "line 1: `path` is `a`, expected one that starts with /"),
            ("{\"path\":\"/a\",\"x\":1}", "unknown field `x`"),
            ("\n", "no request"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
