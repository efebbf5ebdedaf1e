//! `calculate-memory-split` through the binary: limits from flags, manifests and control groups.

use std::fs;

use serde_json::Value;

use crate::{Folder, stemson};

/// Runs with `arguments` and `--format json`.
fn report(arguments: &[&str]) -> (i32, Value) {
    let run = stemson(&[&["calculate-memory-split", "--format", "json"], arguments].concat());
    let json = serde_json::from_str(&run.stdout);
    (run.code, json.unwrap_or_else(|cause| panic!("{arguments:?}: {cause}: {}", run.stderr)))
}

#[test]
fn the_line_of_the_specification_writes_the_file() {
    let folder = Folder::new();
    let file = folder.path("jvm-args.env");
    for (complexity, heap) in [("high", "38g"), ("medium", "42g"), ("low", "45g")] {
        let arguments =
            ["--container-limit", "64g", "--model-complexity", complexity, "--output", &file];
        let run = stemson(&[&["calculate-memory-split"][..], &arguments].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        let expected = format!("JAVA_TOOL_OPTIONS=\"-Xms{heap} -Xmx{heap}\"\n");
        assert_eq!(fs::read_to_string(&file).unwrap(), expected);
        for word in ["the fraction governs", "Thesis", "Antithesis", "Synthesis"] {
            assert!(run.stdout.contains(word), "{}", run.stdout);
        }
    }
}

#[test]
fn what_is_impossible_ends_with_1_and_writes_nothing() {
    let folder = Folder::new();
    let file = folder.path("jvm-args.env");
    let training = ["--rows", "400000", "--cols", "100", "--depth", "14", "--tree-method", "hist"];
    let (code, json) =
        report(&[&["--container-limit", "8g", "--output", &file][..], &training].concat());
    assert_eq!((code, &json["possible"]), (1, &Value::Bool(false)));
    assert!(json["needed_bytes"].as_u64() > json["limit_bytes"].as_u64());
    assert!(folder.names().is_empty());
    let (code, json) = report(&[&["--container-limit", "16g"][..], &training].concat());
    assert_eq!((code, json["governed_by"].as_str()), (0, Some("native_model")));
}

#[test]
fn manifests_and_groups_give_limits() {
    let folder = Folder::new();
    let manifest = folder.write(
        "k8s.yaml",
        "kind: Service\n---\nkind: StatefulSet\nmetadata: {name: cluster}\nspec:\n  replicas: 3\n  template:\n    \
         spec:\n      containers:\n      - {name: side, image: proxy, resources: {limits: {memory: 128Gi}}}\n      \
         - {name: main, image: h2oai/h2o, resources: {limits: {memory: 64Gi}}}\n",
    );
    let (_, json) = report(&["--manifest", &manifest, "--rows", "1000", "--cols", "10"]);
    assert_eq!(
        (json["heap"].as_str(), json["container"]["name"].as_str()),
        (Some("42g"), Some("main"))
    );
    assert_eq!(json["workload"]["nodes"], 3);
    assert_eq!(json["workload"]["tree_method"], "approx");
    let (_, json) = report(&["--manifest", &manifest, "--container", "side"]);
    assert_eq!(json["heap"], "83g");
    let group = folder.path("group");
    fs::create_dir(&group).unwrap();
    for (file, content) in
        [("memory.max", "68719476736\n"), ("memory.limit_in_bytes", "68719476736\n")]
    {
        fs::write(format!("{group}/{file}"), content).unwrap();
        let (_, json) = report(&["--cgroup", &group, "--style", "percentage"]);
        let options = "-XX:InitialRAMPercentage=65.0 -XX:MaxRAMPercentage=65.0";
        assert_eq!(
            (json["heap"].as_str(), json["java_tool_options"].as_str()),
            (Some("42g"), Some(options))
        );
        fs::remove_file(format!("{group}/{file}")).unwrap();
    }
}

#[test]
fn wrong_input_ends_with_2() {
    let folder = Folder::new();
    let helm = folder.write("chart.yaml", "kind: {{ .Values.kind }}\n");
    let bare = folder
        .write("bare.yaml", "kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a}]}\n");
    let free = folder.write("memory.max", "max\n");
    for (arguments, words) in [
        (&[][..], "--container-limit <SIZE>"),
        (&["--container-limit", "64x"], "`64x` is no amount of memory"),
        (&["--container-limit", "64g", "--cgroup"], "cannot be used with"),
        (&["--container-limit", "64g", "--rows", "5"], "--cols"),
        (&["--container-limit", "64g", "--rows", "0", "--cols", "1"], "--rows"),
        (&["--container-limit", "64g", "--other-processes", "x"], "--other-processes"),
        (
            &["--container-limit", "64g", "--output", "/nowhere/at/all"],
            "cannot write /nowhere/at/all",
        ),
        (&["--manifest", "/nowhere.yaml"], "cannot read /nowhere.yaml"),
        (&["--manifest", &helm], "helm template"),
        (&["--manifest", &bare], "container `a` has no resources.limits.memory"),
        (&["--manifest", &bare, "--container", "b"], "no container `b`: there are `a`"),
        (&["--cgroup", &free], "unlimited"),
        (&["--cgroup", &bare], "holds neither memory.max"),
    ] {
        let run = stemson(&[&["calculate-memory-split"], arguments].concat());
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?} {}", run.stderr);
        assert!(
            run.stderr.contains(words) && !run.stderr.contains("panicked"),
            "{arguments:?}: {}",
            run.stderr
        );
    }
}

/// The guide's table is what the command says.
#[test]
fn the_guide_says_what_the_command_says() {
    let guide = include_str!("../../../../docs/guide/memory-split.md");
    let mut rows = 0;
    for line in guide.lines().filter(|line| line.contains(" -> ") && line.starts_with("| ")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let (size, method) = (cells[1].replace(',', ""), cells[2]);
        let (rows_of, cols) = size.split_once(" x ").unwrap();
        for (depth, stated) in [("6", cells[3]), ("10", cells[4]), ("14", cells[5])] {
            let training =
                ["--rows", rows_of, "--cols", cols, "--tree-method", method, "--depth", depth];
            let (_, json) = report(&[&["--container-limit", "16g"][..], &training].concat());
            let mib = json["workload"]["native_bytes"].as_u64().unwrap() >> 20;
            let heap = json["heap"].as_str().unwrap_or("-");
            assert_eq!(stated, format!("{mib} -> {heap}"), "{line}");
            rows += 1;
        }
    }
    assert!(rows >= 24, "the table has {rows} cells");
}
