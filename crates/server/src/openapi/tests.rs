//! The description against the routers, against itself and against its copy in `api`.

use std::path::Path;

use super::*;

#[test]
fn the_committed_descriptions_are_what_the_code_says() {
    for (name, door) in [("openapi.json", Door::Inference), ("openapi-admin.json", Door::Admin)] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../api").join(name);
        let wanted = Document::new(door, true).render();
        if std::env::var_os("STEMSON_GENERATE").is_some() {
            std::fs::write(&file, lines(&wanted, 3) + "\n").expect("the file can be written");
        }
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        let there: Value = serde_json::from_str(&there).unwrap_or_default();
        assert!(there == wanted, "api/{name} is stale: `cargo xtask generate`");
    }
}

/// A member a line, down to `depth`: small, and a change is seen.
fn lines(value: &Value, depth: usize) -> String {
    match value {
        Value::Object(members) if depth > 0 => {
            let line = |(name, value): (&String, &Value)| {
                format!("{}:{}", Value::from(name.as_str()), lines(value, depth - 1))
            };
            let lines: Vec<String> = members.iter().map(line).collect();
            format!("{{\n{}\n}}", lines.join(",\n"))
        }
        other => other.to_string(),
    }
}

/// Every path of the routers is described, and nothing else.
#[test]
fn what_is_routed_is_what_is_described() {
    let source = include_str!("../routes.rs");
    let mut routed: Vec<&str> =
        source.split(".route(").skip(1).filter_map(|rest| rest.split('"').nth(1)).collect();
    let mut described: Vec<&str> =
        ROUTES.iter().map(|route| route.path.split(':').next().unwrap_or_default()).collect();
    for paths in [&mut routed, &mut described] {
        paths.sort_unstable();
        paths.dedup();
    }
    assert_eq!(routed, described);
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    for door in [Door::Inference, Door::Admin] {
        let document = Document::new(door, true).render();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100);
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}

#[test]
fn operations_have_names_of_their_own() {
    let mut names: Vec<_> = ROUTES.iter().map(operation_id).collect();
    let n = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), n);
}
