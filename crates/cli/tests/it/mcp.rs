//! `stemson mcp`, asked by the official Python SDK.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::{corpus, python};

fn parsed(answer: &Value) -> Value {
    assert_eq!(answer["error"], false, "{answer}");
    serde_json::from_str(answer["text"].as_str().unwrap()).unwrap()
}

#[test]
fn a_real_client_gets_tools_and_resources() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("schema.sql"), "CREATE TABLE t (doc jsonb);\n").unwrap();
    assert!(
        Command::new("git")
            .args(["init", "-q"])
            .current_dir(folder.path())
            .status()
            .unwrap()
            .success()
    );
    let model = fs::read_dir(corpus())
        .unwrap()
        .map(|it| it.unwrap().path().join("model.zip"))
        .find(|it| it.exists())
        .unwrap();
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apps/mcp_client.py");
    let output = Command::new(python())
        .arg(client)
        .arg(env!("CARGO_BIN_EXE_stemson"))
        .arg(folder.path())
        .arg(&model)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["server"], "stemson");
    assert_eq!(
        seen["tools"],
        serde_json::json!([
            "audit",
            "check_artifact",
            "explain",
            "inspect",
            "memory_split",
            "review"
        ])
    );
    let resources = seen["resources"].as_array().unwrap();
    for uri in
        ["stemson://checklists/scenario", "stemson://rules/heap_share", "stemson://rules/pickle"]
    {
        assert!(resources.contains(&Value::from(uri)), "{uri}");
    }
    assert_eq!(parsed(&seen["audit"])["findings"][0]["rule"], "no_primary_key");
    assert_eq!(parsed(&seen["check_artifact"])["mojos"], 1);
    assert_eq!(parsed(&seen["explain"])["story"], "LE-PHY-01");
    assert!(parsed(&seen["inspect"])["columns"].as_array().is_some());
    assert!(parsed(&seen["memory_split"]).is_object());
    // Nothing is committed there, so there is nothing to compare with.
    assert_eq!(seen["review"]["error"], true);
    for wrong in ["wrong", "flag"] {
        assert_eq!(seen[wrong]["error"], true, "{}", seen[wrong]);
    }
    assert!(seen["wrong"]["text"].as_str().unwrap().contains("`rules` is no argument of explain"));
    assert!(seen["page"].as_str().unwrap().contains("## Antithesis"));
    assert!(seen["checklist"].as_str().unwrap().contains("heap_share"));
}
