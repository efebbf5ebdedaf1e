//! The routes of one model, from its own columns and levels.

use serde_json::{Map, Value, json};
use stemson_mojo::{Column, Kind, Model, Part, PartKind, Role};
use stemson_serving::Revision;

use super::bodies::Takes;
use super::routes::{ROUTES, Route};
use super::schemas::{self, list, number, object};
use super::{Described, Document, operation, operation_id, reference};
use crate::face::Face;
use crate::oip;

/// Levels that are shown; the others are counted.
const LEVELS_SHOWN: usize = 50;

/// Options, and the part that a model must offer for each.
const OPTIONS: &[(&str, &str, Part)] = &[
    ("contributions", "Contributions", Part::Contributions),
    ("leaf_assignment", "LeafAssignment", Part::LeafIds),
    ("staged", "Staged", Part::Staged),
    ("distances", "Distances", Part::Distances),
    ("calibrated", "Calibrated", Part::Calibrated),
];

/// Adds what is special of a model to `document`.
pub(super) fn describe(
    document: &mut Document,
    name: &str,
    revision: &Revision,
    shown: oip::Shown,
) {
    let model = revision.model();
    let face = revision.prepared(Face::new);
    let schema = |what: &str| format!("{what}.{name}");
    for (what, described) in [
        ("Row", row(model)),
        ("RowRequest", row_request(name, model)),
        ("Prediction", prediction(model, &face)),
        ("Contributions", contributions(model)),
        ("RowAnswer", answer(name, false)),
        ("ExplainedRowAnswer", answer(name, true)),
    ] {
        document.schemas.insert(schema(what), described);
    }
    let about = format!(
        "{}, {}, revision {} ({})",
        model.algorithm(),
        model.category().as_str(),
        revision.number(),
        revision.digest().short(),
    );
    for route in ROUTES {
        let is_explain = route.path.ends_with(":explain");
        let is_offered = !is_explain || model.check_offer(Part::Contributions).is_ok();
        let is_current = !route.path.contains("{version}");
        let takes = match route.takes {
            Takes::Rows => Some(schema("RowRequest")),
            Takes::Infer if is_current => None,
            _ => continue,
        };
        if !is_offered {
            continue;
        }
        let gives = match takes {
            Some(_) if is_explain => Some(schema("ExplainedRowAnswer")),
            Some(_) => Some(schema("RowAnswer")),
            None => None,
        };
        let parameters = offered(route, model);
        let example = match takes {
            Some(_) => json!({ "instances": [example_row(model)] }),
            None => infer_example(model, shown),
        };
        let described = Described { route, parameters, model: Some(name.to_owned()), takes, gives };
        let mut operation = operation(&described, document.asks_keys);
        operation["operationId"] = format!("{}.{name}", operation_id(route)).into();
        operation["summary"] = format!("{name}: {}", route.summary).into();
        operation["description"] = about.as_str().into();
        operation["tags"] = json!([name]);
        operation["requestBody"]["content"]["application/json"]["example"] = example;
        let path = route.path.replace("{model}", name);
        document.paths.insert(path, json!({ route.method: operation }));
    }
}

/// The route's parameters without the options that the model refuses.
fn offered(route: &Route, model: &Model) -> Vec<&'static str> {
    let is_offered = |parameter: &&'static str| {
        let option = OPTIONS.iter().find(|(_, name, _)| name == parameter);
        option.is_none_or(|(_, _, part)| model.check_offer(*part).is_ok())
    };
    route.parameters.iter().copied().filter(is_offered).collect()
}

fn row(model: &Model) -> Value {
    let columns = model.schema().columns();
    let types = json!(["number", "string", "boolean", "null"]);
    let describe = |column: &Column| {
        let described = match column.kind {
            Kind::Numeric if column.role == Role::Offset => {
                json!({ "type": types, "description": "The offset; 0 where it is absent" })
            }
            Kind::Numeric => json!({ "type": types, "description": "A number" }),
            Kind::Categorical => {
                let shown: Vec<&String> = column.levels.iter().take(LEVELS_SHOWN).collect();
                let levels = column.levels.len();
                json!({ "type": types, "description": format!("One of {levels} levels"),
                    "examples": shown })
            }
        };
        (column.name.clone(), described)
    };
    let described: Map<String, Value> = columns.iter().map(describe).collect();
    if model.schema().is_open() {
        return json!({ "type": "object", "additionalProperties": { "type": types },
            "description": "A word for each of the caller's own columns" });
    }
    json!({ "type": "object", "properties": described })
}

/// One row with the first level of each categorical column.
fn example_row(model: &Model) -> Value {
    let value = |column: &Column| match column.kind {
        Kind::Numeric => json!(0),
        Kind::Categorical => column.levels.first().map_or(Value::Null, |level| json!(level)),
    };
    let columns = model.schema().columns().iter();
    let row: Map<String, Value> = columns.map(|c| (c.name.clone(), value(c))).collect();
    if model.schema().is_open() { json!({ "word": "a" }) } else { Value::Object(row) }
}

fn row_request(name: &str, model: &Model) -> Value {
    let mut properties = schemas::options();
    for (option, _, part) in OPTIONS {
        if model.check_offer(*part).is_err() {
            // Asking for leaves at all is too much; saying no to the others is not.
            let no =
                if *option == "leaf_assignment" { json!([null]) } else { json!([false, null]) };
            properties[option] = json!({ "enum": no, "description": "The model has none" });
        }
    }
    let (all, features) = (model.schema().columns().len(), oip::features(model.schema()).count());
    let mut cells = json!({ "allOf": [reference("Cells")] });
    if !model.schema().is_open() {
        cells["minItems"] = features.into();
        cells["maxItems"] = all.into();
    }
    let row = reference(&format!("Row.{name}"));
    properties["instances"] = list(json!({ "oneOf": [row, cells] }));
    object(&["instances"], properties)
}

fn prediction(model: &Model, face: &Face) -> Value {
    let explanations =
        [Part::LeafPaths, Part::LeafIds, Part::Staged, Part::Distances, Part::Contributions];
    let offered = explanations.into_iter().filter(|part| model.check_offer(*part).is_ok());
    let describe = |part: Part| (part.key().to_owned(), describe_part(model, face, part));
    let properties: Map<String, Value> =
        face.parts.iter().copied().chain(offered).map(describe).collect();
    let required: Vec<&str> = face.parts.iter().map(|part| part.key()).collect();
    object(&required, Value::Object(properties))
}

fn describe_part(model: &Model, face: &Face, part: Part) -> Value {
    let one = match part.kind() {
        PartKind::Text if part == Part::Label => json!({ "enum": model.labels() }),
        PartKind::Text => json!({ "type": ["string", "null"] }),
        PartKind::Integer => json!({ "type": "integer" }),
        PartKind::Flag => json!({ "type": "boolean" }),
        PartKind::F32 | PartKind::F64 => number(),
    };
    match part {
        Part::Probabilities => {
            let keys = face.p_keys.iter().filter_map(|key| serde_json::from_slice(key).ok());
            let keys: Vec<String> = keys.collect();
            json!({ "type": "object", "required": keys, "additionalProperties": one })
        }
        Part::Contributions => contributions(model),
        Part::Embeddings => {
            json!({ "type": "object", "additionalProperties": list(number()),
                "description": "A vector for each column whose word the model knows" })
        }
        _ if part.is_list() => list(one),
        _ => one,
    }
}

fn contributions(model: &Model) -> Value {
    let names = model.contribution_names().unwrap_or_default();
    json!({ "type": "object", "required": names, "additionalProperties": number() })
}

fn answer(name: &str, is_explained: bool) -> Value {
    let prediction = reference(&format!("Prediction.{name}"));
    let or_refused = |schema: Value| list(json!({ "anyOf": [schema, reference("RefusedRow")] }));
    let mut properties = json!({
        "predictions": or_refused(prediction),
        "model": { "const": name },
        "revision": reference("Digest"),
    });
    let mut required = vec!["predictions", "model", "revision"];
    if is_explained {
        properties["explanations"] = or_refused(reference(&format!("Contributions.{name}")));
        required.push("explanations");
    }
    object(&required, properties)
}

/// One row, in the layout that the model shows.
fn infer_example(model: &Model, shown: oip::Shown) -> Value {
    let row = example_row(model);
    let tensor = |input: oip::TensorShape| {
        let shape: Vec<i64> = input.shape.iter().map(|&dim| dim.max(1)).collect();
        let n = shape.iter().product::<i64>().max(0) as usize;
        let value = match row.get(&input.name) {
            Some(value) => value.clone(),
            None if input.datatype == oip::Datatype::Bytes => json!(row.to_string()),
            None => json!(0),
        };
        json!({ "name": input.name, "shape": shape, "datatype": input.datatype.name(),
            "data": vec![value; n] })
    };
    let inputs = oip::inputs(model.schema(), shown).into_iter().map(tensor);
    json!({ "inputs": inputs.collect::<Vec<_>>() })
}
