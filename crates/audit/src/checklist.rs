//! The checklists of the five views: one list, from which the skill, the resources of the MCP server
//! and `check --checklist` are made.
//!
//! An item is a rule, or a command that has to be run. Rules tick themselves; a command stays open until
//! somebody has run it.

use std::fmt::Write as _;

use crate::finding::Report;
use crate::rule::{Rule, rules};

/// A view of the architecture.
#[derive(Debug)]
pub struct View {
    /// `logical`, `process`, `development`, `physical`, `scenario`.
    pub name: &'static str,
    title: &'static str,
    /// Stories with what they ask, and what besides rules checks them.
    stories: &'static [Story],
}

#[derive(Debug)]
struct Story {
    id: &'static str,
    asks: &'static str,
    /// What to make sure of, and the command that shows it.
    commands: &'static [(&'static str, &'static str)],
}

const fn story(
    id: &'static str,
    asks: &'static str,
    commands: &'static [(&'static str, &'static str)],
) -> Story {
    Story { id, asks, commands }
}

/// All views, in the order of the 4+1 model.
pub const VIEWS: &[View] = &[
    View {
        name: "logical",
        title: "Logical view: schemas and blocks",
        stories: &[
            story("LE-LOG-01", "Identity: keys, moments, references", &[]),
            story(
                "LE-LOG-02",
                "Documents: jsonb, and the index that fits",
                &[(
                    "The index was measured on documents like yours",
                    "stemson benchmark-jsonb-index --table feature_store --rows 100000 --write-rate 1000",
                )],
            ),
            story("LE-LOG-03", "Vectors: the index that the query uses", &[]),
            story("LE-LOG-04", "Blocks: what they take and return", &[]),
            story("LE-LOG-05", "Blocks that are shared: one copy, with a version", &[]),
            story("LE-LOG-06", "Dynamic blocks: bounded where Mage reads it", &[]),
        ],
    },
    View {
        name: "process",
        title: "Process view: the event loop, pools, the cache",
        stories: &[
            story(
                "LE-PROC-01",
                "The event loop is never held",
                &[(
                    "No callback held the loop for 10 ms under load",
                    "stemson validate-event-loop --app src.main:app --threshold-ms 10 --load 100",
                )],
            ),
            story("LE-PROC-02", "Drivers that wait without blocking", &[]),
            story("LE-PROC-03", "Pools with bounds", &[]),
            story("LE-PROC-04", "Cache keys name the model's version", &[]),
            story("LE-PROC-05", "A deployment needs no FLUSHDB", &[]),
            story("LE-PROC-06", "An expiry is not a stampede", &[]),
        ],
    },
    View {
        name: "development",
        title: "Development view: artifacts, runtimes, versions",
        stories: &[
            story(
                "LE-DEV-01",
                "Only MOJOs ship",
                &[(
                    "Each MOJO is whole and answers as genmodel does",
                    "stemson validate-mojo-artifact --mojo model.zip --reference test_inputs.csv",
                )],
            ),
            story("LE-DEV-02", "No JVM where predictions are served", &[]),
            story("LE-DEV-03", "One version of H2O", &[]),
        ],
    },
    View {
        name: "physical",
        title: "Physical view: memory, hosts, discovery",
        stories: &[
            story(
                "LE-PHY-01",
                "Heap and native memory share the limit",
                &[(
                    "The split was calculated for the job's rows, columns and depth",
                    "stemson calculate-memory-split --manifest k8s.yaml --rows 400000 --cols 100 --depth 14",
                )],
            ),
            story("LE-PHY-02", "One host, one member", &[]),
            story("LE-PHY-03", "Members find each other, and are ready when they are", &[]),
        ],
    },
    View {
        name: "scenario",
        title: "Scenario view: what must hold when all of it runs",
        stories: &[
            story(
                "LE-SCN-01",
                "A model is swapped under load without a lost request",
                &[(
                    "No request was lost, and the new model answered",
                    "stemson test-hot-swap --api-url http://localhost:8080 --load 100 --model-v2 model_v2.zip",
                )],
            ),
            story(
                "LE-SCN-02",
                "Drift is seen within the hour",
                &[(
                    "Predictions are logged, and PSI is calculated from them every hour",
                    "curl -s http://localhost:8080/metrics",
                )],
            ),
            story(
                "LE-SCN-03",
                "Retraining that fails stops, and pages somebody",
                &[(
                    "Three failures open the breaker, and the page arrived",
                    "read the alert's history",
                )],
            ),
        ],
    },
];

/// The view of this name.
pub fn view(name: &str) -> Option<&'static View> {
    VIEWS.iter().find(|view| view.name == name)
}

impl View {
    /// The file that the specification names: `physical_view_lead_engineer.md`.
    pub fn file(&self) -> String {
        format!("{}_view_lead_engineer.md", self.name)
    }

    /// The list in Markdown. With a report each rule is ticked that nothing open breaks.
    pub fn render(&self, report: Option<&Report>) -> String {
        let mut text = format!("# {}\n", self.title);
        if report.is_none() {
            let _ = writeln!(
                text,
                "\n`stemson check --checklist {}` ticks what rules can tell; commands are yours to run.",
                self.name
            );
        }
        for story in self.stories {
            let _ = writeln!(text, "\n## {} {}\n", story.id, story.asks);
            for rule in rules().iter().filter(|rule| rule.story == story.id) {
                text.push_str(&rule_item(rule, report));
            }
            for (asks, command) in story.commands {
                let _ = writeln!(text, "- [ ] {asks}: `{command}`");
            }
        }
        text
    }
}

fn rule_item(rule: &Rule, report: Option<&Report>) -> String {
    let open: Vec<_> =
        report.into_iter().flat_map(Report::open).filter(|it| it.rule == rule).collect();
    let tick = if report.is_some() && open.is_empty() { "x" } else { " " };
    let mut item = format!("- [{tick}] Not found: {} (`{}`)", lower_first(rule.title), rule.id);
    if let Some(first) = open.first() {
        let _ = write!(item, ": {} open, the first at {}:{}", open.len(), first.path, first.line);
    }
    item.push('\n');
    item
}

/// `A table` becomes `a table`; `GIN` and `H2O` stay.
fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_stands_in_one_list() {
        let lists: Vec<String> = VIEWS.iter().map(|view| view.render(None)).collect();
        for rule in rules() {
            let mark = format!("(`{}`)", rule.id);
            assert_eq!(
                lists.iter().filter(|list| list.contains(&mark)).count(),
                1,
                "{rule}, story {}",
                rule.story
            );
        }
    }

    #[test]
    fn a_report_ticks() {
        let rule = crate::rule::rule("heap_share").unwrap();
        let finding = crate::finding::Finding::of_file(rule, "k.yaml".to_owned(), String::new());
        let report = Report { findings: vec![finding], ..Report::default() };
        let list = view("physical").unwrap().render(Some(&report));
        assert!(list.contains("- [ ] Not found: a heap that leaves too little"), "{list}");
        assert!(
            list.contains("1 open, the first at k.yaml:0")
                && list.contains("- [x] Not found: a member of an H2O cluster without"),
            "{list}"
        );
    }
}
