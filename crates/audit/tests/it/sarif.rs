//! SARIF 2.1.0 and GitHub annotations: the structure that readers rely on.

use serde_json::Value;
use stemson_audit::{By, Finding, Report, Suppression, report, rule};

fn sample() -> Report {
    let (page, path) = (rule("pickle_code").unwrap(), "models/a b.pkl".to_owned());
    let open = Finding {
        inside: vec!["data.pkl".to_owned()],
        sha256: "0".repeat(64),
        ..Finding::of_file(page, path, "calls 100%\nof it".to_owned())
    };
    let suppressed = Some(Suppression {
        by: By::Exception,
        reason: "old".to_owned(),
        approved_by: "ada".to_owned(),
        expires: "2027-01-01".to_owned(),
    });
    let allowed = Finding { rule: rule("pickle").unwrap(), suppressed, ..open.clone() };
    Report { findings: vec![open, allowed], files: 2, ..Report::default() }
}

/// What the schema of SARIF 2.1.0 requires of the parts that are written.
#[test]
fn sarif_has_what_the_schema_requires() {
    let sarif = report::sarif(&sample());
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    assert!(run["tool"]["driver"]["name"].is_string());
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(
        rules
            .iter()
            .all(|rule| rule["id"].is_string() && rule["shortDescription"]["text"].is_string())
    );
    let results = run["results"].as_array().unwrap();
    for result in results {
        assert!(result["message"]["text"].is_string());
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
        let place = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
        assert_eq!(place, "models/a%20b.pkl");
    }
    assert_eq!(results[0]["suppressions"], Value::Null);
    assert_eq!(results[1]["suppressions"][0]["kind"], "external");
    assert_eq!(results[1]["suppressions"][0]["status"], "accepted");
}

#[test]
fn annotations_stay_on_their_line() {
    assert_eq!(
        report::github(&sample()),
        "::error file=models/a b.pkl,title=pickle_code::data.pkl: calls 100%25%0Aof it\n\
         ::notice file=models/a b.pkl,title=pickle::data.pkl: calls 100%25%0Aof it (exception by ada until 2027-01-01: old)\n"
    );
}
